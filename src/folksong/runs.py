"""The run: the folder that one training leaves behind, and all that prediction and evaluation need.

```
config.json      settings, audio format, feature preset, sizes of the network, hashes of all inputs
labels.json      the label space, in the order of the outputs
split.json       which track was in which part
model_card.md    the same for people
metrics.jsonl    one line an epoch
checkpoints/     best.ckpt (weights), last.ckpt (weights and all that resuming needs)
tensorboard/     event files
label_vectors.npy, tags.db    where the loss needs vectors, or the tags came from no file
thresholds.json  from which score on a label is decided for, once tuned (`folksong.evaluation.tune_thresholds`)
evaluation/      what `folksong evaluate` found
```
"""

import html
import json
import logging
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from folksong.audio.log_mel import FeaturePreset
from folksong.drawing import fill_template
from folksong.embeddings.store import EmbeddingSpace
from folksong.errors import FileFormatError, FolksongError
from folksong.files import (
    atomic_write,
    but_it_is,
    check_signature,
    kind_of,
    read_document,
    read_text,
    reading,
    sha256_file,
    write_signed,
)
from folksong.labels.space import LabelSpace
from folksong.splits import Split

logger = logging.getLogger(__name__)

FORMAT = "folksong.run"
VERSION = 1
CONFIG_NAME = "config.json"
REMEDY = "put back the file that the training wrote, or train again"
LABEL_VECTORS_NAME = "label_vectors.npy"
TAGS_NAME = "tags.db"  # where a table was given and no file
CONTENTS = (
    *("labels.json", "split.json", "model_card.md", "metrics.jsonl", "thresholds.json"),
    *("checkpoints", "tensorboard", "evaluation", LABEL_VECTORS_NAME, TAGS_NAME),
)
BEGUN_NAME = ".begun"  # in a folder until its config.json is there
Which = Literal["track", "centre"]


@dataclass(frozen=True)
class Scoring:
    """How tracks are scored: all that their scores depend on beside audio and weights.

    One definition is stored with the run; evaluation, the tuning of thresholds and prediction take it, so that what was
    measured and tuned holds for what is predicted. Thresholds may be tuned on another (a faster one), and then
    prediction takes theirs.

    Args:
        windows: ``"track"`` averages windows over the whole track, ``"centre"`` takes the one in its middle.
        hop_seconds: from the beginning of one window to the next; None lays them side by side
            (`folksong.prediction.spread`).
        precision: ``"32"``, or ``"bf16"`` or ``"16"``, which are faster where the hardware multiplies in them and move
            scores by up to about 0.01.
    """

    windows: Which = "track"
    hop_seconds: float | None = None
    precision: str = "32"

    def __post_init__(self) -> None:
        if self.windows not in ("track", "centre") or not isinstance(self.precision, str):
            raise FolksongError(
                f"no way to score tracks: windows {self.windows!r}, precision {self.precision!r}"
            )
        if self.hop_seconds is not None and not 0 < self.hop_seconds < float("inf"):
            raise FolksongError(f"hop_seconds must be a number above 0, not {self.hop_seconds!r}")

    def replaced(
        self,
        windows: Which | None = None,
        hop_seconds: float | None = None,
        precision: str | None = None,
    ) -> "Scoring":
        """Return this definition with what is not None in its place."""
        return Scoring(
            self.windows if windows is None else windows,
            self.hop_seconds if hop_seconds is None else hop_seconds,
            self.precision if precision is None else precision,
        )


