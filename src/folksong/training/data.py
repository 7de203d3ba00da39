"""What is learned from: the records' labels, joined by track id, in three parts.

Tags come from a table by track id, or else from the records themselves; labels from a label space, or else from the
``data`` section of the settings. Labels that are made here are learned from the tags of the training part only.
"""

import logging
import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from folksong.embeddings.store import DESCRIPTION_NAME, EMBEDDINGS, Embeddings, read_embeddings
from folksong.errors import FolksongError, counted, nearest, some_of
from folksong.files import sha256_file
from folksong.labels import Label, LabelSpace, all_tags, drop, top
from folksong.labels.dictionary import read_legacy_space
from folksong.models.front_ends import FRONT_ENDS, LOG_MEL
from folksong.runs import Run
from folksong.shards.index import MANIFEST_NAME
from folksong.shards.reader import ShardReader
from folksong.splits import PARTS, Split, make_split
from folksong.stores import open_store
from folksong.tags.decisions import decided, read_decisions
from folksong.tags.sources.read_tags import read_tags
from folksong.tags.table import TagTable
from folksong.training.config import Config, DataSettings

logger = logging.getLogger(__name__)

Indices = npt.NDArray[np.int64]

FULL_WEIGHT = 100.0  # of last.fm
LEAST_WEIGHT = np.float32(0.01)  # of a label that is there: last.fm rounds small weights to 0


class Records(Protocol):
    """What is learned from, a record a track: shards, or embeddings."""

    @property
    def folder(self) -> Path:
        """Where they lie."""

    @property
    def track_ids(self) -> tuple[str, ...]:
        """(n_records,) ids."""

    @property
    def n_steps(self) -> Indices:
        """(n_records,) lengths."""

    def __len__(self) -> int: ...

    def tag_table(self, database: int = 0) -> TagTable:
        """Return the tags that the records themselves hold."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Records, their labels and their parts.

    Args:
        reader: the shards, or embeddings.
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

    reader: Records
    space: LabelSpace
    split: Split
    targets: sp.csr_matrix
    learned: sp.csr_matrix
    parts: Mapping[str, Indices]
    table_sha256: str
    unlabelled: Mapping[str, int]
    absent: Mapping[str, tuple[str, ...]]
    tag_counts: Mapping[str, int]

    @property
    def shards(self) -> ShardReader:
        """The shards that networks hear windows of."""
        assert isinstance(self.reader, ShardReader)
        return self.reader

    def targets_of(self, part: str) -> sp.csr_matrix:
        """Return the (n, n_labels) targets of a part, in the order of ``parts[part]``."""
        return self.targets[self.parts[part]]

    def learned_of(self, part: str) -> sp.csr_matrix:
        """Return what the loss sees of a part, likewise."""
        return self.learned[self.parts[part]]

    def label_counts(self) -> list[int]:
        """Return how many training tracks carry each label, in their order."""
        return [int(count) for count in self.targets_of("training").getnnz(axis=0)]

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


def open_records(folder: str | os.PathLike[str], front_end: str, settings: DataSettings) -> Records:
    """Open shards, or embeddings, and check that they hold what the front-end takes and the settings say."""
    known = (*FRONT_ENDS, EMBEDDINGS)
    if front_end not in known:
        raise FolksongError(
            f"no front-end is called {front_end!r}{nearest(front_end, known)} (there are {', '.join(known)})"
        )
    if front_end == EMBEDDINGS:
        return read_embeddings(folder)
    reader = ShardReader(folder)
    manifest = reader.manifest
    if manifest.audio_format != front_end:
        raise FolksongError(
            f"{folder}: the shards hold {manifest.audio_format}, the front-end takes {front_end}; train "
            f"{manifest.audio_format}, or write shards of {front_end}"
        )
    found = {
        "n_mels": reader.n_mels if front_end == LOG_MEL else None,
        "sample_rate": manifest.sample_rate,
        "n_tags": reader.one_hot_length(settings.database) or None if settings.n_tags else None,
    }
    for name, value in found.items():
        wanted = getattr(settings, name)
        if wanted is not None and value is not None and wanted != value:
            raise FolksongError(
                f"the settings say {name} {wanted}, but the shards in {folder} have {value}; correct the settings, "
                "or leave the key out"
            )
    if not len(reader):
        raise FolksongError(f"{folder}: the shards hold no tracks")
    return reader


def sha256_of_records(reader: Records) -> str:
    """Return the hash of the file that describes the records, and holds their hashes."""
    name = DESCRIPTION_NAME if isinstance(reader, Embeddings) else MANIFEST_NAME
    return sha256_file(open_store(reader.folder).local(name))


def read_record_tags(
    reader: Records,
    tags: TagTable | str | os.PathLike[str] | None,
    *,
    database: int = 0,
    min_weight: float | None = None,
    decisions: str | os.PathLike[str] | None = None,
) -> TagTable:
    """Return the tags of the records' tracks above a weight: of a table, or the records' own of a database.

    With `decisions` (`folksong.tags.decisions`), as those who listened to the tracks have it.
    """
    if tags is None:
        table = reader.tag_table(database)
        if min_weight is not None:
            table = _heavier(table, min_weight)
        remedy = f"{reader.folder}: the records hold no tags; give a tag table"
    else:
        whole = tags if isinstance(tags, TagTable) else read_tags(tags, min_weight=min_weight)
        table = whole.select_tracks(reader.track_ids)
        example = reader.track_ids[0] if len(reader) else ""
        remedy = (
            f"{'the tag table' if isinstance(tags, TagTable) else tags}: none of its {whole.n_tracks} tracks is among "
            f"the {len(reader)} records of {reader.folder} (such as {example!r}); do the track ids agree?"
        )
    if decisions is not None:
        known = set(reader.track_ids)
        table = decided(table, (one for one in read_decisions(decisions) if one.track in known))
    if not table.n_counts:
        raise FolksongError(remedy)
    return table


def read_run_tags(
    run: Run, reader: Records, tags: TagTable | str | os.PathLike[str] | None = None
) -> TagTable:
    """Return the tags of the records' tracks as a run was trained on them, or those of another table."""
    stored = run.config["tags"]
    table = read_record_tags(
        reader,
        stored["path"] if tags is None else tags,
        database=int(stored["database"]),
        min_weight=stored["min_weight"],
        decisions=stored.get("decisions"),
    )
    if tags is None and table.sha256() != stored["table_sha256"]:
        logger.warning(
            "%s: the tags have changed since %s was trained", stored["path"] or reader.folder, run.path
        )
    return table


