"""A tagger that `folksong.export.onnx` wrote, through onnxruntime: samples -> scores by the file alone."""

import json
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from folksong.errors import FileFormatError, FolksongError
from folksong.files import reading
from folksong.models.pretrained.onnx import HASH_KEY, open_session, sha256_of_model
from folksong.models.pretrained.pooling import check_samples
from folksong.prediction.head_tagger import HeadTagger
from folksong.prediction.windows import AudioInput, Scores
from folksong.shards.window_positions import spread

LONGEST_SECONDS = 60.0  # that a head with its network hears at once: some 10 MB a second


class OnnxTagger(HeadTagger):
    """An exported ONNX graph that hears waveforms, on the CPU.

    Windows lie side by side, and their scores are averaged; what is shorter than a window is repeated, as
    samples: where a run repeats the frames of its spectrogram, the seams between are others, and so are scores by up to
    some 0.01. A head with its
    network inside hears a recording of up to a minute at once, as it learned.

    Args:
        file: the graph.

    Raises:
        FolksongError: it takes embeddings, or onnxruntime is not installed.
        FileFormatError: it is damaged, or no tagger that was exported here.
    """

    def __init__(self, file: str | os.PathLike[str]) -> None:
        self.file = Path(file)
        self.session, _ = open_session(self.file)
        import onnx  # which is installed, as that told

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

    def _heard(self, samples: npt.NDArray[np.float32]) -> Scores:
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
