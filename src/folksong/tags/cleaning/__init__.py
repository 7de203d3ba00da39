"""Cleaning of tags: recipes of small steps, spelling variants, merges, and the log of every change."""
