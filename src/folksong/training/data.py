"""What is learned from: the labels of the records, in three parts.

Tags come from a table by track id, or else from the records themselves; labels from a label space, or else from the
``tags`` section of the settings. If labels are made here, they are learned from the tags of the training part only.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from folksong.errors import FolksongError, nearest
from folksong.labels import Label, LabelSpace, drop, top
from folksong.labels.dictionary import read_legacy_space
from folksong.shards.reader import ShardReader
from folksong.splits import PARTS, Split, make_split
from folksong.tags.sources.read_tags import read_tags
from folksong.tags.table import TagTable
from folksong.tags.tag_lists import read_remove_list, shipped_list
from folksong.training.config import TagSettings

logger = logging.getLogger(__name__)

Indices = npt.NDArray[np.int64]

FULL_WEIGHT = 100.0  # of last.fm
LEAST_WEIGHT = np.float32(
    0.01
)  # what a label that is there counts at least: last.fm rounds small weights to 0


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Records, their labels and their parts.

    Args:
        reader: the shards.
        space: the labels.
        split: the parts as given or made, whether their tracks have records or not.
        targets: CSR float32 (n_records, n_labels) of 0 and 1.
        learned: CSR float32 (n_records, n_labels), what the loss sees: the targets, or weights in (0, 1].
        parts: part -> numbers of its records that are used, in the shards' order.
        table_sha256: of the tags that `targets` come from.
        unlabelled: part -> how many of its records have no label of the space.
        absent: part -> names of the labels that none of its records carries.
        tag_counts: tag -> how many records of the training part carry it, for the tags of the labels.
    """

    reader: ShardReader
    space: LabelSpace
    split: Split
    targets: sp.csr_matrix
    learned: sp.csr_matrix
    parts: Mapping[str, Indices]
    table_sha256: str
    unlabelled: Mapping[str, int]
    absent: Mapping[str, tuple[str, ...]]
    tag_counts: Mapping[str, int]

    def targets_of(self, part: str) -> sp.csr_matrix:
        """Return the (n, n_labels) targets of a part, in the order of ``parts[part]``."""
        return self.targets[self.parts[part]]

    def learned_of(self, part: str) -> sp.csr_matrix:
        """Return what the loss sees of a part, likewise."""
        return self.learned[self.parts[part]]

    def counts(self) -> dict[str, Any]:
        """Return the numbers that a run keeps: records, unlabelled records and absent labels by part."""
        return {
            part: {
                "tracks": len(self.parts[part]),
                "unlabelled": self.unlabelled[part],
                "absent_labels": list(self.absent[part]),
            }
            for part in PARTS
        }


@dataclass(frozen=True)
class TagSource:
    """Where tags come from and what is done with them.

    Args:
        path: a tag table of any kind that `read_tags` reads; None takes the records' own tags.
        database: which of the records' tag lists.
        min_weight: keep tags with a weight greater than this; None keeps all.
    """

    path: str | None = None
    database: int = 0
    min_weight: float | None = None

    def read(self, reader: ShardReader) -> TagTable:
        """Return the tags of the records' tracks.

        Raises:
            FolksongError: no record has a tag in the table.
        """
        if self.path is None:
            table = reader.tag_table(self.database)
            if self.min_weight is not None:
                table = _heavier(table, self.min_weight)
            remedy = "the records hold no tags; give a table with --tags or --lastfm"
        else:
            whole = read_tags(self.path, min_weight=self.min_weight)
            table = whole.select_tracks(reader.track_ids)
            example = reader.track_ids[0] if len(reader) else ""
            remedy = (
                f"{self.path}: none of its {whole.n_tracks} tracks is among the {len(reader)} records of "
                f"{reader.folder} (such as {example!r}); do the track ids agree?"
            )
        if not table.n_counts:
            raise FolksongError(remedy)
        return table


@dataclass(frozen=True)
class LegacyLabels:
    """Labels in the files of the earlier project.

    Args:
        dictionary: ``tags_dict_x.pkl``, or a folder with exactly one ``.pkl``.
        genres: ``genres.txt``; only its clusters stay, and its pairs are merged. None keeps all.
    """

    dictionary: str | os.PathLike[str]
    genres: str | os.PathLike[str] | None = None