def rows_of_tracks(matrix: sp.csr_matrix, table: TagTable, track_ids: Sequence[str]) -> sp.csr_matrix:
    """Return the rows of these tracks of a CSR matrix (table.n_tracks, n), in order; empty for an unknown track."""
    found = (table.row_of(track_id) for track_id in track_ids)
    rows = np.array([table.n_tracks if row is None else row for row in found], np.int64)
    empty = sp.csr_matrix((1, matrix.shape[1]), dtype=matrix.dtype)
    return sp.csr_matrix(sp.vstack([matrix, empty], format="csr")[rows])


@dataclass(frozen=True)
class LegacyLabels:
    """Labels in the files of the earlier project.

    Args:
        dictionary: ``tags_dict_x.pkl``, or a folder that holds one.
        genres: ``genres.txt``; only its clusters stay, and its pairs are merged. None keeps all.
    """

    dictionary: str | os.PathLike[str]
    genres: str | os.PathLike[str] | None = None


def build_space(
    settings: DataSettings, table: TagTable, *, provenance: Mapping[str, Any] | None = None
) -> LabelSpace:
    """Build the label space that the settings describe, of the tags of the tracks that labels may be learned from."""
    space = top(table, settings.top or max(table.n_tags, 1), provenance=provenance)
    labels = list(space.labels)
    for tag in settings.with_ or ():
        _check_known(tag, table, "with")
        if tag not in {label.name for label in labels}:
            labels.append(Label(tag, (tag,)))
    chosen = settings.model_dump(by_alias=True, include={"top", "with_", "without", "merge"})
    space = LabelSpace(tuple(labels), {}, {**space.provenance, "tags": chosen})
    if settings.without:
        space = drop(space, settings.without)
    for group in settings.merge or ():
        for tag in group:
            _check_known(tag, table, "merge")
        space = (_merge if settings.merge_as == "one" else _set_together)(space, group)
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


def _set_together(space: LabelSpace, group: tuple[str, ...]) -> LabelSpace:
    """Return the space whose labels that hold a tag of `group` hold all of them, as the earlier project merged."""
    labels = tuple(
        Label(label.name, tuple(dict.fromkeys([*label.tags, *group])))
        if set(group) & set(label.tags)
        else label
        for label in space.labels
    )
    return LabelSpace(labels, space.aliases, space.provenance)


def _check_known(tag: str, table: TagTable, key: str) -> None:
    if tag not in table.tag_index:
        raise FolksongError(
            f"{key}: no track of the training part has the tag {tag!r}{nearest(tag, table.tags.tolist())}"
        )


def _heavier(table: TagTable, min_weight: float) -> TagTable:
    entries = table.weights.tocoo()
    kept = entries.data > min_weight
    return TagTable.from_codes(
        table.track_ids, table.tags, entries.row[kept], entries.col[kept], entries.data[kept]
    )


