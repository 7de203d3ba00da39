"""Readers of tags, one module a source: last.fm databases and dumps, tables, folders, music libraries."""
