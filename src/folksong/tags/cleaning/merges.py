r"""Files of merges: what `propose` writes, a person edits, and `clean` applies.

One merge a line, tab-separated: the tag, what it becomes, and (for the reader) tracks with each and the reason. A line
that starts with ``-`` is a merge that was looked at and rejected; one that starts with ``#`` is a comment, also a merge
that is undecided yet. Within a
tag, ``\t``, ``\n``, ``\r`` and ``\\`` stand for tab, line breaks and backslash; ``\-`` and ``\#`` begin a tag that
starts with such a sign.
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from folksong.errors import FileFormatError, FolksongError, nearest
from folksong.files import atomic_write, read_text
from folksong.tags.cleaning.spelling import Merge, canonical_form, variants
from folksong.tags.cooccurrence import equivalents
from folksong.tags.sources.read_tags import Tags, as_table
from folksong.tags.tag_lists import shipped_text

SHIPPED = ("genres", "vocals")
HEADER = """\
# Merges of tags, those that move most counts first. Read them, then:
#   - put a "-" in front of a line to reject that merge (a later step will not propose it again),
#   - change the second column to merge into another tag, or add lines of your own: a tag, a tab, what it becomes.
# Apply them with a recipe step  do = "merge", files = ["this file"].
# tag\tbecomes\ttracks\ttracks of that\twhy
"""
_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_MEANING = {"t": "\t", "n": "\n", "r": "\r"}


@dataclass(frozen=True)
class ReviewedMerges:
    """What a file of merges says: tag -> what it becomes, and tags that stay themselves."""

    accepted: dict[str, str] = field(default_factory=dict)
    rejected: frozenset[str] = frozenset()


def propose_merges(
    tags: Tags,
    *,
    min_count: int = 1,
    mistyped: bool = True,
    equivalent: float | None = None,
    progress: bool = False,
) -> tuple[Merge, ...]:
    """Return merges worth a look, those that move most counts first.

    Args:
        tags: a tag table, or where to read it.
        min_count: tags on fewer tracks take no part.
        mistyped: propose mistyped long words too.
        equivalent: propose tags too that stand on the same tracks: P(one | other) at least this, both ways.
        progress: show a progress bar.
    """
    table = as_table(tags)
    merges = list(variants(table, min_count=min_count, mistyped=mistyped, progress=progress))
    if equivalent is not None:
        taken = {merge.source for merge in merges}
        for pair in equivalents(table, threshold=equivalent, min_count=min_count):
            same = canonical_form(pair.tag) == canonical_form(pair.other)
            if not same and taken.isdisjoint((pair.tag, pair.other)):
                taken.add(pair.tag)
                counts = (table.counts_by_tag[tag] for tag in (pair.tag, pair.other))
                reason = f"on the same tracks ({pair.forward:.0%} and {pair.backward:.0%})"
                merges.append(Merge(pair.tag, pair.other, reason, *counts))
    return tuple(sorted(merges, key=lambda merge: (-merge.source_count, merge.target, merge.source)))


def write_merges(merges: Iterable[Merge], path: str | os.PathLike[str]) -> None:
    """Write merges for a person to review."""
    with atomic_write(path, "w") as stream:
        stream.write(HEADER)
        stream.writelines(map(_line, merges))


def _line(merge: Merge) -> str:
    names, counts = map(_escape, (merge.source, merge.target)), (merge.source_count, merge.target_count)
    return "\t".join([*names, *map(str, counts), merge.reason]) + "\n"


def merges_listed(path: str | os.PathLike[str]) -> tuple[tuple[Merge, bool], ...]:
    """Return each merge of a file as it stands there, and whether it is rejected."""
    return tuple((merge, is_rejected) for _, merge, is_rejected in _lines(read_text(path), path))


def write_reviewed(decided: Iterable[tuple[Merge, bool | None]], path: str | os.PathLike[str]) -> None:
    """Write merges with what was decided of each: True accepts it, False rejects it; None leaves it a comment."""
    with atomic_write(path, "w") as stream:
        stream.write(HEADER)
        for merge, decision in decided:
            sign = {True: "", False: "-", None: "#? "}[decision]
            stream.write(sign + _line(merge))


def read_merges(path: str | os.PathLike[str]) -> ReviewedMerges:
    """Read a file of merges."""
    return _parse(read_text(path), path)


def shipped_merges(name: str) -> ReviewedMerges:
    """Return a list of merges that ships in the package: ``"vocals"`` or ``"genres"``."""
    if name not in SHIPPED:
        raise FolksongError(
            f"no list of merges called {name!r} ships with folksong{nearest(name, SHIPPED)} ({', '.join(SHIPPED)})"
        )
    return _parse(shipped_text(f"{name}.tsv"), f"the shipped list {name!r}")


def _parse(text: str, path: str | os.PathLike[str]) -> ReviewedMerges:
    accepted: dict[str, str] = {}
    rejected: set[str] = set()
    for number, merge, is_rejected in _lines(text, path):
        if is_rejected:
            rejected.add(merge.source)
        elif accepted.setdefault(merge.source, merge.target) != merge.target:
            raise FileFormatError(
                f"{path}: line {number}: {merge.source!r} becomes {merge.target!r} here and "
                f"{accepted[merge.source]!r} further up"
            )
    both = sorted(rejected & accepted.keys())
    if both:
        raise FileFormatError(
            f"{path}: a merge of {both[0]!r} is both accepted and rejected; delete one of the lines"
        )
    same = {source: target for source, target in accepted.items() if source != target}
    return ReviewedMerges(same, frozenset(rejected))


def _lines(text: str, path: str | os.PathLike[str]) -> Iterator[tuple[int, Merge, bool]]:
    """Yield each merge of a text with its line, and whether it is a rejected one."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = line.removeprefix("-").split("\t")
        if len(cells) < 2 or not cells[0] or not cells[1]:
            raise FileFormatError(
                f"{path}: line {number}, {line[:60]!r}: a merge has a tag, a tab and what the tag becomes"
            )
        counts = [int(cell) if cell.isdecimal() and len(cell) < 16 else 0 for cell in (*cells[2:4], "", "")][
            :2
        ]
        merge = Merge(_unescape(cells[0]), _unescape(cells[1]), "".join(cells[4:5]), *counts)
        yield number, merge, line.startswith("-")


def _escape(tag: str) -> str:
    escaped = "".join(_ESCAPES.get(character, character) for character in tag)
    return f"\\{escaped}" if tag.startswith(("-", "#")) else escaped


def _unescape(cell: str) -> str:
    return _ESCAPED.sub(lambda match: _MEANING.get(match[1], match[1]), cell) if "\\" in cell else cell
