"""Proposing merges: what a person reviews before anything is changed."""

from __future__ import annotations

from folksong.tags.cleaning.merging import Merge
from folksong.tags.cleaning.spelling import canonical_form, variants
from folksong.tags.implications import equivalents
from folksong.tags.table import TagTable


def propose_merges(
    table: TagTable,
    *,
    min_count: int = 1,
    mistyped: bool = True,
    equivalent: float | None = None,
    progress: bool = False,
) -> tuple[Merge, ...]:
    """Return merges worth a look, those that move most counts first.

    Args:
        table: the tags.
        min_count: tags on fewer tracks take no part.
        mistyped: propose mistyped long words too.
        equivalent: propose tags too that stand on the same tracks: P(one | other) at least this, both ways.
        progress: show a progress bar.
    """
    merges = list(variants(table, min_count=min_count, mistyped=mistyped, progress=progress))
    if equivalent is not None:
        taken = {merge.source for merge in merges}
        for pair in equivalents(table, threshold=equivalent, min_count=min_count):
            if (
                pair.tag in taken
                or pair.other in taken
                or canonical_form(pair.tag) == canonical_form(pair.other)
            ):
                continue
            taken.add(pair.tag)
            counts = (int(table.counts[table.tag_index[tag]]) for tag in (pair.tag, pair.other))
            reason = f"on the same tracks ({pair.forward:.0%} and {pair.backward:.0%})"
            merges.append(Merge(pair.tag, pair.other, reason, *counts))
    return tuple(sorted(merges, key=lambda merge: (-merge.source_count, merge.target, merge.source)))
