"""The plan of an experiment: a TOML file that names data, label spaces, losses, and which of them are combined.

Paths are relative to the file. A plan may begin with ``extends = "NAME"`` and say only what differs from that shipped
plan (`folksong.experiment.shipped`). Every key is checked; an unknown one is an error that names the nearest known.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from folksong.errors import FileFormatError, FolksongError, nearest
from folksong.experiment.changes import lay_over
from folksong.experiment.search_settings import Search
from folksong.experiment.shipped import shipped_plan, shipped_plans
from folksong.files import describe_os_error

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
FrontEnd = Literal["waveform", "log-mel-spectrogram"]
Builder = Literal["file", "top", "drop", "kmeans", "genres", "npmi", "skipgram", "hybrid"]
Epochs = Annotated[int, Field(ge=1)]
PLAIN_LOSS = "bce"
DEFAULT_EPOCHS = 100


class Section(BaseModel):
    """A part of a plan: validated when made, never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Data(Section):
    """What is learned from.

    Args:
        tags: a tag table of any kind.
        shards: front-end -> folder of shards.
        audio: a track catalogue or a folder of recordings; shards that `shards` does not name are written from it.
        split: a ``*.split.json``; without one it is made, by `fractions` and seed 0.
        fractions: of the split that is made.
        artists: a CSV of artists, for the split that is made.
        vectors: word vectors, for the builders that need them.
        min_weight: keep tags with a weight greater than this.
        settings: a ``config.json`` as `folksong train --config` takes it, in the place of the plan's own `settings`.
        truth: a CSV with the columns ``tag`` and ``concept`` (and ``kind``): what each tag means, if that is known; the
            report then says how well each label space recovers it.
    """

    tags: str | None = None
    shards: dict[FrontEnd, str] = Field(default_factory=dict)
    audio: str | None = None
    split: str | None = None
    fractions: tuple[float, float, float] = (80, 10, 10)
    artists: str | None = None
    vectors: str | None = None
    min_weight: float | None = None
    settings: str | None = None
    truth: str | None = None


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
    """How every cell is trained; `epochs` may differ between front-ends."""

    epochs: Epochs | dict[FrontEnd, Epochs] = 100
    precision: Literal["auto", "32", "bf16", "16", "64"] = "auto"
    multi_tag: bool = True

    def of(self, front_end: str) -> dict[str, Any]:
        """Return epochs, precision and multi_tag of a front-end."""
        epochs = (
            self.epochs
            if isinstance(self.epochs, int)
            else {str(key): value for key, value in self.epochs.items()}.get(front_end, DEFAULT_EPOCHS)
        )
        return {"epochs": epochs, "precision": self.precision, "multi_tag": self.multi_tag}


class Plan(Section):
    """A whole plan; `read_plan` reads one.

    Args:
        data: what is learned from.
        spaces: label spaces by name.
        losses: further losses by name, as `folksong.training.config.LossSettings`; ``bce`` is always there.
        grid: the combinations; a cell that several of them name is run once.
        training: how every cell is trained.
        settings: sections of a ``config.json`` of a training: ``[settings.model-training]`` and so on.
        search: settings to search over; without it the plan's cells are run as they are.
        folder: where relative paths start.
    """

    data: Data = Data()
    spaces: dict[Name, Space] = Field(min_length=1)
    losses: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    grid: tuple[Grid, ...] = Field(min_length=1)
    training: Training = Training()
    settings: dict[str, Any] = Field(default_factory=dict)
    search: Search | None = None
    folder: Path = Path()

    @property
    def shards(self) -> dict[str, str]:
        """Front-end -> folder of shards."""
        return {str(front_end): folder for front_end, folder in self.data.shards.items()}

    def place(self, path: str) -> Path:
        """Return a path of the plan as the reader's own."""
        return self.folder / Path(path).expanduser()


def read_plan(path: str | os.PathLike[str], changes: Mapping[str, Any] | None = None) -> Plan:
    """Read and check a plan.

    Args:
        path: a file, or the name of a plan that ships in the package.
        changes: tables laid over those of the file; paths in them, too, are relative to the plan's folder.

    Raises:
        FolksongError: the file cannot be read, and no shipped plan is called so.
        FileFormatError: it is not TOML, a key or value is wrong, or a name is used that nothing defines.
    """
    content, folder = read_content(path)
    return make_plan(lay_over(content, changes or {}), folder, os.fspath(path))


def read_content(path: str | os.PathLike[str]) -> tuple[dict[str, Any], Path]:
    """Return what a plan says, laid over what it extends, and the folder where its paths start."""
    file = Path(path)
    try:
        # results may lie in a folder of the plan's name
        if not file.is_file() and os.fspath(path) in shipped_plans():
            content, folder = shipped_plan(os.fspath(path)).content, Path.cwd()
        else:
            content = tomllib.loads(file.read_text(encoding="utf-8"))
            folder = file.absolute().parent
    except OSError as error:
        raise FolksongError(
            f"{describe_os_error(error, file)}; plans that ship with folksong are {', '.join(shipped_plans())}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{file}: not valid TOML ({error})") from error
    base = content.pop("extends", None)
    if base is None:
        return content, folder
    try:
        return lay_over(read_content(shipped_plan(str(base)).name)[0], content), folder
    except FolksongError as error:
        raise FileFormatError(f"{file}: extends: {error}") from error


def make_plan(content: Mapping[str, Any], folder: Path, source: str) -> Plan:
    """Check what a plan says; `source` is for messages.

    Raises:
        FileFormatError: a key or value is wrong, or a name is used that nothing defines.
    """
    if "folder" in content:
        raise FileFormatError(f"{source}: unknown key 'folder'; paths are relative to the file")
    try:
        plan = Plan.model_validate({**content, "folder": folder})
        _check_names(plan)
    except ValidationError as error:
        raise FileFormatError(f"{source}: " + "; ".join(map(_explain, error.errors()))) from error
    except FolksongError as error:
        raise FileFormatError(f"{source}: {error}") from error
    return plan


def _check_names(plan: Plan) -> None:
    """Check that every name used is defined, and that no space starts from itself."""
    losses = [PLAIN_LOSS, *plan.losses]
    if plan.settings and plan.data.settings is not None:
        raise FolksongError("settings: given twice, as [settings] and as data.settings; take one of them")
    shards: list[str] = list(map(str, plan.data.shards))
    if plan.data.audio is not None or not shards:  # written from it; a plan without data gets them later
        shards = list(get_args(FrontEnd))
    for grid in plan.grid:
        for what, used, known in (
            ("label space", grid.spaces, list(plan.spaces)),
            ("loss", grid.losses, losses),
            ("shards for", tuple(map(str, grid.front_ends)), shards),
        ):
            for name in used:
                if name not in known:
                    raise FolksongError(f"grid: no {what} {name!r}{nearest(name, known)}")
    on = None if plan.search is None else plan.search.on
    if on is not None and on not in plan.spaces:
        raise FolksongError(f"search.on: no label space {on!r}{nearest(on, list(plan.spaces))}")
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
        sections: dict[str, type[BaseModel]] = {
            "data": Data,
            "grid": Grid,
            "training": Training,
            "search": Search,
        }
        section = sections.get(where[0], Plan)
        known = [name for name in section.model_fields if name != "folder"]
        return (
            f"unknown key {'.'.join(where)!r}{nearest(where[-1], known) or '; known are ' + ', '.join(known)}"
        )
    return f"{'.'.join(where)}: {error['msg'].removeprefix('Value error, ')}"
