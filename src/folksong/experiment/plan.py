"""The plan of an experiment, checked: data, label spaces, losses, which of them are combined, what is searched.

Plans are read from TOML files: those that ship in the package, a person's own, and changes laid over them. Paths in a
plan are relative to its file. A plan may begin with ``extends = "NAME"`` and say only what differs from that shipped
plan. An unknown key is an error that names the nearest known.
"""

import os
import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from folksong.embeddings.store import EMBEDDINGS
from folksong.errors import FileFormatError, FolksongError, nearest
from folksong.evaluation.groups import PLAIN_LOSS
from folksong.files import parse_toml, read_text
from folksong.training.config import Precision

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
FrontEnd = Literal["waveform", "log-mel-spectrogram", "embeddings"]
Builder = Literal[
    "file",
    "dictionary",
    "top",
    "all_tags",
    "drop",
    "kmeans",
    "main_tags",
    "genres",
    "npmi",
    "skipgram",
    "hybrid",
]
Epochs = Annotated[int, Field(ge=1)]
Value = bool | int | float | str
Figure = Literal["macro_roc_auc", "macro_pr_auc", "micro_roc_auc", "micro_pr_auc"]
DEFAULT_EPOCHS = 100
SEARCHED = ("spaces", "losses", "settings", "training", "data.vectors")
"""Where searched settings may lie: what else is under ``data`` decides the tracks that trials are measured on."""


class Section(BaseModel):
    """A part of a plan: validated when made, never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Data(Section):
    """What is learned from.

    Args:
        tags: a tag table of any kind.
        shards: front-end -> folder of shards; of ``embeddings``, the folder of these.
        audio: a track catalogue or a folder of recordings; shards that `shards` does not name are written from it.
        extractor: what embeddings are written by (`folksong.models.pretrained.extractors`).
        split: a ``*.split.json``; without one it is made, by `fractions` and seed 0.
        fractions: of the split that is made.
        artists: a CSV of artists, for the split that is made.
        vectors: word vectors, for the builders that need them; or several by name, the first for whoever names none.
        min_weight: keep tags with a weight greater than this.
        settings: a ``config.json`` as `folksong train --config` takes it, in the place of the plan's own `settings`.
        truth: a CSV with the columns ``tag`` and ``concept`` (and ``kind``): what each tag means, if that is known; the
            report then says how well each label space recovers it.
        groups: a file of groups of tags, or ``top100``: the report then has PR-AUC by these.
    """

    tags: str | None = None
    shards: dict[FrontEnd, str] = Field(default_factory=dict)
    audio: str | None = None
    extractor: str = "musicnn-msd"
    split: str | None = None
    fractions: tuple[float, float, float] = (80, 10, 10)
    artists: str | None = None
    vectors: str | Annotated[dict[Name, str], Field(min_length=1)] | None = None
    min_weight: float | None = None
    settings: str | None = None
    truth: str | None = None
    groups: str | None = None


class Space(BaseModel):
    """A label space: its builder, the space it starts from, and the builder's further arguments.

    Args:
        builder: what builds it.
        of: the label space it starts from.
        path: of the builders ``file`` and ``dictionary``: the file; of ``genres``: a ``genres.txt`` that chooses.
        choice_of: of the builder ``genres``: the label space of as many labels whose genres and pairs are proposed.
        vectors: which of the plan's word vectors.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    builder: Builder
    of: str | None = None
    path: str | None = None
    choice_of: str | None = None
    vectors: str | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """The builder's further arguments."""
        return dict(self.model_extra or {})


class Grid(Section):
    """All combinations of these are cells; `epochs` instead of the plan's, where it is given."""

    spaces: tuple[str, ...] = Field(min_length=1)
    front_ends: tuple[FrontEnd, ...] = Field(min_length=1)
    losses: tuple[str, ...] = (PLAIN_LOSS,)
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = (0,)
    epochs: Epochs | None = None


class Training(Section):
    """How every cell is trained; `epochs` may differ between front-ends."""

    epochs: Epochs | dict[FrontEnd, Epochs] = DEFAULT_EPOCHS
    precision: Precision = "auto"
    multi_tag: bool = True

    def of(self, front_end: str, epochs: int | None = None) -> dict[str, Any]:
        """Return epochs (those of the grid where it has its own), precision and multi_tag of a front-end."""
        if epochs is not None:
            pass
        elif isinstance(self.epochs, int):
            epochs = self.epochs
        else:
            epochs = next((n for name, n in self.epochs.items() if name == front_end), DEFAULT_EPOCHS)
        return {"epochs": epochs, "precision": self.precision, "multi_tag": self.multi_tag}


