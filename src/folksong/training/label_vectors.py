"""What labels mean as vectors: for the semantic loss, and as the tag side of the joint space."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import nn

from folksong.embeddings.ppmi import MIN_CONTEXT_COUNT, ppmi_vectors
from folksong.embeddings.read_vectors import read_vectors
from folksong.embeddings.skipgram import train_skipgram
from folksong.embeddings.tags import embed_tags
from folksong.embeddings.words import WordVectors
from folksong.errors import FolksongError
from folksong.labels.hybrid_vectors import with_predicted
from folksong.labels.space import LabelSpace
from folksong.models.heads import joint_output
from folksong.runs import Run
from folksong.tags.table import TagTable
from folksong.training.config import Config
from folksong.training.data import TrainingData
from folksong.training.losses import HINGE_SCALE

logger = logging.getLogger(__name__)

RANDOM_NUMBERS = 60  # as many as co-occurrence vectors have


@dataclass(frozen=True, eq=False)
class LabelVectors:
    """What labels mean, for the semantic loss.

    Args:
        vectors: (n_labels, dimension) float32, rows of length 1; zeros for a label that has none.
        missing: names of the labels without a vector.
        source: what the vectors came from.
        sha256: hash of that source.
    """

    vectors: npt.NDArray[np.float32]
    missing: tuple[str, ...]
    source: str
    sha256: str


def embed_labels(
    space: LabelSpace, vectors: WordVectors, counts: Mapping[str, int] | None = None
) -> LabelVectors:
    """Give each label the mean of its tags' unit vectors, weighted by their counts and scaled to length 1.

    Without `counts`, or any of a label's tags, its tags weigh equally.
    """
    tags = list(dict.fromkeys(tag for label in space.labels for tag in label.tags))
    embedded = embed_tags(tags, vectors)
    row_of = {tag: row for row, tag in enumerate(embedded.tags)}
    means = np.zeros((len(space), embedded.vectors.shape[1]), np.float64)
    for number, label in enumerate(space.labels):
        known = [tag for tag in label.tags if tag in row_of]
        weights = np.array([(counts or {}).get(tag, 0) for tag in known], np.float64)
        if not weights.any():
            weights = np.ones(len(known))
        if known:
            means[number] = weights @ embedded.vectors[[row_of[tag] for tag in known]]
    lengths = np.linalg.norm(means, axis=1)
    found = lengths > 0
    means[found] /= lengths[found, None]
    missing = tuple(name for name, has in zip(space.names, found, strict=True) if not has)
    return LabelVectors(means.astype(np.float32), missing, embedded.source, embedded.sha256)


def semantic_vectors(data: TrainingData, source: WordVectors | str | os.PathLike[str]) -> LabelVectors:
    """Return the labels' vectors for the semantic loss, with a warning that names the labels without one.

    Raises:
        FolksongError: the source cannot be read, or no label has a vector.
    """
    vectors = source if isinstance(source, WordVectors) else read_vectors(source)
    found = embed_labels(data.space, vectors, data.tag_counts)
    if len(found.missing) == len(data.space):
        raise FolksongError(f"{found.source}: it has a vector for none of the {len(data.space)} labels")
    if found.missing:
        logger.warning(
            "%d of %d labels have no vector in %s; they count as in plain cross-entropy: %s",
            len(found.missing), len(data.space), found.source, ", ".join(map(repr, found.missing)),
        )  # fmt: skip
    return found


def tag_side(data: TrainingData, vectors: WordVectors | None, side: str, seed: int = 0) -> LabelVectors:
    """Return what labels are known by in the joint space, where it is to be learned.

    Args:
        data: the labels, and which training track carries which.
        vectors: word vectors; None where co-occurrence says all.
        side: ``words``; ``ppmi``: co-occurrence vectors, to which what the words predict of them is added as to those
            of the hybrid labels; ``both`` of these side by side; ``skipgram``; ``random``.
        seed: of ``skipgram`` and ``random``.

    Raises:
        FolksongError: fewer than two labels, no word vectors where they are needed, or all vectors are the same.
    """
    space, counts = data.space, np.array(data.label_counts())
    if len(space) < 2:
        raise FolksongError("the joint space needs 2 labels or more, to tell them apart")
    if vectors is None and side in ("both", "words"):
        if side == "words":
            raise FolksongError("tags are to be known by their words' vectors, and none are named")
        logger.warning(
            "no word vectors are named: tags are known by co-occurrence alone; no new ones can be asked for"
        )
        side = "ppmi"
    words = None if vectors is None else embed_labels(space, vectors, data.tag_counts)
    parts: list[npt.NDArray[Any]] = [] if words is None or side not in ("both", "words") else [words.vectors]
    if side == "random":
        parts = [np.random.default_rng(seed).normal(size=(len(space), RANDOM_NUMBERS))]
    elif side != "words":
        own = _company(space, data.targets_of("training"), side, seed)
        joined = own if words is None else with_predicted(own, words.vectors, counts)
        lengths = np.linalg.norm(joined, axis=1, keepdims=True)
        parts.append(np.divide(joined, lengths, out=np.zeros_like(joined), where=lengths > 1e-9))
    found = np.concatenate(parts, axis=1).astype(np.float32)
    missing = tuple(name for name, row in zip(space.names, found, strict=True) if not row.any())
    _check_distinct(space, found)
    source, sha256 = ("co-occurrence", "") if words is None else (words.source, words.sha256)
    return LabelVectors(found, missing, source, sha256)


def _company(space: LabelSpace, targets: sp.csr_matrix, side: str, seed: int) -> npt.NDArray[np.float64]:
    """Return the labels' own co-occurrence vectors, (n_labels, d)."""
    order = np.argsort(space.names)
    tracks = np.array([str(number) for number in range(targets.shape[0])], object)
    names = np.array([space.names[number] for number in order], object)
    table, counts = TagTable(tracks, names, sp.csr_matrix(targets[:, order])), targets.getnnz(axis=0)
    if side == "skipgram":
        found = train_skipgram(table, space.names, seed=seed).vectors
        return np.where(counts[:, None] > 0, found, 0).astype(np.float64)
    frequent = max(min(MIN_CONTEXT_COUNT, int(np.sort(counts)[-2])), 1)
    return ppmi_vectors(table, space.names, min_context_count=frequent).astype(np.float64)


