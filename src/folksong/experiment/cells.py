"""The cells of a plan: one training each, named by a hash of all that goes into it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from folksong.evaluation.groups import PLAIN_LOSS
from folksong.experiment.plan import Plan
from folksong.files import sha256_file
from folksong.labels.space import LabelSpace
from folksong.shards.manifest import MANIFEST_NAME
from folksong.training.config import Config, LossSettings


@dataclass(frozen=True)
class Cell:
    """One training of a plan.

    Args:
        space: name of its label space.
        front_end: ``waveform`` or ``log-mel-spectrogram``.
        loss: name of its loss.
        seed: of the training.
        inputs: all that decides the result, as JSON values.
    """

    space: str
    front_end: str
    loss: str
    seed: int
    inputs: Mapping[str, Any] = field(repr=False)

    @property
    def sha256(self) -> str:
        """Hash of the inputs: cells with the same one give the same run."""
        return hashlib.sha256(json.dumps(self.inputs, sort_keys=True).encode()).hexdigest()

    @property
    def name(self) -> str:
        """The cell's folder: readable, and different where any input differs."""
        return f"{self.space}-{self.front_end}-{self.loss}-seed{self.seed}-{self.sha256[:8]}"

    @property
    def space_file(self) -> str:
        """Name of the file of its label space."""
        return space_file(self.space, str(self.inputs["labels"]))

    def folder(self, out: Path) -> Path:
        """Return where its run lies below the experiment's folder."""
        return out / "runs" / self.name


def make_cells(
    plan: Plan, spaces: Mapping[str, LabelSpace], config: Config, *, table_sha256: str, split_sha256: str
) -> list[Cell]:
    """Return the plan's cells in the order of its grids, each once.

    Raises:
        FolksongError: a loss's settings are wrong, or a folder of shards is not there.
    """
    manifests = {
        front_end: sha256_file(plan.place(folder) / MANIFEST_NAME)
        for front_end, folder in plan.shards.items()
        if any(front_end in grid.front_ends for grid in plan.grid)
    }
    cells: dict[tuple[str, str, str, int], Cell] = {}
    for grid in plan.grid:
        for key in product(grid.spaces, grid.front_ends, grid.losses, grid.seeds):
            space, front_end, loss, seed = key
            options = loss_of(plan, loss)
            inputs = {
                "labels": spaces[space].sha256(),
                "front_end": front_end,
                "shards": manifests[front_end],
                "tags": table_sha256,
                "split": split_sha256,
                "loss": options.model_dump(mode="json"),
                "vectors": str(plan.vectors()) if options.chosen == "semantic" else None,
                "settings": config.to_dict(),
                "training": plan.training.of(front_end, grid.epochs),
                "min_weight": plan.data.min_weight,
                "seed": seed,
            }
            cells.setdefault(key, Cell(space, front_end, loss, seed, inputs))
    return list(cells.values())


def loss_of(plan: Plan, name: str) -> LossSettings:
    """Return the settings of a loss that the plan names; ``bce`` is plain cross-entropy unless the plan says else."""
    content = plan.losses.get(name, {"kind": PLAIN_LOSS} if name == PLAIN_LOSS else {})
    return Config.from_dict({"loss": content}, f"losses.{name}").loss


def space_file(name: str, sha256: str) -> str:
    """Return the name of the file of a label space; spaces that differ have different files."""
    return f"{name}-{sha256[:8]}.labels.json"