class Range(Section):
    """All numbers from `low` to `high`, both included; whole numbers if both ends are; `log` draws their logarithm."""

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(f"low ({self.low}) must be less than high ({self.high})")
        if self.log and self.low <= 0:
            raise ValueError(f"with log, low must be more than 0, not {self.low}")
        return self

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are drawn."""
        return isinstance(self.low, int) and isinstance(self.high, int)


class Search(Section):
    """A search over settings of the plan; every trial is the plan with some settings changed.

    Args:
        parameters: setting, as ``spaces.model-3.n_clusters`` -> a list of values, or a range.
        sampler: ``grid`` tries all combinations of the lists, ``random`` draws, ``tpe`` learns from the trials so far
            (Optuna's tree-structured Parzen estimator).
        trials: how many; all combinations for a grid.
        seed: of ``random`` and ``tpe``.
        figure: what is maximised, on the validation part: the mean over the cells of the plan's grid.
        on: a label space of the plan: every trial is measured on its tags and on the same tracks; a tag that a trial's
            labels do not know is at chance. Without it, each is measured on its own labels.
    """

    parameters: dict[str, Annotated[tuple[Value, ...], Field(min_length=1)] | Range] = Field(min_length=1)
    sampler: Literal["grid", "random", "tpe"] = "grid"
    trials: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    figure: Figure = "macro_pr_auc"
    on: str | None = None

    @model_validator(mode="after")
    def _can_be_done(self) -> "Search":
        for key, values in self.parameters.items():
            at_key(key, None)
            if not any(key == place or key.startswith(f"{place}.") for place in SEARCHED):
                raise ValueError(
                    f"parameters.{key}: only settings below {', '.join(SEARCHED)} can be searched"
                )
            if isinstance(values, Range) and self.sampler == "grid":
                raise ValueError(
                    f"parameters.{key}: a grid needs a list of values; a range is for random or tpe"
                )
        if self.sampler != "grid" and self.trials is None:
            raise ValueError(f"trials: say how many trials the sampler {self.sampler} may make")
        if self.sampler == "grid" and self.trials is not None:
            raise ValueError("trials: a grid tries all combinations; leave this out, or take random or tpe")
        return self


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
        published: published figures to print beside the plan's own: a TSV, or the name of one that ships.
        folder: where relative paths start.
    """

    data: Data = Data()
    spaces: dict[Name, Space] = Field(min_length=1)
    losses: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    grid: tuple[Grid, ...] = Field(min_length=1)
    training: Training = Training()
    settings: dict[str, Any] = Field(default_factory=dict)
    search: Search | None = None
    published: str | None = None
    folder: Path = Path()

    @property
    def shards(self) -> dict[str, str]:
        """Front-end -> folder of shards."""
        return {str(front_end): folder for front_end, folder in self.data.shards.items()}

    def place(self, path: str) -> Path:
        """Return a path of the plan as the reader's own."""
        return self.folder / Path(path).expanduser()

    def vectors(self, name: str | None = None) -> Path | str:
        """Return where word vectors are: a file of the plan's, or a name of some that ship.

        Args:
            name: which, where the plan has several; None takes the first.

        Raises:
            FolksongError: the plan names none, or none of that name.
        """
        given = self.data.vectors
        if given is None:
            raise FolksongError("needs word vectors; name them in the plan (data.vectors)")
        if isinstance(given, dict):
            if name is not None and name not in given:
                raise FolksongError(f"data.vectors: none called {name!r}{nearest(name, list(given))}")
            given = given[name] if name is not None else next(iter(given.values()))
        return self.beside(given)

    def beside(self, name: str) -> Path | str:
        """Return the path of a file of the plan's, or the name as it is where there is none: it may ship."""
        path = self.place(name)
        return path if path.exists() else name


def check_names(plan: Plan) -> None:
    """Check that every name used is defined, and that no space starts from itself."""

    def check(place: str, what: str, name: str, known: list[str]) -> None:
        if name not in known:
            raise FolksongError(f"{place}: no {what} {name!r}{nearest(name, known)}")

    spaces, losses = list(plan.spaces), [PLAIN_LOSS, *plan.losses]
    if plan.settings and plan.data.settings is not None:
        raise FolksongError("settings: given twice, as [settings] and as data.settings; take one of them")
    shards: list[str] = list(map(str, plan.data.shards))
    if plan.data.audio is not None or not shards:  # written from it; a plan without data gets them later
        shards = list(get_args(FrontEnd))
    for grid in plan.grid:
        used = {"label space": (grid.spaces, spaces), "loss": (grid.losses, losses)}
        used["shards for"] = tuple(map(str, grid.front_ends)), shards
        for what, (names, known) in used.items():
            for name in names:
                check("grid", what, name, known)
    if plan.search is not None and plan.search.on is not None:
        check("search.on", "label space", plan.search.on, spaces)
    for name, space in plan.spaces.items():
        if space.choice_of is not None:
            check(f"spaces.{name}.choice_of", "label space", space.choice_of, spaces)
        seen = [name]
        while space.of is not None:
            check(f"spaces.{seen[-1]}", "label space", space.of, spaces)
            if space.of in seen:
                raise FolksongError(f"spaces.{name}: starts from itself ({' from '.join([*seen, space.of])})")
            seen.append(space.of)
            space = plan.spaces[space.of]


def at_key(key: str, value: Any) -> dict[str, Any]:
    """Return a value at a dotted key as nested tables; a part with a dot in it stands in quotes.

    >>> at_key('spaces."model-4.1".linkage', "single")
    {'spaces': {'model-4.1': {'linkage': 'single'}}}

    Raises:
        FolksongError: this is no key.
    """
    try:
        nested = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError as error:
        raise FolksongError(f"{key!r} is no key ({error}); parts are joined by dots") from error
    result: dict[str, Any] = nested
    place = nested
    while True:
        (name,) = place
        if place[name] == 0:
            place[name] = value
            return result
        place = place[name]


ENDING = ".toml"
HEAD_SEEDS = list(range(10))


def read_plan(
    path: str | os.PathLike[str], changes: Mapping[str, Any] | None = None, *, front_end: str | None = None
) -> Plan:
    """Read and check a plan.

    Args:
        path: a file, or the name of a plan that ships in the package.
        changes: tables laid over those of the file; paths in them, too, are relative to the plan's folder.
        front_end: in the place of those of the plan's grids; heads on embeddings get 10 seeds.

    Raises:
        FolksongError: the file cannot be read, and no shipped plan is called so.
        FileFormatError: it is not TOML, a key or value is wrong, or a name is used that nothing defines.
    """
    content, folder = read_content(path)
    content = lay_over(content, changes or {})
    if front_end is not None and isinstance(content.get("grid"), list):
        other = {"front_ends": [front_end], **({"seeds": HEAD_SEEDS} if front_end == EMBEDDINGS else {})}
        content["grid"] = [{**grid, **other} for grid in content["grid"]]
    return make_plan(content, folder, os.fspath(path))


def read_content(path: str | os.PathLike[str]) -> tuple[dict[str, Any], Path]:
    """Return what a plan says, laid over what it extends, and the folder where its paths start."""
    file = Path(path)
    # results may lie in a folder of the plan's name
    if not file.is_file() and os.fspath(path) in shipped_plans():
        content, folder = parse_toml(shipped_plan(os.fspath(path)), file), Path.cwd()
    elif not file.exists():
        raise FolksongError(
            f"{file}: no such file or folder; plans that ship with folksong are {', '.join(shipped_plans())}"
        )
    else:
        content, folder = parse_toml(read_text(file), file), file.absolute().parent
    base = content.pop("extends", None)
    if base is None:
        return content, folder
    try:
        shipped_plan(str(base))
        return lay_over(read_content(str(base))[0], content), folder
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
        check_names(plan)
    except ValidationError as error:
        raise FileFormatError(f"{source}: " + "; ".join(map(_explain, error.errors()))) from error
    except FolksongError as error:
        raise FileFormatError(f"{source}: {error}") from error
    return plan


def shipped_plans() -> dict[str, str]:
    """Return the TOML of all plans that ship in the package by name; its first line says what the plan is."""
    folder = files("folksong.experiment").joinpath("plans")
    entries = [entry for entry in folder.iterdir() if entry.name.endswith(ENDING)]
    return dict(sorted((entry.name.removesuffix(ENDING), entry.read_text("utf-8")) for entry in entries))


def shipped_plan(name: str) -> str:
    """Return the TOML of one plan; one that extends another says so in its first setting.

    Raises:
        FolksongError: no shipped plan is called so.
    """
    plans = shipped_plans()
    if name not in plans:
        known = nearest(name, list(plans)) or f"; known are {', '.join(plans)}"
        raise FolksongError(f"no plan {name!r} ships with folksong{known}")
    return plans[name]


def lay_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return `below` with the keys of `above` laid over it, table by table; other values are replaced.

    >>> lay_over({"a": {"x": 1, "y": 2}, "b": [1]}, {"a": {"y": 3}, "b": [2]})
    {'a': {'x': 1, 'y': 3}, 'b': [2]}
    """
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = lay_over(old, value) if both else value  # type: ignore[arg-type]
    return result


def read_settings(texts: Iterable[str]) -> dict[str, Any]:
    """Return settings written as ``KEY=VALUE`` as one table; a value that is no TOML is a word.

    >>> read_settings(["spaces.top.n=50", "data.tags=my tags.db"])
    {'spaces': {'top': {'n': 50}}, 'data': {'tags': 'my tags.db'}}

    Raises:
        FolksongError: a text has no ``=``, or its key is none.
    """
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise FolksongError(
                f"{text!r}: a setting is written as KEY=VALUE, for example spaces.model-1.n=50 or gamma=2"
            )
        found = lay_over(found, _read_setting(key.strip(), value.strip()))
    return found


def _read_setting(key: str, value: str) -> dict[str, Any]:
    try:
        found = tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        found = value
    return at_key(key, found)


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