def build_space(
    settings: TagSettings, table: TagTable, *, provenance: Mapping[str, Any] | None = None
) -> LabelSpace:
    """Build the label space that the ``tags`` section describes.

    Args:
        settings: how many of the most popular tags, which besides, which not, and which together.
        table: the tags of the tracks that labels may be learned from.
        provenance: further entries for the space's provenance.

    Raises:
        FolksongError: a tag of ``with`` or ``merge`` is unknown, or no label is left.
    """
    space = top(table, settings.top or max(table.n_tags, 1), provenance=provenance)
    labels = list(space.labels)
    for tag in settings.with_ or ():
        _check_known(tag, table, "with")
        if tag not in {label.name for label in labels}:
            labels.append(Label(tag, (tag,)))
    space = LabelSpace(tuple(labels), {}, {**space.provenance, "tags": settings.model_dump(by_alias=True)})
    if settings.without:
        space = drop(space, settings.without)
    for group in settings.merge or ():
        for tag in group:
            _check_known(tag, table, "merge")
        space = _merge(space, group)
    return space


def _merge(space: LabelSpace, group: tuple[str, ...]) -> LabelSpace:
    """Return the space with one label for all tags of `group`, in the place of the first label that held any."""
    members = dict.fromkeys(group)
    labels: list[Label] = []
    place: int | None = None
    for label in space.labels:
        if members.keys() & set(label.tags):
            place = len(labels) if place is None else place
            members.update(dict.fromkeys(label.tags))
        else:
            labels.append(label)
    labels.insert(len(labels) if place is None else place, Label(group[0], tuple(members)))
    return LabelSpace(tuple(labels), space.aliases, space.provenance)


def _check_known(tag: str, table: TagTable, key: str) -> None:
    if tag not in table.tag_index:
        raise FolksongError(
            f"tags.{key}: no track of the training part has the tag {tag!r}{nearest(tag, table.tags.tolist())}"
        )


def _heavier(table: TagTable, min_weight: float) -> TagTable:
    entries = table.weights.tocoo()
    kept = entries.data > min_weight
    return TagTable.from_codes(
        table.track_ids, table.tags, entries.row[kept], entries.col[kept], entries.data[kept]
    )


def prepare(
    reader: ShardReader,
    source: TagSource,
    *,
    space: LabelSpace | None,
    tag_settings: TagSettings,
    split: Split | None,
    fractions: tuple[float, float, float],
    legacy: LegacyLabels | None = None,
    remove: tuple[str, ...] = (),
    keep_unlabelled: bool = False,
    weighted: bool = False,
    seed: int = 0,
) -> TrainingData:
    """Bring records, tags, labels and split together.

    Args:
        reader: the shards.
        source: where tags come from.
        space: the labels; None builds them as `tag_settings` say, from the training part.
        tag_settings: see `space`.
        split: the parts; None makes them.
        fractions: of the parts that are made.
        legacy: the labels, in the earlier project's files, instead of `space`.
        remove: tags to take out of the labels; of `legacy`, those clusters stay that hold at least one of the
            training part's 100 most popular tags besides these.
        keep_unlabelled: use tracks without a label too, as negative examples of every label.
        weighted: let the loss see the tags' weights instead of ones.
        seed: of a split that is made.

    Raises:
        FolksongError: no labels, or no tracks left to train on; the message says why.
    """
    table = source.read(reader)
    if split is None:
        split = make_split(table, fractions=fractions, space=space, seed=seed)
    if space is not None:
        _warn_of_leaks(space, split)
    learnable, provenance = table.select_tracks(split.training), {"split_sha256": split.sha256()}
    if legacy is not None:
        space = read_legacy_space(
            legacy.dictionary, learnable, genres=legacy.genres, remove=remove or None, provenance=provenance
        )
    else:
        if space is None:
            space = build_space(tag_settings, learnable, provenance=provenance)
        if remove:
            space = drop(space, remove)
    targets = _rows_of_records(space.encode(table), table, reader)
    learned = _rows_of_records(_scaled_weights(space, table), table, reader) if weighted else targets
    return _deal(reader, space, split, targets, learned, table, keep_unlabelled)


def _warn_of_leaks(space: LabelSpace, split: Split) -> None:
    """Say so when the labels were learned from tracks that are to test them."""
    if "split_sha256" in space.provenance:
        if space.provenance["split_sha256"] != split.sha256():
            logger.warning(
                "the labels were learned with another split; some test tracks may have taken part in it"
            )
    elif "table_sha256" in space.provenance:
        logger.warning(
            "the labels were learned from all tracks, those of the validation and test parts too; make a split with "
            "`folksong split` first, and give it to `folksong labels` and to `folksong train` with --split"
        )


