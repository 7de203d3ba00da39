"""The scores of one part of a run's split: tracks, the labels that listeners gave them, and what the tagger says.

`score_part` computes them from the run's shards; as a file they are ``<part>.npz``.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from folksong.embeddings.store import Embeddings, read_embeddings
from folksong.errors import FileFormatError, FolksongError
from folksong.files import atomic_path, describe_os_error
from folksong.models.checkpoint import load_head
from folksong.prediction import load_tagger
from folksong.prediction.asked_tags import ask_for
from folksong.prediction.windows import Clip, centre_of, score_clips
from folksong.runs import Run, Scoring
from folksong.shards.reader import ShardReader
from folksong.stores import is_address
from folksong.training.data import read_run_tags, rows_of_tracks

logger = logging.getLogger(__name__)

ARRAYS = ("track_ids", "labels", "targets", "scores", "measured")


@dataclass(frozen=True, eq=False)
class ScoredTracks:
    """The scores of one part's tracks.

    Args:
        track_ids: (n_tracks,) strings.
        labels: (n_labels,) names, in the order of the tagger's outputs.
        targets: (n_tracks, n_labels) uint8, 1 where a track carries a label.
        scores: (n_tracks, n_labels) float32 in 0 to 1.
        measured: (n_tracks,) bool; False for tracks that the run leaves out (no label of the space). They are scored
            all the same, so that runs with other labels can be compared on the same tracks.
    """

    track_ids: tuple[str, ...]
    labels: tuple[str, ...]
    targets: npt.NDArray[np.uint8]
    scores: npt.NDArray[np.float32]
    measured: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        shape = len(self.track_ids), len(self.labels)
        if self.targets.shape != shape or self.scores.shape != shape or self.measured.shape != shape[:1]:
            raise FolksongError(
                f"{shape[0]} tracks and {shape[1]} labels do not fit targets {self.targets.shape}, scores "
                f"{self.scores.shape} and marks {self.measured.shape}"
            )

    def __len__(self) -> int:
        return len(self.track_ids)

    def select(self, rows: Sequence[int] | npt.NDArray[np.integer | np.bool_]) -> "ScoredTracks":
        """Return the tracks of these rows (numbers, or a mask)."""
        chosen = np.arange(len(self))[np.asarray(rows)]
        return ScoredTracks(
            tuple(self.track_ids[row] for row in chosen),
            self.labels,
            self.targets[chosen],
            self.scores[chosen],
            self.measured[chosen],
        )

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the arrays as ``.npz`` (no pickled objects: ``numpy.load(path)`` reads it as it is)."""
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(
                stream,
                track_ids=np.array(self.track_ids, np.str_),
                labels=np.array(self.labels, np.str_),
                targets=self.targets,
                scores=self.scores,
                measured=self.measured,
            )

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "ScoredTracks":
        """Read what `write` wrote."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in ARRAYS}
            return cls(
                tuple(arrays["track_ids"].tolist()),
                tuple(arrays["labels"].tolist()),
                arrays["targets"].astype(np.uint8),
                arrays["scores"].astype(np.float32),
                arrays["measured"].astype(bool),
            )
        except FileNotFoundError as error:
            raise FolksongError(f"{describe_os_error(error, path)}; evaluate the run first") from error
        except Exception as error:  # a damaged archive provokes nearly all there are
            raise FileFormatError(
                f"{Path(path)}: not the scores of an evaluation, or damaged ({error}); evaluate the run again"
            ) from error


@dataclass(frozen=True)
class ShardClip:
    """One record of a folder of shards, as `folksong.prediction.score_clips` takes it."""

    reader: ShardReader
    record: int

    @property
    def n_steps(self) -> int:
        """Number of samples or frames."""
        return int(self.reader.n_steps[self.record])

    def window_into(self, start: int, out: npt.NDArray[np.float32]) -> None:
        """Write the steps from `start` into `out`, repeating a record that is shorter."""
        self.reader.window_into(self.record, start, out)


def score_part(
    run: Run,
    part: str,
    scoring: Scoring,
    *,
    shards: str | os.PathLike[str] | None = None,
    tags: str | os.PathLike[str] | None = None,
    device: str | None = None,
    batch_size: int = 32,
    progress: bool = False,
) -> ScoredTracks:
    """Score the tracks of one part of a run's split, in the order of the shards; arguments as of `evaluate`."""
    reader = open_run_records(run, shards)
    records = _records_of(part, run, reader)
    table = read_run_tags(run, reader, tags)
    track_ids = tuple(reader.track_ids[record] for record in records)
    targets = rows_of_tracks(run.labels.encode(table), table, track_ids).toarray().astype(np.uint8)
    scores = score_records(
        run, reader, records, scoring, device=device, batch_size=batch_size, progress=progress
    )
    measured = np.asarray(targets.any(axis=1))
    if run.config.get("keep_unlabelled", False):
        measured[:] = True
    if not measured.any():
        raise FolksongError(f"{run.path}: no track of the {part} part has a label of the space")
    return ScoredTracks(track_ids, run.labels.names, targets, scores, measured)