@dataclass(frozen=True)
class Run:
    """A run on disk, which may stand where its folder may. `Run.open` reads one, `Run.create` begins one."""

    path: Path
    config: Mapping[str, Any]

    @classmethod
    def create(
        cls, path: str | os.PathLike[str], config: Mapping[str, Any], labels: LabelSpace, split: Split
    ) -> "Run":
        """Write a new run's folder; ``config.json`` last, so that a folder that has one is whole.

        Raises:
            FolksongError: the folder already holds a run or another's files, or cannot be written.
        """
        folder = Path(path)
        begin_folder(folder)
        labels.write(folder / "labels.json")
        split.write(folder / "split.json")
        content = {"format": FORMAT, "version": VERSION, **config}
        content |= {"labels_sha256": labels.sha256(), "split_sha256": split.sha256()}
        content.setdefault("scoring", asdict(Scoring()))
        write_signed(folder / CONFIG_NAME, content)
        (folder / BEGUN_NAME).unlink()
        return cls(folder, content)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Run":
        """Read a run's folder; a run that is open is returned as it is.

        Raises:
            FolksongError: there is no run.
            FileFormatError: the ``config.json`` is not one of a run, or of another version, damaged, or was edited.
        """
        if isinstance(path, Run):
            return path
        folder = Path(path)
        file = folder / CONFIG_NAME
        if not folder.is_dir():
            what = kind_of(folder) or "a file" if folder.exists() else "no such folder"
            raise FolksongError(f"{folder}: {what}; a run is the folder that a training wrote")
        if not file.is_file():
            raise FolksongError(
                f"{folder}: no run here (it has no {CONFIG_NAME}){but_it_is(folder)}; give the folder that a "
                "training wrote"
            )
        content = read_document(
            file,
            FORMAT,
            VERSION,
            f"the {CONFIG_NAME} of a run",
            "settings for a training are another file",
        )
        check_signature(file, content, REMEDY)
        run = cls(folder, content)
        with reading(file, REMEDY):
            for name in ("network_settings", "audio_format", "sample_rate", "preset", "space", "window_seconds",
                         "window_steps", "shards_dir", "scoring"):  # fmt: skip
                getattr(run, name)
            str(content["front_end"] + content["tags"]["table_sha256"] + content["shards"]["manifest_sha256"])
        return run

    def __repr__(self) -> str:
        return f"Run({os.fspath(self.path)!r})"

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    @cached_property
    def labels(self) -> LabelSpace:
        """The label space; its order is that of the tagger's outputs."""
        found = LabelSpace.read(self.path / "labels.json")
        self._check("labels.json", found.sha256(), "labels_sha256")
        return found

    @cached_property
    def split(self) -> Split:
        """Which track was in which part."""
        found = Split.read(self.path / "split.json")
        self._check("split.json", found.sha256(), "split_sha256")
        return found

    def _check(self, name: str, sha256: str, key: str) -> None:
        if self.config.get(key) != sha256:
            raise FileFormatError(
                f"{self.path / name}: was changed since the training, whose {CONFIG_NAME} holds another hash; put back "
                "the file that the training wrote, or train again with the new one"
            )

    @cached_property
    def scoring(self) -> Scoring:
        """How its tracks are scored, unless thresholds were tuned on something else."""
        return Scoring(**self.config.get("scoring", {}))

    @property
    def config_path(self) -> Path:
        """All of `config`."""
        return self.path / CONFIG_NAME

    @property
    def network_settings(self) -> dict[str, Any]:
        """What the network is built from."""
        return dict(self.config["tagger"])

    @property
    def front_end(self) -> str:
        """``waveform``, ``log-mel-spectrogram`` or ``embeddings``."""
        return str(self.config["front_end"])

    @property
    def audio_format(self) -> str:
        """What the tagger takes: ``waveform`` or ``log-mel-spectrogram``."""
        return str(self.config["audio"]["audio_format"])

    @property
    def sample_rate(self) -> int:
        """Hz of the audio that the tagger was trained on."""
        return int(self.config["audio"]["sample_rate"])

    @cached_property
    def preset(self) -> FeaturePreset | None:
        """How the spectrograms were made; None for waveforms."""
        content = self.config["audio"]["preset"]
        return None if content is None else FeaturePreset.from_dict(content)

    @cached_property
    def space(self) -> EmbeddingSpace | None:
        """The space of the embeddings that the run learned from; None where it learned from audio."""
        content = self.config.get("embeddings")
        return None if content is None else EmbeddingSpace(**content["space"])

    @property
    def window_seconds(self) -> float:
        """Length of a training window in seconds."""
        return float(self.config["audio"]["window_seconds"])

    @property
    def window_steps(self) -> int:
        """Length of a training window in samples or frames."""
        return int(self.config["audio"]["window_steps"])

    @property
    def shards_dir(self) -> Path:
        """The folder of shards that the run was trained on; it may have moved since."""
        return Path(self.config["shards"]["folder"])

    @property
    def best_checkpoint(self) -> Path:
        """Weights of the epoch with the best validation PR-AUC."""
        return self.path / "checkpoints" / "best.ckpt"

    @property
    def last_checkpoint(self) -> Path:
        """Weights and everything that resuming needs."""
        return self.path / "checkpoints" / "last.ckpt"

    @cached_property
    def label_vectors(self) -> npt.NDArray[np.float32]:
        """(n_labels, dimension) vectors of the labels, for the semantic loss and the joint space."""
        path = self.path / LABEL_VECTORS_NAME
        with reading(path, REMEDY):
            self._check(LABEL_VECTORS_NAME, sha256_file(path), "label_vectors_sha256")
            found: npt.NDArray[np.float32] = np.load(path, allow_pickle=False)
        return found

    @property
    def metrics_path(self) -> Path:
        """One JSON line an epoch."""
        return self.path / "metrics.jsonl"

    def history(self) -> list[dict[str, Any]]:
        """Return the epochs' figures, as `metrics_path` holds them; an undefined one is None.

        Raises:
            FileFormatError: a line is not a JSON object.
        """
        if not self.metrics_path.exists():
            return []
        with reading(self.metrics_path, "it holds one JSON object a line"):
            return [
                dict(json.loads(line)) for line in read_text(self.metrics_path).split("\n") if line.strip()
            ]

    def best_row(self) -> dict[str, Any]:
        """Return the figures of the epoch whose weights are the best.

        Raises:
            FolksongError: no epoch was finished.
        """
        best = [row for row in self.history() if row.get("best")]
        if not best:
            raise FolksongError(f"{self.path}: no epoch was finished; resume the training")
        return best[-1]

    @property
    def model_card_path(self) -> Path:
        """The run described for people."""
        return self.path / "model_card.md"

    @property
    def evaluation_dir(self) -> Path:
        """Where `folksong evaluate` writes."""
        return self.path / "evaluation"


