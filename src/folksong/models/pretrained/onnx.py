"""Any network as ONNX that takes samples or log-mel-spectrograms, through onnxruntime.

What the file does not say stands in a TOML file beside it (``model.onnx``, ``model.toml``):

```toml
model = "discogs-effnet"         # its name
revision = "1"
licence = "CC BY-NC-SA 4.0"
sample_rate = 16000              # Hz
input = "log-mel"                # or "samples"
axes = ["window", "frame", "band"]       # of the input; "window", "sample" of samples; any may be missing but the last
window = 128                     # frames, or samples; left out: the whole recording at once
hop = 62                         # from the beginning of one window to the next; left out: side by side
output = "embeddings"            # its name; (windows, …, features)

[mel]                            # see folksong.audio.log_mel.FeaturePreset
n_fft = 512
hop_length = 256
n_mels = 96
scaling = "log10"
gain = 10000
```

Windows side by side are evenly spread. Where the model's input says of how many windows a batch is, batches are so
many, the last one filled up with silence that is not counted.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from folksong.audio.decode import check_samples
from folksong.audio.log_mel import FeaturePreset, log_mel
from folksong.embeddings.pooling import POOLS, Pool, Pooling, Vector
from folksong.embeddings.store import EmbeddingSpace
from folksong.errors import AudioError, FileFormatError, FolksongError, first_line, nearest, needs_extra
from folksong.files import parse_toml, read_text, reading, sha256_file
from folksong.shards.window_positions import slide, spread

WINDOWS_AT_ONCE = 8
HASH_KEY = "sha256"  # of a model's metadata, where folksong exported it
AXES = {"log-mel": {"window", "channel", "frame", "band"}, "samples": {"window", "channel", "sample"}}


@dataclass(frozen=True)
class ModelDescription:
    """What the TOML file beside a model says; see the module."""

    model: str
    sample_rate: int
    axes: tuple[str, ...]
    input: str = "log-mel"
    window: int | None = None
    hop: int | None = None
    output: str | None = None
    pool: Pool = "mean"
    revision: str = ""
    licence: str = "unknown"
    mel: FeaturePreset | None = None

    def __post_init__(self) -> None:
        if self.input not in AXES:
            raise FolksongError(f"input must be {' or '.join(AXES)}, not {self.input!r}")
        needed = {"frame", "band"} if self.input == "log-mel" else {"sample"}
        found = set(self.axes)
        if not needed <= found <= AXES[self.input] or len(found) < len(self.axes):
            raise FolksongError(
                f"axes of {self.input} are {', '.join(sorted(AXES[self.input]))}, each once, not {list(self.axes)}"
            )
        if (self.mel is None) != (self.input == "samples"):
            raise FolksongError("a table [mel] belongs to the input log-mel, and to it only")
        for name, steps in (("window", self.window), ("hop", self.hop)):
            if steps is not None and steps < 1:
                raise FolksongError(f"{name} must be 1 or more, not {steps}")
        if self.pool not in POOLS:
            raise FolksongError(f"pool must be one of {', '.join(POOLS)}, not {self.pool!r}")


def read_description(path: str | os.PathLike[str]) -> ModelDescription:
    """Read the TOML file beside a model.

    Raises:
        FolksongError: there is none.
        FileFormatError: it is not TOML, or a setting is unknown, missing, or impossible; the message names it.
    """
    with reading(path):
        content = parse_toml(read_text(path), path)
        known = [field.name for field in fields(ModelDescription)]
        for key in content:
            if key not in known:
                raise FolksongError(f"unknown setting {key!r}{nearest(key, known)}")
        if missing := [key for key in ("model", "sample_rate", "axes") if key not in content]:
            raise FolksongError(f"missing {', '.join(missing)}")
        mel = content.pop("mel", None)
        if mel is not None:
            mel = FeaturePreset.from_dict(
                {"name": content["model"], "sample_rate": content["sample_rate"], **mel}
            )
        return ModelDescription(**{**content, "axes": tuple(content["axes"])}, mel=mel)


class OnnxExtractor:
    """The extractor ``onnx:FILE``; see the module.

    Args:
        path: the model; its description lies beside it, with the ending ``.toml``.
        layer: another output than the description names.
        pool: another pool.

    Raises:
        FolksongError: onnxruntime is not installed, or a file is missing.
        FileFormatError: a file is damaged, uses operators that onnxruntime does not know, or does not fit the other.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, layer: str | None = None, pool: Pool | None = None
    ) -> None:
        file = Path(path)
        if not file.is_file():
            raise FolksongError(f"{file}: no such ONNX model")
        self.file, self.description = file, read_description(file.with_suffix(".toml"))
        self.session, self.sha256 = open_session(file)
        (heard, *others) = self.session.get_inputs()
        if others:
            raise FileFormatError(f"{file}: takes {1 + len(others)} inputs; a model of one input is needed")
        if len(heard.shape) != len(self.description.axes):
            raise FileFormatError(
                f"{file}: its input has the shape {heard.shape}, which {list(self.description.axes)} do not fit"
            )
        self.shape = dict(zip(self.description.axes, heard.shape, strict=True))
        self.name = heard.name
        outputs = [output.name for output in self.session.get_outputs()]
        self.output = layer or self.description.output or outputs[0]
        if self.output not in outputs:
            raise FileFormatError(f"{file}: has no output {self.output!r}; it has {', '.join(outputs)}")
        self.pool: Pool = pool or self.description.pool
        self.window = self._window()
        self.sample_rate = self.description.sample_rate
        self.space = self._space()

    def _window(self) -> int | None:
        """Return the length of a window in frames or samples; the model's own where its input says one."""
        step = "frame" if self.description.input == "log-mel" else "sample"
        own, wanted = self.shape[step], self.description.window
        if isinstance(own, int) and wanted is not None and own != wanted:
            raise FileFormatError(f"{self.file}: takes windows of {own}, but its description says {wanted}")
        bands = self.shape.get("band")
        if (
            self.description.mel is not None
            and isinstance(bands, int)
            and bands != self.description.mel.n_mels
        ):
            raise FileFormatError(
                f"{self.file}: takes {bands} mel bands, but its description says {self.description.mel.n_mels}"
            )
        return own if isinstance(own, int) else wanted

    def _space(self) -> EmbeddingSpace:
        hop = 1 if self.description.mel is None else self.description.mel.hop_length
        apart = self.description.hop
        silence = np.zeros(self.window * hop if self.window else self.sample_rate, np.float32)
        return EmbeddingSpace(
            model=self.description.model,
            revision=f"{self.description.revision}{'' if apart is None else f' hop {apart}'}".strip(),
            layer=self.output,
            pool=self.pool,
            sample_rate=self.sample_rate,
            window_seconds=None if self.window is None else self.window * hop / self.sample_rate,
            licence=self.description.licence,
            sha256=self.sha256,
            dimensions=len(self._embed(silence)),
        )

    def __call__(self, samples: Vector) -> Vector:
        """Return the embedding; see `folksong.models.pretrained.extractors.Extractor`."""
        vector = self._embed(check_samples(samples))
        if len(vector) != self.space.dimensions:
            raise AudioError(
                f"the model gives {len(vector)} numbers, not {self.space.dimensions}: its output depends on the length"
            )
        return vector

    def _embed(self, samples: Vector) -> Vector:
        mel = self.description.mel
        with threadpool_limits(1):  # matrix products give other last bits with another number of threads
            steps = samples[:, None] if mel is None else log_mel(samples, mel).T
        pooling = Pooling(self.pool)
        for windows, count in self._batches(steps):
            try:
                (values,) = self.session.run([self.output], {self.name: windows})
            except Exception as error:  # onnxruntime's own classes differ from version to version
                reason = first_line(error)
                raise FileFormatError(f"{self.file}: cannot hear {windows.shape}: {reason}") from error
            values = np.atleast_1d(np.asarray(values, np.float32))
            if "window" in self.shape:
                values = values[:count]
            pooling.add(values.reshape(count, -1, values.shape[-1]))
        return pooling.result()

    def _batches(self, steps: npt.NDArray[np.float32]) -> Iterator[tuple[npt.NDArray[np.float32], int]]:
        """Yield batches as the model takes them, each with its number of windows that count."""
        length = self.window or len(steps)
        if len(steps) < length:
            steps = np.take(steps, np.arange(length) % len(steps), axis=0)
        hop = self.description.hop
        starts = spread(len(steps), length) if hop is None else slide(len(steps), length, hop)
        fixed = self.shape.get("window", 1)
        at_once = fixed if isinstance(fixed, int) else WINDOWS_AT_ONCE
        for first in range(0, len(starts), at_once):
            windows = np.stack([steps[start : start + length] for start in starts[first : first + at_once]])
            count = len(windows)
            if isinstance(fixed, int) and count < fixed:
                windows = np.concatenate([windows, np.zeros((fixed - count, *windows.shape[1:]), np.float32)])
            yield _arranged(windows, self.description.axes), count


