"""What listeners wrote: tag tables, their facets, sources, statistics and cleaning."""

from folksong.tags.facets import facets

__all__ = ["facets"]