def _check_distinct(space: LabelSpace, vectors: npt.NDArray[np.float32]) -> None:
    """Warn of labels with one vector."""
    _, first, group = np.unique(vectors, axis=0, return_index=True, return_inverse=True)
    group = group.reshape(-1)  # of NumPy 2.0 a column
    if len(first) == 1:
        raise FolksongError("all labels have the same vector, so that nothing tells them apart")
    alike = [number for number, row in enumerate(group) if first[row] != number and vectors[number].any()]
    if alike:
        pairs = (f"{space.names[first[group[number]]]!r} and {space.names[number]!r}" for number in alike[:5])
        logger.warning(
            "%d labels have the vector of another and score as it does: %s", len(alike), ", ".join(pairs)
        )


def joint_settings(config: Config, vectors: LabelVectors | None) -> dict[str, Any] | None:
    """Return what the joint output layer of a network takes; None where it has none."""
    if config.model.head != "joint" or vectors is None:
        return None
    return {
        "n_tag_numbers": vectors.vectors.shape[1],
        "n_units": config.model.n_joint_units,
        "cosine": config.loss.kind != "ridge",
        "scale": HINGE_SCALE if config.loss.kind == "hinge" else None,
    }


def place_labels(network: nn.Module, run: Run) -> None:
    """Give the joint output layer of a run's network the vectors of its labels; do nothing where there is none."""
    if (layer := joint_output(network)) is not None:
        layer.tag_vectors = torch.from_numpy(run.label_vectors)