def _arranged(windows: npt.NDArray[np.float32], axes: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """(windows, steps, bands) -> an array of these axes; samples have one band."""
    own = {"window": 0, "frame": 1, "sample": 1, "band": 2}
    order = [own[axis] for axis in axes if axis != "channel"]
    left_out = [axis for axis in range(3) if axis not in order]
    arranged = windows.transpose(order + left_out).reshape([windows.shape[axis] for axis in order])
    return np.ascontiguousarray(
        np.expand_dims(arranged, [axes.index("channel")] if "channel" in axes else [])
    )


def open_session(file: Path) -> tuple[Any, str]:
    """Return a model as onnxruntime has it, and the SHA-256 of its file, or of its files' hashes if it has several.

    Raises:
        FolksongError: onnxruntime is not installed.
        FileFormatError: the file is damaged, its weights lie elsewhere, or it uses operators that are not known.
    """
    with needs_extra("an ONNX model", "onnx"):
        import onnx
        import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # the same values for any number
    options.log_severity_level = 4
    try:
        model = onnx.load(file, load_external_data=False)
        places = sorted({place for graph in _graphs(model.graph) for place in _places(graph)})
        own = file.parent.resolve()
        outside = [place for place in places if not (own / place).resolve().is_relative_to(own)]
        if outside:
            raise FileFormatError(
                f"{file}: keeps weights in {outside[0]!r}, outside its own folder, which is not read"
            )
        hashes = [sha256_file(part) for part in (file, *(file.parent / place for place in places))]
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except FolksongError:
        raise
    except Exception as error:  # the classes of onnxruntime and of protobuf differ from version to version
        reason = " ".join(str(error).split())[:300]
        raise FileFormatError(f"{file}: onnxruntime cannot load it: {reason}") from error
    return session, hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def sha256_of_model(model: Any) -> str:
    """Return the hash of all that an ONNX model (a ``ModelProto``) holds, but for the hash among its metadata."""
    unsigned = type(model)()
    unsigned.CopyFrom(model)
    for entry in [entry for entry in unsigned.metadata_props if entry.key == HASH_KEY]:
        unsigned.metadata_props.remove(entry)
    return hashlib.sha256(unsigned.SerializeToString(deterministic=True)).hexdigest()


def _graphs(graph: Any) -> Iterator[Any]:
    """Yield a graph and all within its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.ByteSize():
                    yield from _graphs(inner)


def _places(graph: Any) -> Iterator[str]:
    """Yield the files that a graph's tensors lie in, as the model names them."""
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    tensors = [*graph.initializer, *(tensor for one in attributes for tensor in (one.t, *one.tensors))]
    for tensor in tensors + [part for one in graph.sparse_initializer for part in (one.values, one.indices)]:
        yield from (entry.value for entry in tensor.external_data if entry.key == "location")
