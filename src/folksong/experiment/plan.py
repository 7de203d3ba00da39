"""The plan of an experiment: a TOML file that names data, label spaces, losses, and which of them are combined.

Paths are relative to the file. Every key is checked; an unknown one is an error that names the nearest known.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from folksong.errors import FileFormatError, FolksongError, nearest
from folksong.files import describe_os_error

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
FrontEnd = Literal["waveform", "log-mel-spectrogram"]
Builder = Literal["file", "top", "drop", "kmeans", "genres", "npmi", "skipgram", "hybrid"]
PLAIN_LOSS = "bce"


class Section(BaseModel):
    """A part of a plan: validated when made, never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Data(Section):
    """What is learned from.

    Args:
        tags: a tag table of any kind.
        shards: front-end -> folder of shards.
        split: a ``*.split.json``; without one it is made, by `fractions` and seed 0.
        fractions: of the split that is made.
        artists: a CSV of artists, for the split that is made.
        vectors: word vectors, for the builders that need them.
        min_weight: keep tags with a weight greater than this.
        settings: a ``config.json`` as `folksong train --config` takes it.
    """

    tags: str
    shards: dict[str, str] = Field(min_length=1)
    split: str | None = None
    fractions: tuple[float, float, float] = (80, 10, 10)
    artists: str | None = None
    vectors: str | None = None
    min_weight: float | None = None
    settings: str | None = None


class Space(BaseModel):
    """A label space: its builder, the space it starts from, and the builder's further arguments."""

    model_config = ConfigDict(frozen=True, extra="allow")

    builder: Builder
    of: str | None = None
    path: str | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """The builder's further arguments."""
        return dict(self.model_extra or {})


class Grid(Section):
    """All combinations of these are cells."""

    spaces: tuple[str, ...] = Field(min_length=1)
    front_ends: tuple[FrontEnd, ...] = Field(min_length=1)
    losses: tuple[str, ...] = (PLAIN_LOSS,)
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = (0,)


class Training(Section):
    """How every cell is trained."""

    epochs: Annotated[int, Field(ge=1)] = 100
    precision: Literal["auto", "32", "bf16", "16", "64"] = "auto"
    multi_tag: bool = True


class Plan(Section):
    """A whole plan; `read_plan` reads one.

    Args:
        data: what is learned from.
        spaces: label spaces by name.
        losses: further losses by name, as `folksong.training.loss_options.LossOptions`; ``bce`` is always there.
        grid: the combinations; a cell that several of them name is run once.
        training: how every cell is trained.
        folder: where relative paths start.
    """

    data: Data
    spaces: dict[Name, Space] = Field(min_length=1)
    losses: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    grid: tuple[Grid, ...] = Field(min_length=1)
    training: Training = Training()
    folder: Path = Path()

    def place(self, path: str) -> Path:
        """Return a path of the plan as the reader's own."""
        return self.folder / Path(path).expanduser()


def read_plan(path: str | os.PathLike[str]) -> Plan:
    """Read and check a plan.

    Raises:
        FolksongError: the file cannot be read.
        FileFormatError: it is not TOML, a key or value is wrong, or a name is used that nothing defines.
    """
    file = Path(path)
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise FolksongError(describe_os_error(error, file)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{file}: not valid TOML ({error})") from error
    if "folder" in content:
        raise FileFormatError(f"{file}: unknown key 'folder'; paths are relative to the file")
    try:
        plan = Plan.model_validate({**content, "folder": file.absolute().parent})
        _check_names(plan)
    except ValidationError as error:
        raise FileFormatError(f"{file}: " + "; ".join(map(_explain, error.errors()))) from error
    except FolksongError as error:
        raise FileFormatError(f"{file}: {error}") from error
    return plan


def _check_names(plan: Plan) -> None:
    """Check that every name used is defined, and that no space starts from itself."""
    losses = [PLAIN_LOSS, *plan.losses]
    for grid in plan.grid:
        for what, used, known in (
            ("label space", grid.spaces, list(plan.spaces)),
            ("loss", grid.losses, losses),
            ("shards for", tuple(map(str, grid.front_ends)), list(map(str, plan.data.shards))),
        ):
            for name in used:
                if name not in known:
                    raise FolksongError(f"grid: no {what} {name!r}{nearest(name, known)}")
    for name, space in plan.spaces.items():
        seen = [name]
        while space.of is not None:
            if space.of not in plan.spaces:
                raise FolksongError(
                    f"spaces.{seen[-1]}: no label space {space.of!r}{nearest(space.of, list(plan.spaces))}"
                )
            if space.of in seen:
                raise FolksongError(f"spaces.{name}: starts from itself ({' from '.join([*seen, space.of])})")
            seen.append(space.of)
            space = plan.spaces[space.of]


def _explain(error: Any) -> str:
    where = [str(part) for part in error["loc"]]
    if error["type"] == "extra_forbidden":
        sections: dict[str, type[BaseModel]] = {"data": Data, "grid": Grid, "training": Training}
        section = sections.get(where[0], Plan)
        known = [name for name in section.model_fields if name != "folder"]
        return (
            f"unknown key {'.'.join(where)!r}{nearest(where[-1], known) or '; known are ' + ', '.join(known)}"
        )
    return f"{'.'.join(where)}: {error['msg']}"
