"""What listeners wrote: tag tables, their sources, statistics and cleaning."""
