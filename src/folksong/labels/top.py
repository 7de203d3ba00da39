"""Models 1, 2 and 6: the most popular tags, those less the subjective ones, and all tags; the most popular tag of each
label.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from folksong.errors import FolksongError, nearest
from folksong.labels.space import Label, LabelSpace
from folksong.tags.cleaning.spelling import variants
from folksong.tags.sources.read_tags import Tags, as_table
from folksong.tags.table import rename_tags
from folksong.tags.tag_lists import shipped_list

logger = logging.getLogger(__name__)

SUBJECTIVE_TAGS: tuple[str, ...] = shipped_list()
"""The 20 tags that Model 2 leaves out of the 100 most popular of last.fm."""

NAMED = 3
"""So many listed tags that match nothing are named."""


def top(
    tags: Tags,
    n: int,
    *,
    aliases: Mapping[str, str] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> LabelSpace:
    """Build a label space of the `n` most popular tags, one label a tag, most popular first (Model 1).

    Popularity is the number of tracks that carry a tag, ties by code point.

    Args:
        tags: a tag table, or where to read it; ``table.select_tracks(split.training)`` learns from training tracks.
        n: how many; a table with fewer tags in use gives them all, with a warning.
        aliases: raw tag -> cleaned tag, as `ChangeLog` knows them; those that lead to a label
            are kept, so that raw spellings still find it.
        provenance: further entries for the space's provenance, for example the SHA-256 of the split.

    Raises:
        FolksongError: `n` is less than 1, or no track has a tag.
    """
    if n < 1:
        raise FolksongError(f"the number of labels must be at least 1, not {n}")
    table = as_table(tags)
    popularity = table.popularity()
    used = int((popularity.counts > 0).sum())
    if not used:
        raise FolksongError(
            "no track has a tag, so there is no popular one; check the source and the weight threshold"
        )
    if used < n:
        logger.warning("labels asked for: %d, tags in use: only %d; all of them become labels", n, used)
    chosen = popularity.tags[: min(n, used)]
    members = set(chosen)
    others = {raw: tag for raw, tag in (aliases or {}).items() if raw not in members}
    labels = (Label(tag, (tag,)) for tag in chosen)
    return LabelSpace.built(labels, others, {"builder": "top", "n": n}, table, provenance)


def all_tags(tags: Tags, *, provenance: Mapping[str, Any] | None = None) -> LabelSpace:
    """Build a label space of every tag in use, most popular first (Model 6); spellings of one tag are one label.

    Raises:
        FolksongError: no track has a tag.
    """
    table = as_table(tags)
    aliases = {merge.source: merge.target for merge in variants(table, mistyped=False)}
    merged = rename_tags(table, aliases)
    made_of = {"builder": "all_tags", "table_sha256": table.sha256(), **(provenance or {})}
    return top(merged, max(int((merged.counts > 0).sum()), 1), aliases=aliases, provenance=made_of)


def drop(space: LabelSpace, tags: Iterable[str], ignore_case: bool = False) -> LabelSpace:
    """Build the space without the listed tags (Model 2 with `SUBJECTIVE_TAGS`); labels keep their order.

    A tag is taken out of every label that holds it. A label left without tags is gone; one that was named after a
    removed tag is named after its first remaining one.

    Args:
        space: the labels so far.
        tags: what to take out. Those that match nothing are counted in a warning, which names the first few and the
            tags of the space nearest to them.
        ignore_case: match tags whatever their case.

    Raises:
        FolksongError: no label would be left.
    """
    listed = tuple(dict.fromkeys(tags))
    members = list(space.tags)
    wanted = {tag.casefold() for tag in listed} if ignore_case else set(listed)
    removed = [tag for tag in members if (tag.casefold() if ignore_case else tag) in wanted]
    _warn_of_unmatched(listed, members, ignore_case)
    gone = set(removed)
    labels: list[Label] = []
    taken = {label.name for label in space.labels if label.name not in gone}
    for label in space.labels:
        remaining = tuple(tag for tag in label.tags if tag not in gone)
        if not remaining:
            continue
        name = label.name
        if name in gone:
            name = next((tag for tag in remaining if tag not in taken), name)
            taken.add(name)
        also = tuple(tag for tag in label.also if tag not in gone)
        labels.append(Label(name, remaining, also, label.facet))
    if not labels:
        raise FolksongError("every label would be dropped; the list holds all tags of the space")
    dropped = [*space.provenance.get("dropped", ()), *removed]
    return space.with_labels(labels, {**space.provenance, "dropped": dropped})


def main_tags(space: LabelSpace, tags: Tags) -> LabelSpace:
    """Build the space of each label's most popular tag alone: what a label of many tags is compared with.

    Popularity is that in `tags`, ties by code point. Order and number of the labels stay, so that what is said of them
    by number (``genres.txt``) holds here too.

    Raises:
        FolksongError: two labels have the same most popular tag, which only overlapping labels can.
    """
    table = as_table(tags)
    mains = [table.by_popularity(label.tags)[0] for label in space.labels]
    twice = next((tag for number, tag in enumerate(mains) if tag in mains[:number]), None)
    if twice is not None:
        raise FolksongError(f"{twice!r} is the most popular tag of two labels; labels must not overlap here")
    labels = (Label(tag, (tag,)) for tag in mains)
    return space.with_labels(labels, {"builder": "main_tags", "of": dict(space.provenance)})


def _warn_of_unmatched(listed: tuple[str, ...], members: list[str], ignore_case: bool) -> None:
    present = {tag.casefold() if ignore_case else tag for tag in members}
    unmatched = [tag for tag in listed if (tag.casefold() if ignore_case else tag) not in present]
    if not unmatched:
        return
    first = "; ".join(f"{tag!r}{nearest(tag, members).replace(';', ',')}" for tag in unmatched[:NAMED])
    more = f" and {len(unmatched) - NAMED:,} more" if len(unmatched) > NAMED else ""
    folded = {tag.casefold() for tag in members}
    if n_otherwise := sum(tag.casefold() in folded for tag in unmatched):
        more += f"; {n_otherwise} match if their case is ignored"
    logger.warning(
        "%d of %d listed tags match no tag of the label space: %s%s", len(unmatched), len(listed), first, more
    )
