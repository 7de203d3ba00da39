"""Training, validation and test parts: multi-label stratified, by artist where one is known, deterministic.

Labels are dealt out rarest first, as in Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data"
(ECML PKDD 2011). What is dealt out is a group: all tracks of an artist, or a single track. It goes to the part where
it most reduces the squared differences between what the part should have and what it has, relative to the former, over
all labels of the group and the number of tracks; the original looks at the rarest label only, which is as good for
single tracks but leaves parts uneven where artists have many. At the end parts that lack a label get a group of it.
The parts depend on track ids, labels, artists and seed only, never on the order of rows.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from folksong.errors import FileFormatError, FolksongError, nearest, some_of
from folksong.files import read_document, write_json
from folksong.tags.sources.read_tags import Tags, as_table
from folksong.tags.table import TagTable

if TYPE_CHECKING:
    from folksong.labels.space import LabelSpace

logger = logging.getLogger(__name__)

FORMAT = "folksong.split"
VERSION = 1
PARTS = ("training", "validation", "test")
SHARE_MISSED = 0.02  # of all tracks, from which a part of another size than asked for is warned of
SMALL_SHARE = 0.15  # of a part: below it, a larger one is proposed where it lacks labels
POPULAR_TAGS_BALANCED = 100
"""How many of the most popular tags are balanced when a tag table is split without a label space."""


@dataclass(frozen=True)
class Split:
    """Track ids of the three parts, in code point order, and how they came about.

    Raises:
        FolksongError: a track is in two parts, or twice in one.
    """

    training: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    seed: int = 0
    by_artist: bool = False
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where: dict[str, str] = {}
        for name in PARTS:
            tracks = tuple(getattr(self, name))
            object.__setattr__(self, name, tracks)
            for track in tracks:
                if track in where:
                    raise FolksongError(f"the track {track!r} is in {where[track]} and again in {name}")
                where[track] = name
        object.__setattr__(self, "provenance", dict(self.provenance))

    def __repr__(self) -> str:
        return (
            f"Split({len(self.training)} training, {len(self.validation)} validation, {len(self.test)} test)"
        )

    def part(self, name: str) -> tuple[str, ...]:
        """Return the track ids of ``"training"``, ``"validation"`` or ``"test"``."""
        if name not in PARTS:
            raise FolksongError(
                f"no part is called {name!r}{nearest(name, PARTS)}; one of {', '.join(PARTS)}"
            )
        tracks: tuple[str, ...] = getattr(self, name)
        return tracks

    def sha256(self) -> str:
        """Return a hash of which track is in which part (not of seed and provenance)."""
        content = json.dumps([sorted(self.part(name)) for name in PARTS], ensure_ascii=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the split as ``*.split.json``."""
        head = {"format": FORMAT, "version": VERSION, "seed": self.seed, "by_artist": self.by_artist}
        parts = {name: list(self.part(name)) for name in PARTS}
        write_json(path, {**head, "provenance": dict(self.provenance), **parts})

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Split:
        """Read a ``*.split.json`` file.

        Raises:
            FileFormatError: it is not one; the message names the file and the entry at fault.
        """
        content = read_document(path, FORMAT, VERSION, "a split", "make one anew")
        for name in PARTS:
            tracks = content.get(name)
            if not isinstance(tracks, list) or not all(isinstance(track, str) for track in tracks):
                raise FileFormatError(f"{path}: {name!r} must be a list of track ids (texts)")
        provenance = content.get("provenance", {})
        if not isinstance(provenance, dict) or not isinstance(content.get("seed", 0), int):
            raise FileFormatError(f"{path}: 'provenance' must be an object and 'seed' a whole number")
        try:
            return cls(
                training=tuple(content["training"]),
                validation=tuple(content["validation"]),
                test=tuple(content["test"]),
                seed=content.get("seed", 0),
                by_artist=bool(content.get("by_artist", False)),
                provenance=provenance,
            )
        except FolksongError as error:
            raise FileFormatError(f"{path}: {error}") from error


