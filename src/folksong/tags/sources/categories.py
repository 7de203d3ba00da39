"""Categories of tags, as MTG-Jamendo writes them: ``genre---rock``, ``mood/theme---dark``."""

from __future__ import annotations

from folksong.errors import FolksongError, nearest
from folksong.tags.cleaning.merging import rename_tags
from folksong.tags.table import TagTable

JOIN = "---"


def split_category(tag: str) -> tuple[str | None, str]:
    """Return a tag's category (None if it has none) and its name.

    >>> split_category("mood/theme---dark"), split_category("rock")
    (('mood/theme', 'dark'), (None, 'rock'))
    """
    category, joined, name = tag.partition(JOIN)
    return (category, name) if joined and category and name else (None, tag)


def categories(table: TagTable) -> dict[str | None, tuple[str, ...]]:
    """Return the tags of each category, in the table's order."""
    found: dict[str | None, list[str]] = {}
    for tag in table.tags:
        found.setdefault(split_category(tag)[0], []).append(tag)
    return {category: tuple(tags) for category, tags in found.items()}


def select_category(table: TagTable, category: str, *, keep_prefix: bool = False) -> TagTable:
    """Return the table of one category's tags, by their names alone unless `keep_prefix`.

    Raises:
        FolksongError: no tag is of this category.
    """
    known = categories(table)
    if category not in known:
        names = sorted(name for name in known if name is not None)
        raise FolksongError(
            f"no tag is of the category {category!r}{nearest(category, names)} "
            f"(categories: {', '.join(names) or 'none'})"
        )
    names_of: dict[str, str | None] = dict.fromkeys(table.tags)
    names_of.update({tag: tag if keep_prefix else split_category(tag)[1] for tag in known[category]})
    return rename_tags(table, names_of)
