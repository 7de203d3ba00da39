"""The plan of an experiment, checked: data, label spaces, losses, which of them are combined, what is searched.

`folksong.experiment.read_plan` reads one from a TOML file. Every key is checked.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from folksong.errors import FolksongError, nearest
from folksong.evaluation.groups import PLAIN_LOSS
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