def make_split(
    tags: Tags | sp.csr_matrix,
    track_ids: Sequence[str] | npt.NDArray[np.object_] | None = None,
    *,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    artists: Mapping[str, str] | None = None,
    space: LabelSpace | None = None,
    seed: int = 0,
) -> Split:
    """Deal tracks out to training, validation and test.

    Args:
        tags: a tag table or where to read it, of which the labels of `space`, or else the 100 most popular tags, are
            balanced; or the labels themselves, CSR (n_tracks, n_labels), of which every stored nonzero counts.
        track_ids: (n_tracks,) the rows' track ids, with a CSR matrix.
        fractions: of the three parts; ``(80, 10, 10)`` means the same as ``(0.8, 0.1, 0.1)``. A part may be 0.
        artists: track id -> artist. All tracks of an artist go to one part; a track without one stands alone.
        space: the labels to balance, with a tag table.
        seed: of the order in which equals are dealt.

    Raises:
        FolksongError: fractions that are no shares, ids that do not fit the rows or occur twice, no tracks.
    """
    shares = _shares(fractions)
    names, targets, labels = _names_and_targets(tags, track_ids, space)
    groups, with_artist = _groups(names, artists)
    part_of_group = _deal(targets, groups, shares, np.random.default_rng(seed))
    part_of_track = part_of_group[groups]
    training, validation, test = (
        tuple(names[row] for row in np.flatnonzero(part_of_track == part)) for part in range(len(PARTS))
    )
    split = Split(
        training,
        validation,
        test,
        seed=seed,
        by_artist=with_artist > 0,
        provenance={
            "fractions": [round(float(share), 12) for share in shares],
            "n_labels": int(targets.shape[1]),
            "n_artists": int(groups.max() + 1) - (len(names) - with_artist),
            "labels_sha256": space.sha256() if space is not None else None,
        },
    )
    _report(split, shares)
    _report_absent(split, shares, labels, targets, groups, part_of_track)
    return split


def make_folds(
    tags: Tags | sp.csr_matrix,
    track_ids: Sequence[str] | npt.NDArray[np.object_] | None = None,
    *,
    n_folds: int = 5,
    validation: float = 0.15,
    artists: Mapping[str, str] | None = None,
    space: LabelSpace | None = None,
    seed: int = 0,
) -> list[Split]:
    """Return splits for cross-validation: each track is in the test part of exactly one.

    Arguments and errors are those of `make_split`; `validation` is the share of the tracks outside the test part that
    are validated on.
    """
    if n_folds < 2:
        raise FolksongError(f"cross-validation needs at least 2 folds, not {n_folds}")
    names, targets, _ = _names_and_targets(tags, track_ids, space)
    groups, _ = _groups(names, artists)
    n_groups = int(groups.max()) + 1
    if n_groups < 2 * n_folds:
        raise FolksongError(
            f"{n_folds} folds need at least {2 * n_folds} tracks by different artists; there are {n_groups}"
        )
    fold_of_group = _deal(targets, groups, np.full(n_folds, 1 / n_folds), np.random.default_rng(seed))
    fold_of_track = fold_of_group[groups]
    splits = []
    for fold in range(n_folds):
        rest = np.flatnonzero(fold_of_track != fold)
        inner = make_split(
            targets[rest],
            [names[row] for row in rest],
            fractions=(1 - validation, validation, 0),
            artists=artists,
            seed=seed,
        )
        test = tuple(names[row] for row in np.flatnonzero(fold_of_track == fold))
        provenance = {**inner.provenance, "fold": fold + 1, "n_folds": n_folds}
        splits.append(replace(inner, test=test, provenance=provenance))
    return splits