def refuse_foreign(folder: Path) -> None:
    """Leave a folder alone that holds a run, or another's files under the names of a run's.

    What a training left that was killed before it wrote ``config.json`` may be replaced.
    """
    if (folder / CONFIG_NAME).exists():
        raise FolksongError(
            f"{folder}: already holds a run, or another's {CONFIG_NAME}; choose another folder, or resume it"
        )
    others = [name for name in CONTENTS if (folder / name).exists()]
    if others and not (folder / BEGUN_NAME).exists():
        raise FolksongError(f"{folder / others[0]}: is there already, and of no run; choose another folder")


def begin_folder(folder: Path) -> None:
    """Mark a folder as that of a run that is begun."""
    refuse_foreign(folder)
    with atomic_write(folder / BEGUN_NAME):
        pass


THRESHOLDS_FORMAT = "folksong.thresholds"
THRESHOLDS_VERSION = 1
THRESHOLDS_NAME = "thresholds.json"
DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class Thresholds:
    """A threshold for each label; a score of at least it decides for the label.

    Args:
        values: label -> threshold, in the label space's order.
        f: label -> F on the tracks they were tuned on; None for a label that none of them carries, whose threshold
            is 0.5.
        beta: recall counted so many times as much as precision.
        part: the part they were tuned on.
        n_tracks: its size.
        checkpoint_sha256: of the weights that gave the scores.
        labels_sha256: of the label space.
        scoring: how tracks were scored; the thresholds hold for scores made so.
    """

    values: Mapping[str, float]
    f: Mapping[str, float | None]
    beta: float
    part: str
    n_tracks: int
    checkpoint_sha256: str
    labels_sha256: str = ""
    scoring: Scoring = field(default_factory=Scoring)

    def array(self, labels: tuple[str, ...]) -> npt.NDArray[np.float64]:
        """Return the thresholds (n_labels,) in the order of `labels`."""
        return np.array([self.values[label] for label in labels], np.float64)

    @property
    def untuned(self) -> tuple[str, ...]:
        """Labels that no track carried, which keep 0.5."""
        return tuple(label for label, f in self.f.items() if f is None)

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``thresholds.json`` into a run's folder."""
        path = Path(folder) / THRESHOLDS_NAME
        labels = [{"name": name, "threshold": self.values[name], "f": self.f[name]} for name in self.values]
        content = {key: value for key, value in asdict(self).items() if key not in ("values", "f")}
        write_signed(
            path, {"format": THRESHOLDS_FORMAT, "version": THRESHOLDS_VERSION, **content, "labels": labels}
        )
        return path

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> "Thresholds":
        """Read a run's ``thresholds.json``.

        Raises:
            FolksongError: the run has none.
            FileFormatError: the file is damaged.
        """
        path = Path(folder) / THRESHOLDS_NAME
        if not path.exists():
            raise FolksongError(f"{path}: no thresholds yet; tune them first")
        content = read_document(path, THRESHOLDS_FORMAT, THRESHOLDS_VERSION, "thresholds", "tune them again")
        check_signature(path, content, "tune them again")
        with reading(path, "tune them again"):
            return cls(
                values={entry["name"]: float(entry["threshold"]) for entry in content["labels"]},
                f={entry["name"]: entry["f"] for entry in content["labels"]},
                scoring=Scoring(**content["scoring"]),
                **{
                    key: content[key]
                    for key in ("beta", "part", "n_tracks", "checkpoint_sha256", "labels_sha256")
                },
            )


