"""Recordings -> a folder of embeddings, by an extractor, on all cores; again where recordings were added or changed."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial

from folksong.audio.catalogue import Track, read_tracks, scan_folder
from folksong.audio.decode import decode
from folksong.audio.guarded import Outcome, run_guarded
from folksong.audio.workers import n_processes
from folksong.embeddings.growing import Row, grow_embeddings, states_of
from folksong.embeddings.pooling import Pool
from folksong.embeddings.store import Embeddings
from folksong.errors import PASSING, AudioError, FolksongError, may_pass
from folksong.models.pretrained.extractors import Extractor, get_extractor
from folksong.stores import brought, is_address, text_of

logger = logging.getLogger(__name__)

LIMIT_SECONDS, LIMIT_SECONDS_PER_BYTE = 120.0, 2e-6


def embed_audio(
    audio: str | os.PathLike[str] | Iterable[Track],
    out: str | os.PathLike[str],
    model: str,
    *,
    weights: str | os.PathLike[str] | None = None,
    layer: str | None = None,
    pool: Pool | None = None,
    jobs: int = -1,
    dask: str | None = None,
    progress: bool = False,
) -> Embeddings:
    """Write the embeddings of recordings into a folder, in the order of the tracks; hear new and changed ones only.

    What was stopped goes on, and the same call in several processes shares the work. Recordings that cannot be decoded
    are named in a warning, and in the folder's provenance.

    Args:
        audio: a folder of recordings, a track list (`folksong.audio.catalogue`), or tracks.
        out: the folder to write, or one that this function wrote and that is to follow the recordings.
        model: the extractor's name: ``statistics``, ``musicnn-msd``, …
        weights: see `folksong.models.pretrained.extractors.get_extractor`, as for `layer` and `pool`.
        layer: likewise.
        pool: likewise.
        jobs: processes; -1 is one a core.
        dask: address of a Dask scheduler, whose workers take the place of `jobs`.
        progress: show a progress bar.

    Raises:
        FolksongError: there are no recordings, none can be decoded, or the folder holds something else.
    """
    tracks = list(_tracks(audio) if isinstance(audio, str | os.PathLike) else audio)
    if not tracks:
        raise FolksongError("there are no tracks to embed: the catalogue or folder is empty")
    paths = {track.track_id: text_of(track.path) for track in tracks}
    if len(paths) < len(tracks):
        raise FolksongError("a track id occurs twice among the tracks to embed; they must differ")
    settings = (model, None if weights is None else os.fspath(weights), layer, pool)
    states = states_of(paths)
    largest = max(int(state.partition(" ")[0] or 0) for state in states.values())
    limit = LIMIT_SECONDS + LIMIT_SECONDS_PER_BYTE * largest
    call = partial(
        run_guarded, _embed, arguments=settings, jobs=n_processes(jobs), dask=dask, limit_seconds=limit
    )
    return grow_embeddings(
        out,
        _extractor(*settings).space,
        states,
        lambda parts: _heard(parts, paths, call),
        provenance={"extractor": model},
        progress=progress,
    )


def _heard(
    parts: Iterable[Sequence[str]],
    paths: Mapping[str, str],
    call: Callable[[Iterable[Sequence[str]]], Iterator[list[Outcome[Row]]]],
) -> Iterator[dict[str, Row]]:
    """Yield the rows of each part, in the order in which processes have heard them."""
    begun: dict[tuple[str, ...], list[Sequence[str]]] = {}  # several where ids share a recording

    def batches() -> Iterator[tuple[str, ...]]:
        for part in parts:
            batch = tuple(paths[track_id] for track_id in part)
            begun.setdefault(batch, []).append(part)
            yield batch

    for outcomes in call(batches()):
        part = begun[tuple(outcome.path for outcome in outcomes)].pop()
        rows = {}
        for track_id, outcome in zip(part, outcomes, strict=True):
            again = PASSING if outcome.crash and outcome.crash.may_pass else ""
            row = f"{outcome.path}: {again}{outcome.crash}" if outcome.result is None else outcome.result
            rows[track_id] = row
            if isinstance(row, str):
                logger.warning("%s", row)
        yield rows


def _tracks(audio: str | os.PathLike[str]) -> list[Track]:
    # Of a catalogue in a store a command has a copy.
    return scan_folder(audio) if is_address(audio) else read_tracks(audio)


def _embed(path: str, model: str, weights: str | None, layer: str | None, pool: Pool | None) -> Row:
    """Return a recording's embedding, or the reason why it has none. Runs in a worker."""
    extractor = _extractor(model, weights, layer, pool)
    try:
        with brought(path) as file:
            try:
                return extractor(decode(file, extractor.sample_rate))
            except AudioError as error:
                reason = str(error).replace(file, path).removeprefix(f"{path}: ")
                return f"{path}: {PASSING if may_pass(error) else ''}{reason}"
    except FileNotFoundError:
        return f"{path}: {PASSING}no such file"


@lru_cache(maxsize=1)
def _extractor(model: str, weights: str | None, layer: str | None, pool: Pool | None) -> Extractor:
    return get_extractor(model, weights=weights, layer=layer, pool=pool)