def _shares(fractions: Sequence[float]) -> npt.NDArray[np.float64]:
    values = np.asarray(fractions, np.float64)
    if (
        values.shape != (len(PARTS),)
        or not np.isfinite(values).all()
        or values.min() < 0
        or values.sum() <= 0
    ):
        raise FolksongError(
            f"the fractions must be three numbers from 0 up (training, validation, test), not {list(fractions)}"
        )
    total = math.fsum(values)
    if not any(math.isclose(total, whole, rel_tol=1e-3) for whole in (1, 100)):
        raise FolksongError(
            f"the fractions {', '.join(f'{value:g}' for value in values)} add up to {total:g}; shares of the tracks "
            "add up to 100 (or 1)"
        )
    return values / total


def _names_and_targets(
    tags: Tags | sp.csr_matrix,
    track_ids: Sequence[str] | npt.NDArray[np.object_] | None,
    space: LabelSpace | None,
) -> tuple[list[str], sp.csr_matrix, list[str]]:
    """Return track ids in code point order, their labels as CSR (n_tracks, n_labels), and their names if known."""
    labels: list[str] = []
    if not isinstance(tags, TagTable | str | os.PathLike):
        if track_ids is None or len(track_ids) != tags.shape[0]:
            raise FolksongError(
                f"the matrix has {tags.shape[0]} rows; give as many track_ids, not "
                f"{'none' if track_ids is None else len(track_ids)}"
            )
        names, matrix = list(track_ids), sp.csr_matrix(tags)
        matrix = sp.csr_matrix(
            (np.ones(matrix.nnz) * (matrix.data != 0), matrix.indices, matrix.indptr),
            matrix.shape,
            copy=True,  # the caller's arrays stay as they are; they may be read-only
        )
        matrix.eliminate_zeros()
    else:
        table = as_table(tags)
        names = list(table.track_ids)
        if space is not None:
            matrix, labels = space.encode(table), list(space.names)
        else:
            # in popularity order, so that the order of the table's columns does not matter either
            columns = table.popularity_order[:POPULAR_TAGS_BALANCED]
            columns = columns[table.counts[columns] > 0]
            matrix, labels = table.presence[:, columns], table.tags[columns].tolist()
    if not names:
        raise FolksongError("there are no tracks to split")
    if len(set(names)) != len(names):
        raise FolksongError("a track id occurs twice; each track is in one part only")
    order = sorted(range(len(names)), key=names.__getitem__)
    return [names[row] for row in order], sp.csr_matrix(matrix, dtype=np.int64)[order], labels


