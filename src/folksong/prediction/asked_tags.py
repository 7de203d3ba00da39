"""Tags that a run in the joint space (Model 6) is asked for: any words, whether a track carried them or not."""

import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from folksong.embeddings.ppmi import predict_from_words
from folksong.embeddings.read_vectors import read_vectors
from folksong.embeddings.tags import embed_tags, tag_words
from folksong.errors import FolksongError
from folksong.models.heads import ask, joint_output
from folksong.runs import Run
from folksong.tags.cleaning.spelling import canonical_form

logger = logging.getLogger(__name__)

NEGATIONS = ("no", "not", "non", "without", "never", "isn't", "ain't")


def ask_for(network: nn.Module, run: Run, tags: Sequence[str]) -> None:
    """Let a run's network, which is changed in place, score `tags` in the place of its labels.

    A tag that the run knows, in whatever spelling, has the vector that was learned with; another one that of its
    words alone.

    Raises:
        FolksongError: the run has no joint space, a tag occurs twice, or a new tag has no known word.
    """
    layer = joint_output(network)
    if layer is None:
        raise FolksongError(
            f"{run.path}: scores its own {len(run.labels)} labels only; to ask for any tag, train with the head joint"
        )
    if not tags or len(set(tags)) < len(tags):
        raise FolksongError("ask for one tag or more, each once")
    forms = {canonical_form(name): number for number, name in reversed([*enumerate(run.labels.names)])}
    known = [next(iter(run.labels.labels_of(tag)), forms.get(canonical_form(tag))) for tag in tags]
    learned = layer.tag_vectors.cpu().numpy()
    found = np.zeros((len(tags), learned.shape[1]), np.float32)
    for row, label in enumerate(known):
        if label is not None:
            found[row] = learned[label]
    if new := [row for row, label in enumerate(known) if label is None]:
        found[new] = _new_vectors(run, [tags[row] for row in new], learned)
    ask(network, torch.from_numpy(found).to(layer.tag_vectors), known)


def _new_vectors(run: Run, tags: Sequence[str], learned: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return what tags that no label stands for are known by, (n, m).

    These are their words' vectors and, beside them, the co-occurrence vectors that words predict, as learned from the
    labels.
    """
    source, side = run.config["settings"]["loss"]["vectors"], run.config["settings"]["model"]["tag_side"]
    if source is None or side in ("ppmi", "skipgram"):
        raise FolksongError(
            f"{run.path}: knows tags by co-occurrence only, and {tags[0]!r} is none of its own"
        )
    for tag in tags:
        words = tag_words(tag)
        if words and words[0].replace("’", "'").split("-")[0] in NEGATIONS:
            logger.warning("%r: negations are not understood; what is named is looked for", tag)
    if side == "random":
        return (
            np.random.default_rng(len(learned)).normal(size=(len(tags), learned.shape[1])).astype(np.float32)
        )
    words_of = read_vectors(source)
    if words_of.sha256 != run.config["label_vectors"]["sha256"]:
        raise FolksongError(f"{source}: other word vectors than those that {run.path} was trained with")
    embedded = embed_tags(tags, words_of)
    if embedded.missing:
        raise FolksongError(
            f"none of the words of {', '.join(map(repr, embedded.missing))} is known to {words_of.source}; say it in "
            "other words"
        )
    for tag, unknown in embedded.unknown_words.items():
        logger.warning("%r: unknown to %s and passed over: %s", tag, words_of.source, ", ".join(unknown))
    meanings = np.concatenate([learned[:, : words_of.dimension], embedded.vectors])
    company = np.zeros((len(meanings), learned.shape[1] - words_of.dimension))
    company[: len(learned)] = learned[:, words_of.dimension :]
    predicted = predict_from_words(meanings, company, np.ones(len(meanings), bool))[len(learned) :]
    predicted /= np.maximum(np.linalg.norm(predicted, axis=1, keepdims=True), 1e-9)
    return np.concatenate([embedded.vectors, predicted], axis=1).astype(np.float32)