def _scaled_weights(space: LabelSpace, table: TagTable) -> sp.csr_matrix:
    """Return the labels' weights in (0, 1]: weights of 0 to 100 divided by 100, the least one standing for 0."""
    largest = float(table.weights.data.max())
    if largest > FULL_WEIGHT:
        raise FolksongError(
            f"the tags have weights up to {largest:g}; to learn from weights they must lie in 0 to {FULL_WEIGHT:g} "
            "(or 0 to 1), as those of last.fm do"
        )
    if largest == table.weights.data.min():
        logger.warning("all tags have the same weight; the weights tell nothing")
    encoded = space.encode(table, weights=True)
    encoded.data = np.maximum(encoded.data / (FULL_WEIGHT if largest > 1 else 1), LEAST_WEIGHT)
    return encoded


def tags_to_remove(filter_path: str | os.PathLike[str] | None) -> tuple[str, ...]:
    """Return the tags of a folder's ``tags_remove.txt``, or of the list that ships in the package."""
    return shipped_list() if filter_path is None else read_remove_list(filter_path)


def _rows_of_records(encoded: sp.csr_matrix, table: TagTable, reader: ShardReader) -> sp.csr_matrix:
    """Return the targets in the order of the records; a record without a row in the table has none."""
    index = table.track_index
    rows = np.array([index.get(track_id, len(index)) for track_id in reader.track_ids], np.int64)
    empty = sp.csr_matrix((1, encoded.shape[1]), dtype=np.float32)
    return sp.csr_matrix(sp.vstack([encoded, empty], format="csr")[rows], dtype=np.float32)


def _deal(
    reader: ShardReader,
    space: LabelSpace,
    split: Split,
    targets: sp.csr_matrix,
    learned: sp.csr_matrix,
    table: TagTable,
    keep_unlabelled: bool,
) -> TrainingData:
    record_of: dict[str, int] = {}
    for record, track_id in enumerate(reader.track_ids):
        record_of.setdefault(track_id, record)
    labelled = np.diff(targets.indptr) > 0
    parts: dict[str, Indices] = {}
    unlabelled: dict[str, int] = {}
    absent: dict[str, tuple[str, ...]] = {}
    for part in PARTS:
        found = np.array(
            sorted(record_of[track] for track in split.part(part) if track in record_of), np.int64
        )
        missing = len(split.part(part)) - len(found)
        if missing:
            logger.warning("%d tracks of the %s part have no record in %s", missing, part, reader.folder)
        found = found[reader.n_steps[found] > 0]
        unlabelled[part] = int((~labelled[found]).sum())
        parts[part] = found if keep_unlabelled else found[labelled[found]]
        present = np.bincount(targets[parts[part]].indices, minlength=len(space)) > 0
        absent[part] = tuple(name for name, has in zip(space.names, present, strict=True) if not has)
        _report(part, unlabelled[part], absent[part], len(space), keep_unlabelled, len(parts[part]))
    if not len(parts["training"]):
        raise FolksongError(
            f"no track is left to train on: of {len(reader)} records {sum(unlabelled.values())} have no label of "
            f"the {len(space)} in the space; do labels and tags belong together, and split and shards?"
        )
    counted = table.select_tracks(reader.track_ids[record] for record in parts["training"])
    tag_counts = {
        tag: int(counted.counts[counted.tag_index[tag]]) if tag in counted.tag_index else 0
        for label in space.labels
        for tag in label.tags
    }
    return TrainingData(
        reader, space, split, targets, learned, parts, table.sha256(), unlabelled, absent, tag_counts
    )


def _report(
    part: str, unlabelled: int, absent: tuple[str, ...], n_labels: int, keep_unlabelled: bool, n_tracks: int
) -> None:
    if unlabelled:
        what = "kept as negative examples" if keep_unlabelled else "left out (--keep-unlabelled keeps them)"
        logger.info("%s part: %d tracks have no label and are %s", part, unlabelled, what)
    if absent and n_tracks:
        shown = ", ".join(map(repr, absent[:10])) + (
            f" and {len(absent) - 10} more" if len(absent) > 10 else ""
        )
        logger.warning(
            "%s part: %d of %d labels have no positive example: %s", part, len(absent), n_labels, shown
        )
    logger.info("%s part: %d tracks", part, n_tracks)