def _groups(names: list[str], artists: Mapping[str, str] | None) -> tuple[npt.NDArray[np.int64], int]:
    """Return each track's group number, in the order of first appearance, and how many tracks have an artist."""
    number: dict[tuple[str, bool], int] = {}
    with_artist = 0
    groups = np.empty(len(names), np.int64)
    # One name may be written in two Unicode forms, as file systems do.
    known = {_composed(track): _composed(artist) for track, artist in (artists or {}).items()}
    for row, name in enumerate(names):
        artist = known.get(_composed(name))
        with_artist += artist is not None
        key = (name, False) if artist is None else (artist, True)
        groups[row] = number.setdefault(key, len(number))
    if artists is not None and not with_artist:
        raise FolksongError(
            "no track has a known artist; are the ids in the list of artists those of the tags?"
        )
    if artists and with_artist < len(names):
        logger.warning(
            "%d of %d tracks have no known artist; each of them is dealt out on its own",
            len(names) - with_artist, len(names),
        )  # fmt: skip
    return groups, with_artist


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _deal(
    targets: sp.csr_matrix,
    groups: npt.NDArray[np.int64],
    shares: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Deal groups out and return the part of each: (n_groups,)."""
    n_groups = int(groups.max()) + 1
    sizes = np.bincount(groups, minlength=n_groups)
    member = sp.csr_matrix((np.ones(len(groups), np.int64), (groups, np.arange(len(groups)))))
    counts = sp.csr_matrix(member @ targets)
    counts.sort_indices()
    by_label = counts.tocsc()
    remaining = np.asarray(counts.sum(axis=0)).ravel().astype(np.int64)
    # What each part still wants of every label, and of tracks as one label more. Plain lists: the loop below touches
    # single numbers, and NumPy would take ten times as long for these.
    totals = np.append(remaining, len(groups)).tolist()
    wanted = [[float(share) * total for share in shares] for total in totals]
    scale = [[1.0 / (float(share) * max(total, 1)) if share else 0.0 for share in shares] for total in totals]
    parts = [part for part, share in enumerate(shares) if share > 0]
    rank = rng.permutation(n_groups)
    result = np.full(n_groups, -1, np.int64)
    with_size = sp.csr_matrix(sp.hstack([counts, sizes[:, None]]))
    starts, labels, numbers = with_size.indptr.tolist(), with_size.indices.tolist(), with_size.data.tolist()

    def gain(group: int, part: int) -> float:
        total = 0.0  # added one by one: `sum` rounds otherwise from Python 3.12 on, and splits are the same for all
        for place in range(starts[group], starts[group + 1]):
            label, number = labels[place], numbers[place]
            total += number * (wanted[label][part] - number / 2) * scale[label][part]
        return total

    def give(group: int, part: int) -> None:
        result[group] = part
        for place in range(starts[group], starts[group + 1]):
            wanted[labels[place]][part] -= numbers[place]

    open_labels = remaining > 0
    while open_labels.any():
        label = int(np.argmin(np.where(open_labels, remaining, np.iinfo(np.int64).max)))
        column = slice(by_label.indptr[label], by_label.indptr[label + 1])
        here, amount = by_label.indices[column], by_label.data[column]
        free = result[here] < 0
        here, amount = here[free], amount[free]
        # Big groups first: the small ones then even out what the big ones left uneven.
        for group in here[np.lexsort((rank[here], -amount))].tolist():
            give(group, max(parts, key=lambda part: gain(group, part)))
        remaining -= np.asarray(counts[here].sum(axis=0)).ravel().astype(np.int64)
        open_labels &= remaining > 0
        open_labels[label] = False
    left = np.flatnonzero(result < 0)
    for group in left[np.lexsort((rank[left], -sizes[left]))].tolist():
        give(group, max(parts, key=lambda part: gain(group, part)))
    for part in parts:
        # Labels that few tracks carry all go to the largest part: where that left another empty, it gives one back.
        n_groups_of = np.bincount(result, minlength=len(shares))
        if not n_groups_of[part] and n_groups_of.max() > 1:
            of_largest = np.flatnonzero(result == n_groups_of.argmax()).tolist()
            give(max(of_largest, key=lambda group: gain(group, part)), part)
    _fill_gaps(result, with_size, shares)
    return result


def _fill_gaps(
    part_of: npt.NDArray[np.int64], counts: sp.csr_matrix, shares: npt.NDArray[np.float64]
) -> None:
    """Give parts that lack a label a group of it, from a part that has another, where sizes allow; in place.

    Labels on the fewest groups come first. Of the groups that may move the one goes that adds least to the squared
    differences which the dealing reduces. No part loses its last group of a label that all parts could have, nor gets
    further from its share than `SHARE_MISSED`.

    Args:
        part_of: (n_groups,).
        counts: (n_groups, n_labels + 1) tracks of each label, and of all.
        shares: of the parts.
    """
    dealt = sp.csr_matrix((np.ones(len(part_of), np.int64), (part_of, np.arange(len(part_of)))))
    dealt.resize(len(shares), len(part_of))
    n_groups_of, amounts = (dealt @ counts.sign()).toarray(), (dealt @ counts).toarray()
    totals, n_having = amounts.sum(axis=0), n_groups_of.sum(axis=0)
    used = np.flatnonzero(shares)
    enough = n_having >= len(used)
    wanted = shares[:, None] * totals - amounts
    scale = 1 / np.maximum(shares[:, None] * totals, 1e-12)
    room = max(SHARE_MISSED * totals[-1], 1)
    by_label = counts.tocsc()

    def cost(group: int, to: int) -> float:
        """Return what the move adds to the squared differences; infinite if it may not be."""
        entries = slice(counts.indptr[group], counts.indptr[group + 1])
        labels, numbers, of = counts.indices[entries], counts.data[entries], int(part_of[group])
        before = wanted[[of, to], -1]
        after = before + numbers.max() * np.array([1, -1])  # the largest number is the group's size
        if (enough[labels] & (n_groups_of[of, labels] < 2)).any() or (
            np.abs(after) > np.maximum(np.abs(before), room)
        ).any():
            return math.inf
        leaves = numbers * (wanted[of, labels] + numbers / 2) * scale[of, labels]
        comes = numbers * (numbers / 2 - wanted[to, labels]) * scale[to, labels]
        return math.fsum([*leaves.tolist(), *comes.tolist()])

    lacking = np.flatnonzero(enough & (n_groups_of[used].min(axis=0) == 0))
    for label in lacking[np.argsort(n_having[lacking], kind="stable")].tolist():
        groups = by_label.indices[by_label.indptr[label] : by_label.indptr[label + 1]].tolist()
        for to in used[n_groups_of[used, label] == 0].tolist():
            least, group = min((cost(group, to), group) for group in groups)
            if least < math.inf:
                of = int(part_of[group])
                entries = slice(counts.indptr[group], counts.indptr[group + 1])
                labels, numbers = counts.indices[entries], counts.data[entries]
                for part, sign in ((of, 1), (to, -1)):
                    wanted[part, labels] += sign * numbers
                    n_groups_of[part, labels] -= sign
                part_of[group] = to


def _report(split: Split, shares: npt.NDArray[np.float64]) -> None:
    """Warn of parts that stayed empty, or got another share than asked for."""
    sizes = np.array([len(split.part(name)) for name in PARTS])
    if np.abs(sizes - shares * sizes.sum()).max() > max(SHARE_MISSED * sizes.sum(), 1):
        asked, dealt = (" / ".join(f"{share:.1%}" for share in of) for of in (shares, sizes / sizes.sum()))
        logger.warning(
            "asked for %s of the tracks, dealt %s: %slabels are evened out before sizes",
            asked, dealt, "an artist's tracks stay together, and " if split.by_artist else "",
        )  # fmt: skip
    for part, name in enumerate(PARTS):
        if shares[part] and not split.part(name):
            logger.warning("the %s part is empty: there are too few tracks or artists for three parts", name)


def _report_absent(
    split: Split,
    shares: npt.NDArray[np.float64],
    labels: Sequence[str],
    targets: sp.csr_matrix,
    groups: npt.NDArray[np.int64],
    part_of_track: npt.NDArray[np.int64],
) -> None:
    """Warn of labels that a part lacks: by too few artists for all parts, or too few for parts of this size."""
    member = sp.csr_matrix((np.ones(len(groups), np.int64), (groups, np.arange(len(groups)))))
    n_groups_of = np.asarray((member @ targets > 0).sum(axis=0)).ravel()
    enough = n_groups_of >= np.count_nonzero(shares)
    who = "artists" if split.by_artist else "tracks"
    for part, name in enumerate(PARTS):
        if not shares[part] or not split.part(name):
            continue
        absent = np.asarray(targets[part_of_track == part].sum(axis=0)).ravel() == 0
        example = ", such as 70/15/15," if shares[part] < SMALL_SHARE else ""
        for lacking, why in (
            (absent & ~enough, f"too few {who} have them for every part to get one"),
            (absent & enough, f"its share of them is too small; larger parts{example} hold more"),
        ):
            if lacking.any():
                named = (
                    some_of(labels[column] for column in np.flatnonzero(lacking).tolist()) if labels else ""
                )
                logger.warning(
                    "the %s part has no example of %d of the %d labels%s: %s",
                    name, lacking.sum(), targets.shape[1], named and f" ({named})", why,
                )  # fmt: skip