def stored_thresholds(run: Run) -> Thresholds | None:
    """Return a run's thresholds if it has some that belong to its best weights; warn of those that do not."""
    if not (run.path / THRESHOLDS_NAME).exists():
        return None
    found = Thresholds.read(run.path)
    made_for = found.labels_sha256, found.checkpoint_sha256
    if made_for != (run.labels.sha256(), sha256_file(run.best_checkpoint)):
        logger.warning(
            "%s: the thresholds were tuned for other weights or labels and are not used; tune them again",
            run.path,
        )
        return None
    if set(found.values) != set(run.labels.names):
        raise FileFormatError(
            f"{run.path / THRESHOLDS_NAME}: holds thresholds of other labels; tune them again"
        )
    return found


def decided_by(run: Run) -> tuple[npt.NDArray[np.float64] | None, Scoring]:
    """Return a run's thresholds (n_labels,), None where none are tuned, and how tracks are scored."""
    tuned = stored_thresholds(run)
    return (None, run.scoring) if tuned is None else (tuned.array(run.labels.names), tuned.scoring)


N_SHOWN = 20
COMMANDS = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]")
"""Characters that a terminal obeys: escapes, bidirectional marks."""
PACKAGES = ("folksong", "torch", "numpy")


def write_model_card(run: Run, history: Sequence[Mapping[str, Any]], outcome: str) -> None:
    """Write ``model_card.md`` of a run, its history (a row an epoch), and why the training ended."""
    text = fill_template(
        files("folksong") / "model_card.md",
        run=run,
        outcome=outcome,
        history=history,
        best=next((row for row in reversed(history) if row["best"]), {}),
        names=_names,
        n_shown=N_SHOWN,
        versions={name: version(name) for name in PACKAGES},
        platform=platform,
    )
    with atomic_write(run.model_card_path, "w") as stream:
        stream.write(html.escape(COMMANDS.sub("\N{REPLACEMENT CHARACTER}", text), quote=False))


def _names(names: Sequence[str]) -> str:
    """Return the first names as one line without links, pictures or ends of a table's cell."""
    text = ", ".join(" ".join(name.split()) for name in names[:N_SHOWN])
    return re.sub(r"[\[\]|`]", r"\\\g<0>", text)
