"""A run on embeddings, loaded: a recording -> its embedding, by the extractor that made the run's -> scores."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from folksong.audio.decode import decode
from folksong.embeddings.store import EmbeddingSpace
from folksong.errors import AudioError, FolksongError
from folksong.models.checkpoint import load_head
from folksong.models.heads import EmbeddingHead
from folksong.models.pretrained.extractors import Extractor, get_extractor
from folksong.prediction.asked_tags import ask_for
from folksong.prediction.predictor import SILENCE_PEAK, LoadedTagger, Prediction
from folksong.prediction.thresholds import stored_thresholds
from folksong.prediction.windows import AudioInput, Scores
from folksong.runs import Run


class HeadTagger(LoadedTagger):
    """A head with its extractor; it hears on the CPU, in 32 bits.

    Args:
        head: the head.
        labels: of its scores.
        extractor: makes the embeddings that it takes.
        thresholds: (n_labels,); None if there are none.
        window_seconds: of the extractor.
    """

    def __init__(
        self,
        head: EmbeddingHead,
        labels: Sequence[str],
        extractor: Extractor,
        thresholds: npt.NDArray[np.float64] | None,
        window_seconds: float,
    ) -> None:
        self.head, self.labels, self.extractor = head, tuple(labels), extractor
        self.thresholds, self.device = thresholds, torch.device("cpu")
        self.audio = AudioInput(extractor.sample_rate, window_seconds)

    @classmethod
    def of_run(cls, run: Run, tags: tuple[str, ...] = ()) -> HeadTagger:
        """Load a run on embeddings; of one in the joint space, with what to score instead of its labels.

        Raises:
            FolksongError: there is no extractor that makes embeddings of the run's space.
        """
        assert run.space is not None
        head = load_head(run)
        if tags:
            ask_for(head, run, tags)
        extractor = find_extractor(run.space, str(run.config["embeddings"]["extractor"]), run.path)
        tuned = None if tags else stored_thresholds(run)
        thresholds = None if tuned is None else tuned.array(run.labels.names)
        return cls(head, tags or run.labels.names, extractor, thresholds, run.window_seconds)

    @property
    def network(self) -> nn.Module:
        """The head."""
        return self.head

    def __repr__(self) -> str:
        return f"HeadTagger({self.extractor.space}, {len(self.labels)} labels)"

    def scores(self, source: str | os.PathLike[str] | npt.ArrayLike) -> Scores:
        """Return the scores (n_labels,) float32 of a file, or of mono samples at the extractor's sample rate."""
        if isinstance(source, str | os.PathLike):
            return self.predict(source).scores
        return self._heard(np.asarray(source, np.float32))

    def _heard(self, samples: npt.NDArray[np.float32]) -> Scores:
        with torch.inference_mode():
            vector = torch.from_numpy(self.extractor(samples))
            found: Scores = self.link(self.head(vector[None]))[0].numpy()
        return found

    def _predict(self, file: str | os.PathLike[str], threads: ThreadPoolExecutor | None = None) -> Prediction:
        samples = decode(file, self.audio.sample_rate)
        try:
            scores = self.scores(samples)
        except AudioError as error:
            raise AudioError(f"{file}: {error}") from error
        silent = float(np.abs(samples).max()) < SILENCE_PEAK
        return Prediction(
            os.fspath(file), len(samples) / self.audio.sample_rate, self.labels, scores, silent=silent
        )


def find_extractor(space: EmbeddingSpace, name: str, wanted_by: object) -> Extractor:
    """Return the extractor that makes embeddings of a space.

    Raises:
        FolksongError: there is none here, or it makes others.
    """
    try:
        found = get_extractor(name)
        if found.space != space and found.space.model == space.model:
            found = get_extractor(name, layer=space.layer, pool=space.pool)
    except FolksongError as error:
        raise FolksongError(
            f"{wanted_by}: hears recordings as embeddings of {space}, and no extractor makes these here ({error}); "
            "embed the recordings as those of its training were, and evaluate on them"
        ) from error
    space.require(found.space, name, wanted_by)
    return found