def prepare(
    reader: Records,
    table: TagTable,
    config: Config,
    *,
    labels: LabelSpace | LegacyLabels | None = None,
    split: Split | None = None,
) -> TrainingData:
    """Bring records, tags, labels and split together.

    Args:
        reader: the shards.
        table: the tags of the records' tracks.
        config: its ``data`` section says what labels and parts are that are not given. Where it has tags to
            ``remove``, of the earlier project's files those clusters stay that hold at least one of the training
            part's 100 most popular tags besides these.
        labels: the label space, or the earlier project's files; None builds it from the training part.
        split: the parts; None makes them.

    Raises:
        FolksongError: no labels, or no tracks left to train on; the message says why.
    """
    settings = config.data
    space = labels if isinstance(labels, LabelSpace) else None
    if split is None:
        split = make_split(table, fractions=settings.fractions, space=space, seed=config.runtime.seed)
    learnable, provenance = table.select_tracks(split.training), {"split_sha256": split.sha256()}
    if space is not None:
        _warn_of_leaks(space, split, learnable)
    if isinstance(labels, LegacyLabels):
        space = read_legacy_space(
            labels.dictionary,
            learnable,
            genres=labels.genres,
            remove=settings.remove or None,
            provenance=provenance,
        )
    else:
        if (
            space is None
            and config.model.head == "joint"
            and settings.top == DataSettings.model_fields["top"].default
        ):
            space = all_tags(learnable, provenance=provenance)
        elif space is None:
            space = build_space(settings, learnable, provenance=provenance)
        if settings.remove:
            space = drop(space, settings.remove)
    targets = _rows_of_records(space.encode(table), table, reader)
    weighted = config.loss.weights != "ignore"
    learned = _rows_of_records(_scaled_weights(space, table), table, reader) if weighted else targets
    return _deal(reader, space, split, targets, learned, table, settings.keep_unlabelled)


def read_run_data(run: Run, shards: str | os.PathLike[str] | None, config: Config) -> TrainingData:
    """Return what a run was trained on; `shards` is where they are now, if they have moved."""
    reader = open_records(run.shards_dir if shards is None else shards, run.front_end, config.data)
    if sha256_of_records(reader) != run.config["shards"]["manifest_sha256"]:
        raise FolksongError(
            f"{reader.folder}: not the shards that {run.path} was trained on; begin a new run"
        )
    table = read_run_tags(run, reader)
    kept = config.model_copy(update={"data": config.data.model_copy(update={"remove": ()})})
    data = prepare(reader, table, kept, labels=run.labels, split=run.split)
    if data.table_sha256 != run.config["tags"]["table_sha256"]:
        raise FolksongError(
            f"{run.config['tags']['path'] or reader.folder}: the tags have changed since {run.path} began; begin anew"
        )
    return data


def _warn_of_leaks(space: LabelSpace, split: Split, learnable: TagTable) -> None:
    """Say so when the labels were learned from tracks that are to test them, and not from `learnable` alone."""
    if space.provenance.get("table_sha256") == learnable.sha256():
        return
    if "split_sha256" in space.provenance:
        if space.provenance["split_sha256"] != split.sha256():
            logger.warning(
                "the labels were learned with another split; some test tracks may have taken part in it"
            )
    elif "table_sha256" in space.provenance:
        logger.warning(
            "the labels were learned from all tracks, those of the validation and test parts too; make a split first, "
            "learn the labels from the tags of its training part, and train with it"
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


def _rows_of_records(encoded: sp.csr_matrix, table: TagTable, reader: Records) -> sp.csr_matrix:
    return sp.csr_matrix(rows_of_tracks(encoded, table, reader.track_ids), dtype=np.float32)


def _deal(
    reader: Records,
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
    # A record whose id the split does not have stands for the id that differs in its Unicode form only.
    listed = {track for part in PARTS for track in split.part(part)}
    for track_id in [track_id for track_id in record_of if not (track_id.isascii() or track_id in listed)]:
        record_of.setdefault(unicodedata.normalize("NFC", track_id), record_of[track_id])
        record_of.setdefault(unicodedata.normalize("NFD", track_id), record_of[track_id])
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
        what = "kept as negative examples" if keep_unlabelled else "left out (keep_unlabelled keeps them)"
        logger.info("%s part: %s without a label, %s", part, counted(unlabelled, "track"), what)
    if absent and n_tracks:
        logger.warning(
            "%s part: %d of %d labels have no positive example: %s",
            *(part, len(absent), n_labels, some_of(map(repr, absent), 10)),
        )
    logger.info("%s part: %s", part, counted(n_tracks, "track"))
