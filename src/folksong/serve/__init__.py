"""A tagger behind HTTP: ``folksong serve``."""
