"""Taggers that are no network with windows: a run on embeddings (a recording -> its embedding, by the extractor that
made the run's -> scores), and what `folksong.export.onnx` wrote (samples -> scores, through onnxruntime).
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from folksong.audio.decode import check_samples, decode
from folksong.embeddings.store import EmbeddingSpace
from folksong.errors import FileFormatError, FolksongError
from folksong.files import reading
from folksong.models.checkpoint import load_head
from folksong.models.heads import EmbeddingHead
from folksong.models.pretrained.extractors import Extractor, get_extractor
from folksong.models.pretrained.onnx import HASH_KEY, open_session, sha256_of_model
from folksong.prediction.asked_tags import ask_for
from folksong.prediction.predictor import LoadedTagger, ScoresOverTime
from folksong.prediction.windows import AudioInput, Scores
from folksong.runs import Run, decided_by
from folksong.shards.window_positions import slide, spread

PIECE_SECONDS = 10.0


class HeadTagger(LoadedTagger):
    """A head with the extractor of what it takes; it hears on the CPU, in 32 bits."""

    hears_long = False

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
    def of_run(cls, run: Run, tags: tuple[str, ...] = ()) -> "HeadTagger":
        """Load a run on embeddings; of one in the joint space, with what to score instead of its labels.

        Raises:
            FolksongError: there is no extractor that makes embeddings of the run's space.
        """
        assert run.space is not None
        head = load_head(run)
        if tags:
            ask_for(head, run, tags)
        extractor = find_extractor(run.space, str(run.config["embeddings"]["extractor"]), run.path)
        thresholds = None if tags else decided_by(run)[0]
        return cls(head, tags or run.labels.names, extractor, thresholds, run.window_seconds)

    @property
    def network(self) -> nn.Module:
        """The head."""
        return self.head

    def __repr__(self) -> str:
        return f"HeadTagger({self.extractor.space}, {len(self.labels)} labels)"

    def over_time(self, file: str | os.PathLike[str]) -> ScoresOverTime:
        """Return what the tagger says of each `PIECE_SECONDS` of a recording, or of each window where that is longer.

        A head learned from whole tracks; of pieces it says what it would of a track as short.
        """
        samples = decode(file, self.audio.sample_rate)
        seconds = max(self.audio.window_seconds, PIECE_SECONDS)
        steps = min(self.audio.steps(seconds), len(samples))
        starts = slide(len(samples), steps, max(steps // 2, 1))
        scores = np.array([self._heard(samples[start : start + steps]) for start in starts])
        rate = self.audio.sample_rate
        return ScoresOverTime(os.fspath(file), self.labels, np.array(starts) / rate, steps / rate, scores)

    def score_together(
        self, recordings: Iterable[npt.NDArray[np.float32]], threads: ThreadPoolExecutor
    ) -> Iterator[Scores]:
        """Yield the scores of recordings (samples,), in order; each thread hears one by itself."""
        return threads.map(self._heard, recordings)

    def _heard(self, samples: npt.NDArray[np.float32], threads: ThreadPoolExecutor | None = None) -> Scores:
        with torch.inference_mode():
            vector = torch.from_numpy(self.extractor(samples))
            found: Scores = self.link(self.head(vector[None]))[0].numpy()
        return found


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


LONGEST_SECONDS = 60.0  # that a head with its network hears at once: some 10 MB a second


class OnnxTagger(HeadTagger):
    """An exported ONNX graph that hears waveforms, on the CPU.

    Windows lie side by side, and their scores are averaged; what is shorter than a window is repeated, as samples:
    where a run repeats the frames of its spectrogram, the seams between are others, and so are scores by up to some
    0.01. A head with its network inside hears a recording of up to a minute at once, as it learned.

    Raises:
        FolksongError: it takes embeddings, or onnxruntime is not installed.
        FileFormatError: it is damaged, or no tagger that was exported here.
    """

    def __init__(self, file: str | os.PathLike[str]) -> None:
        self.file = Path(file)
        self.session, _ = open_session(self.file)
        import onnx  # which is installed, as that told

        with reading(self.file):
            kept = self.session.get_modelmeta().custom_metadata_map
        (name, *_) = (one.name for one in self.session.get_inputs())
        if (own := kept.get(HASH_KEY)) is None:
            raise FileFormatError(
                f"{file}: no tagger that was exported here (no {HASH_KEY!r} in its metadata)"
            )
        if own != sha256_of_model(onnx.load(self.file, load_external_data=False)):
            raise FileFormatError(f"{file}: was changed after it was exported; export the run again")
        with reading(self.file):
            self.labels = tuple(json.loads(kept["labels"]))
            rate, seconds = json.loads(kept["sample_rate"]), json.loads(kept["window_seconds"])
            found = json.loads(kept.get("thresholds", "null"))
        if name != "waveform":
            raise FolksongError(f"{file}: takes embeddings, not recordings; its network is not inside")
        self.thresholds = None if found is None else np.array(found, np.float64)
        self.device, self.audio = torch.device("cpu"), AudioInput(rate, seconds or LONGEST_SECONDS)
        self.repeats = seconds is not None

    def __repr__(self) -> str:
        return f"OnnxTagger({self.file}, {len(self.labels)} labels)"

    def _heard(self, samples: npt.NDArray[np.float32], threads: ThreadPoolExecutor | None = None) -> Scores:
        steps = self.audio.steps(self.audio.window_seconds)
        checked = check_samples(samples)
        if not self.repeats:
            steps = min(steps, len(checked))
        elif len(checked) < steps:
            checked = np.take(checked, np.arange(steps) % len(checked))
        starts = spread(len(checked), steps)
        found = [
            self.session.run(["scores"], {"waveform": checked[None, start : start + steps]})[0][0]
            for start in starts
        ]
        return np.asarray(np.mean(found, axis=0, dtype=np.float64), np.float32)
