"""Search by words: which recordings of a folder a run in the joint space (Model 6) places nearest to a description.

Where each recording lies in the joint space is kept in the run as a folder of embeddings, so that a second search, or
one after a few recordings were added, hears only what is new. The search is exact, by one matrix product.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from folksong.embeddings.store import Embeddings, EmbeddingSpace, read_embeddings, write_embeddings
from folksong.errors import FolksongError
from folksong.files import sha256_file
from folksong.models.joint import joint_output
from folksong.prediction.asked_tags import ask_for
from folksong.prediction.load_tagger import load_tagger
from folksong.prediction.predictor import LoadedTagger
from folksong.recordings import walk_recordings
from folksong.runs import Run

logger = logging.getLogger(__name__)

INDEX_NAME = "index"


def search(
    run: Run | str | os.PathLike[str],
    folder: str | os.PathLike[str],
    query: str,
    *,
    top: int = 10,
    device: str | None = None,
    on_error: Callable[[str, FolksongError], None] | None = None,
    progress: bool = False,
) -> list[tuple[str, float]]:
    """Return the recordings of a folder that are nearest to a description: (path below the folder, cosine), best first.

    Args:
        run: a run in the joint space, or its folder.
        folder: recordings; they are heard once, and again where the file or the run has changed.
        query: any words, see `folksong.prediction.asked_tags.ask_for`.
        top: how many.
        device: as of `load_tagger`.
        on_error: called with a recording that cannot be decoded and the reason; without it the error is raised.
        progress: show a bar.

    Raises:
        FolksongError: no recording, or the run has no joint space or no known word.
    """
    opened = run if isinstance(run, Run) else Run.open(run)
    tagger = load_tagger(opened, device=device, precision="32")
    layer = joint_output(tagger.network)
    ask_for(tagger.network, opened, (query,))
    assert layer is not None
    with torch.inference_mode():
        wanted = layer.embed_tags(layer.tag_vectors)[0].cpu().numpy()
    index = _index(opened, tagger, Path(folder), on_error, progress)
    with np.errstate(invalid="ignore"):
        scores = np.asarray(index.values, np.float32) @ wanted
        scores /= np.linalg.norm(index.values, axis=1) * np.linalg.norm(wanted)
    best = np.argsort(-np.nan_to_num(scores, nan=-1), kind="stable")[:top]
    return [(index.track_ids[row], float(scores[row])) for row in best]


def _index(
    run: Run,
    tagger: LoadedTagger,
    folder: Path,
    on_error: Callable[[str, FolksongError], None] | None,
    progress: bool,
) -> Embeddings:
    """Return where the folder's recordings lie; those that are new or changed are heard first."""
    files = {
        os.fspath(name): [(status := (folder / name).stat()).st_size, status.st_mtime_ns]
        for name in walk_recordings(folder)
    }
    if not files:
        raise FolksongError(f"{folder}: holds no recording")
    tagger.listen()
    weights = sha256_file(run.best_checkpoint)
    rate, n_numbers = run.sample_rate or None, len(tagger.labels)
    space = EmbeddingSpace("folksong-joint", "1", "joint", "mean", rate, None, "", weights, n_numbers)
    key = hashlib.sha256(os.fspath(folder.resolve()).encode()).hexdigest()[:8]
    place = run.path / INDEX_NAME / f"{folder.resolve().name}-{key}"
    fresh = place.with_name(f"{place.name}.{weights[:8]}")
    old = read_embeddings(place) if (place / "embeddings.json").is_file() else None
    known = {} if old is None or old.space != space else old.provenance["files"]
    if known == files and old is not None:
        return old
    with write_embeddings(fresh, space, inputs={"folder": os.fspath(folder.resolve())}) as writer:
        for name in files:
            kept = old is not None and known.get(name) == files[name] and old.row_of(name) is not None
            if kept and old is not None and name not in writer.track_ids:
                writer.add(name, old.vectors([name])[0])
        waiting = [name for name in files if name not in writer.track_ids]
        heard = tagger.predict_files((folder / name for name in waiting), on_error=on_error)
        for found in tqdm(heard, total=len(waiting), unit="file", leave=False, disable=not progress):
            writer.add(os.fspath(Path(found.file).relative_to(folder)), found.scores)
        writer.finish({"files": files})
    if place.exists():
        shutil.rmtree(place)
    fresh.replace(place)
    return read_embeddings(place)