def score_records(
    run: Run,
    reader: ShardReader | Embeddings,
    records: npt.NDArray[np.int64],
    scoring: Scoring,
    *,
    tags: tuple[str, ...] = (),
    device: str | None = None,
    batch_size: int = 32,
    progress: bool = False,
) -> npt.NDArray[np.float32]:
    """Return a run's scores of some records, (n_records, n_labels); of a run in the joint space, those of `tags`."""
    if isinstance(reader, Embeddings):
        head = load_head(run)
        if tags:
            ask_for(head, run, tags)
        vectors = reader.vectors(reader.track_ids[record] for record in records)
        with torch.inference_mode():
            of_tracks: npt.NDArray[np.float32] = torch.sigmoid(head(torch.from_numpy(vectors))).numpy()
        return of_tracks
    tagger = load_tagger(run, device=device, batch_size=batch_size, tags=tags, scoring=scoring)
    clips: Iterator[Clip] = (ShardClip(reader, int(record)) for record in records)
    if scoring.windows == "centre":
        clips = (centre_of(clip, tagger.window_steps) for clip in clips)
    found = score_clips(
        tagger.model,
        clips,
        window_steps=tagger.window_steps,
        hop_steps=tagger.hop_steps,
        batch_size=tagger.batch_size,
        autocast=tagger.autocast,
    )
    bar = tqdm(found, total=len(records), desc="scoring", unit="track", disable=not progress)
    scores = np.empty((len(records), len(tagger.labels)), np.float32)
    for row, values in enumerate(bar):
        scores[row] = values
    return scores


def open_run_records(run: Run, folder: str | os.PathLike[str] | None = None) -> ShardReader | Embeddings:
    """Open the shards or embeddings of a run, or others of the same kind."""
    place = run.shards_dir if folder is None else folder
    if folder is None and not is_address(place) and not run.shards_dir.is_dir():
        raise FolksongError(f"{place}: the shards of {run.path} are no longer there; say where they are now")
    if run.space is not None:
        embeddings = read_embeddings(place)
        run.space.require(embeddings.space, place, f"the run {run.path}")
        return embeddings
    reader = ShardReader(place)
    for name in ("audio_format", "sample_rate", "preset"):
        found, wanted = getattr(reader.manifest, name), getattr(run, name)
        if found != wanted:
            raise FolksongError(
                f"{place}: these shards have {name} {found!r}, but {run.path} was trained on {wanted!r}; give "
                "shards of the same kind"
            )
    return reader


def _records_of(part: str, run: Run, reader: ShardReader | Embeddings) -> npt.NDArray[np.int64]:
    wanted = set(run.split.part(part))
    record_of: dict[str, int] = {}
    for record, track_id in enumerate(reader.track_ids):
        if track_id in wanted and reader.n_steps[record] > 0:
            record_of.setdefault(track_id, record)
    missing = len(wanted) - len(record_of)
    if not record_of:
        why = (
            "the split has none"
            if not wanted
            else f"none of its {missing} tracks has a record in {reader.folder}"
        )
        raise FolksongError(f"{run.path}: the {part} part has no track to score ({why})")
    if missing:
        logger.warning("%d tracks of the %s part have no record in %s", missing, part, reader.folder)
    return np.array(sorted(record_of.values()), np.int64)
