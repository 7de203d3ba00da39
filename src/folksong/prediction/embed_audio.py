"""Recordings -> a folder of embeddings, by an extractor, on all cores; what was stopped goes on."""

import hashlib
import logging
import os
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

from folksong.audio.catalogue import Track, read_catalogue, scan_folder
from folksong.audio.decode import decode
from folksong.audio.guarded import run_guarded
from folksong.audio.workers import n_processes
from folksong.embeddings.store import DESCRIPTION_NAME, Embeddings, read_embeddings, write_embeddings
from folksong.errors import AudioError, FolksongError
from folksong.models.pretrained.extractors import Extractor, get_extractor
from folksong.models.pretrained.pooling import Pool, Vector

logger = logging.getLogger(__name__)

LIMIT_SECONDS, LIMIT_SECONDS_PER_BYTE = 120.0, 2e-6
FLUSH_EVERY = 20  # rows


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
    """Write the embeddings of recordings into a folder, in the order of the tracks; go on where one was stopped.

    Recordings that cannot be decoded are named in a warning, and in the folder's provenance.

    Args:
        audio: a folder of recordings, a track list (`folksong.audio.catalogue`), or tracks.
        out: the folder to write.
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
    jobs = n_processes(jobs)
    settings = (model, None if weights is None else os.fspath(weights), layer, pool)
    space = _extractor(*settings).space
    inputs = {"extractor": model, "recordings_sha256": _fingerprint(tracks)}
    if (Path(out) / DESCRIPTION_NAME).exists():
        done = read_embeddings(out)
        if done.space == space and all(done.provenance.get(key) == value for key, value in inputs.items()):
            logger.info("%s: these embeddings are written already; nothing to do", out)
            return done
    with write_embeddings(out, space, inputs=inputs) as writer:
        if n_done := len(writer.track_ids):
            logger.info("%s: going on after %d recordings", out, n_done)
        todo = [track for track in tracks if track.track_id not in writer.track_ids]
        skipped = []
        with closing(_embedded(todo, settings, jobs, dask, progress)) as embedded:
            for number, (track, vector, reason) in enumerate(embedded, 1):
                if vector is None:
                    logger.warning("%s", reason)
                    skipped.append({"track_id": track.track_id, "reason": reason})
                else:
                    writer.add(track.track_id, vector)
                if not number % FLUSH_EVERY:
                    writer.flush()
        if skipped:
            logger.warning("%d of %d recordings have no embedding", len(skipped), len(tracks))
        return writer.finish({**inputs, "space": asdict(space), "skipped": skipped})


def _tracks(audio: str | os.PathLike[str]) -> list[Track]:
    return scan_folder(audio) if Path(audio).is_dir() else read_catalogue(audio)


def _embedded(
    tracks: list[Track],
    settings: tuple[str, str | None, str | None, Pool | None],
    jobs: int,
    dask: str | None,
    progress: bool,
) -> Generator[tuple[Track, Vector | None, str]]:
    """Yield each track in order with its embedding, or with the reason why it has none."""
    from tqdm import tqdm

    paths = [os.fspath(track.path) for track in tracks]
    largest = max((os.path.getsize(path) for path in paths if os.path.isfile(path)), default=0)  # noqa: PTH113, PTH202
    waiting: dict[str, tuple[Vector | None, str]] = {}
    next_number = 0
    with tqdm(total=len(tracks), unit="track", leave=False, disable=not progress) as bar:
        for outcomes in run_guarded(
            _embed,
            ([path] for path in dict.fromkeys(paths)),
            settings,
            jobs=jobs,
            dask=dask,
            limit_seconds=LIMIT_SECONDS + LIMIT_SECONDS_PER_BYTE * largest,
        ):
            for outcome in outcomes:
                waiting[outcome.path] = outcome.result or (None, f"{outcome.path}: {outcome.crash}")
            while next_number < len(tracks) and paths[next_number] in waiting:
                yield tracks[next_number], *waiting[paths[next_number]]
                next_number += 1
                bar.update()


def _embed(
    path: str, model: str, weights: str | None, layer: str | None, pool: Pool | None
) -> tuple[Vector | None, str]:
    """Return a recording's embedding, or the reason why it has none. Runs in a worker."""
    extractor = _extractor(model, weights, layer, pool)
    try:
        return extractor(decode(path, extractor.sample_rate)), ""
    except AudioError as error:
        message = str(error)
        return None, message if message.startswith(path) else f"{path}: {message}"


@lru_cache(maxsize=1)
def _extractor(model: str, weights: str | None, layer: str | None, pool: Pool | None) -> Extractor:
    return get_extractor(model, weights=weights, layer=layer, pool=pool)


def _fingerprint(tracks: Iterable[Track]) -> str:
    """Return a hash of the tracks' ids, paths and file sizes."""
    digest = hashlib.sha256()
    for track in tracks:
        size = track.path.stat().st_size if track.path.is_file() else -1
        digest.update(f"{track.track_id}\0{track.path}\0{size}\0".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
