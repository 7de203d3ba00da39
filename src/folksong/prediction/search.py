"""Search by words: which recordings of a folder a run in the joint space (Model 6) places nearest to a description.

Where each recording lies in the joint space is kept in the run as a folder of embeddings, so that a second search, or
one after a few recordings were added, hears only what is new. The search is exact, by one matrix product.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from folksong.embeddings.growing import Row, grow_embeddings, states_of
from folksong.embeddings.store import Embeddings, EmbeddingSpace
from folksong.errors import FolksongError
from folksong.files import sha256_file
from folksong.models.heads import joint_output
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
    opened = Run.open(run)
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
    paths = {os.fspath(name): folder / name for name in walk_recordings(folder)}
    if not paths:
        raise FolksongError(f"{folder}: holds no recording")
    tagger.listen()
    weights = sha256_file(run.best_checkpoint)
    rate, n_numbers = run.sample_rate or None, len(tagger.labels)
    space = EmbeddingSpace("folksong-joint", "1", "joint", "mean", rate, None, "", weights, n_numbers)
    key = hashlib.sha256(os.fspath(folder.resolve()).encode()).hexdigest()[:8]
    place = run.path / INDEX_NAME / f"{folder.resolve().name}-{key}-{weights[:8]}"
    for other in place.parent.glob(f"*-{key}*"):
        if other != place:  # of other weights
            shutil.rmtree(other)

    def hear(parts: Iterator[Sequence[str]]) -> Iterator[dict[str, Row]]:
        for part in parts:
            heard = tagger.predict_files((paths[name] for name in part), on_error=on_error)
            rows = {os.fspath(Path(found.file).relative_to(folder)): found.scores for found in heard}
            yield {name: rows.get(name, "cannot be decoded") for name in part}

    return grow_embeddings(place, space, states_of(paths), hear, progress=progress, told=logging.DEBUG)
