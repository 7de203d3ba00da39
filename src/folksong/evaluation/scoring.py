"""From a run and its shards to the scores of one part."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from folksong.errors import FolksongError
from folksong.evaluation.scored import ScoredTracks
from folksong.models.tagger import Tagger
from folksong.prediction import LoadedTagger, load_tagger
from folksong.prediction.windows import Which, score_clips
from folksong.runs import Run
from folksong.shards.reader import ShardReader
from folksong.training.data import read_run_tags, rows_of_tracks

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ShardClip:
    """One record of a folder of shards."""

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
    part: str = "test",
    *,
    shards: str | os.PathLike[str] | None = None,
    tags: str | os.PathLike[str] | None = None,
    windows: Which = "track",
    hop_seconds: float | None = None,
    device: str | None = None,
    batch_size: int = 32,
    precision: str = "32",
    progress: bool = False,
) -> ScoredTracks:
    """Score the tracks of one part of a run's split, in the order of the shards.

    Args:
        run: the run.
        part: ``"test"``, ``"validation"`` or ``"training"``.
        shards: where the shards are now; None: where the run found them.
        tags: a tag table instead of the run's own tag source.
        windows: ``"track"`` averages sliding windows over the whole track, ``"centre"`` takes the middle one.
        hop_seconds: between the beginnings of windows; half a window if None.
        device: ``"cpu"``, ``"cuda"``, …; a GPU where there is one if None.
        batch_size: windows scored at once.
        precision: ``"32"``, ``"bf16"``, ``"16"`` or ``"auto"``; see `folksong.prediction.LoadedTagger`.
        progress: show a bar.

    Raises:
        FolksongError: shards or tags are missing or of another kind, or the part holds no track.
    """
    reader = open_shards(run, shards)
    records = _records_of(part, run, reader)
    table = read_run_tags(run, reader, tags)
    track_ids = tuple(reader.track_ids[record] for record in records)
    targets = rows_of_tracks(run.labels.encode(table), table, track_ids).toarray().astype(np.uint8)
    tagger = load_tagger(
        run,
        device=device,
        hop_seconds=hop_of(run, hop_seconds),
        batch_size=batch_size,
        precision=precision,
    )
    scores = np.empty((len(records), len(tagger.labels)), np.float32)
    bar = tqdm(total=len(records), desc=f"scoring the {part} part", unit="track", disable=not progress)
    with bar:
        for row, found in enumerate(_score(tagger, reader, records, windows)):
            scores[row] = found
            bar.update()
    measured = np.asarray(targets.any(axis=1))
    if run.config.get("keep_unlabelled", False):
        measured[:] = True
    return ScoredTracks(
        track_ids,
        run.labels.names,
        targets,
        scores,
        measured,
    )


def hop_of(run: Run, wanted: float | None) -> float:
    """Return the seconds between the beginnings of windows: those wanted, or half a window, which evaluation takes."""
    return run.window_seconds / 2 if wanted is None else wanted


def open_shards(run: Run, folder: str | os.PathLike[str] | None = None) -> ShardReader:
    """Open the shards of a run, or others of the same kind.

    Raises:
        FolksongError: they are not there, or hold other audio than the run was trained on.
    """
    place = run.shards_dir if folder is None else folder
    if folder is None and not run.shards_dir.is_dir():
        raise FolksongError(
            f"{place}: the shards of {run.path} are no longer there; say where they are (--shards)"
        )
    reader = ShardReader(place)
    manifest = reader.manifest
    found = {
        "audio_format": manifest.audio_format,
        "sample_rate": manifest.sample_rate,
        "preset": manifest.preset,
    }
    wanted = {"audio_format": run.audio_format, "sample_rate": run.sample_rate, "preset": run.preset}
    for name, value in wanted.items():
        if found[name] != value:
            raise FolksongError(
                f"{place}: these shards have {name} {found[name]!r}, but {run.path} was trained on {value!r}; give "
                "shards of the same kind"
            )
    return reader


def _records_of(part: str, run: Run, reader: ShardReader) -> npt.NDArray[np.int64]:
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


def _score(
    tagger: LoadedTagger, reader: ShardReader, records: npt.NDArray[np.int64], windows: Which
) -> Iterator[npt.NDArray[np.float32]]:
    model: Tagger = tagger.model
    return score_clips(
        model,
        (ShardClip(reader, int(record)) for record in records),
        window_steps=tagger.window_steps,
        hop_steps=tagger.hop_steps,
        which=windows,
        batch_size=tagger.batch_size,
        autocast=tagger.autocast,
    )
