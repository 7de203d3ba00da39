"""The choices of one training that are not in the settings file: checked when made, kept in the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch

from folksong.errors import FileFormatError, FolksongError, nearest
from folksong.training.loss_options import LossOptions

PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed", "64": "64-true"}
"""What `--precision` takes, besides auto -> Lightning's word for it."""


@dataclass(frozen=True)
class TrainingOptions:
    """How a training is run.

    Args:
        tags: tag table that the labels come from; None: the records' own tags.
        database: which of the records' tag lists.
        min_weight: keep tags with a weight greater than this; None keeps all.
        keep_unlabelled: train and measure on tracks without a label too.
        epochs: when to end.
        steps_per_epoch: steps an epoch; None takes a pass over the training part.
        shuffle: a new order each pass.
        update_freq: steps between two entries of the training loss in bar and TensorBoard.
        save_every: steps between two saves within an epoch; None saves every five minutes.
        multi_tag: macro PR-AUC leads; else micro.
        seed: of weights, order, windows and dropout.
        precision: one of `PRECISIONS`.
        loss: which loss, and its numbers.

    Raises:
        FolksongError: a value out of range.
    """

    tags: str | None = None
    database: int = 0
    min_weight: float | None = None
    keep_unlabelled: bool = False
    epochs: int = 100
    steps_per_epoch: int | None = None
    shuffle: bool = True
    update_freq: int = 10
    save_every: int | None = None
    multi_tag: bool = False
    seed: int = 0
    precision: str = "32"
    loss: LossOptions = field(default_factory=LossOptions)

    def __post_init__(self) -> None:
        for name in ("epochs", "steps_per_epoch", "update_freq", "save_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise FolksongError(f"{name} must be at least 1, not {value}")
        if self.seed < 0 or self.database < 0:
            raise FolksongError("seed and tag database may not be negative")
        if self.precision not in PRECISIONS:
            raise FolksongError(
                f"precision {self.precision!r}{nearest(self.precision, list(PRECISIONS))}; there are auto, "
                f"{', '.join(PRECISIONS)}"
            )

    @property
    def monitor(self) -> str:
        """The figure that decides."""
        return "pr_auc_macro" if self.multi_tag else "pr_auc_micro"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], source: object) -> TrainingOptions:
        """Read what `to_dict` returned.

        Raises:
            FileFormatError: a key is unknown: the run is of another version.
        """
        unknown = set(content) - {entry.name for entry in fields(cls)}
        if unknown:
            raise FileFormatError(
                f"{source}: unknown options {', '.join(sorted(unknown))}; is it of a newer folksong?"
            )
        return cls(**{**content, "loss": LossOptions.from_dict(content.get("loss", {}))})


def choose_precision(wanted: str, *, gpu: bool) -> str:
    """Return the precision to use; ``"auto"`` takes bfloat16 where the hardware multiplies in it, else float32.

    Weights, batch norm statistics, standardising and the loss stay in float32 in any case.
    """
    if wanted != "auto":
        return wanted
    if gpu:
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "16"
    return "bf16" if has_bf16_cpu() else "32"


def has_bf16_cpu() -> bool:
    """Say whether this processor multiplies bfloat16 itself (AVX-512 BF16 or AMX)."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name)()) for name in checks if hasattr(torch.cpu, name))
