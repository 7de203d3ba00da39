"""The ``[search]`` section of a plan: which settings are tried, in which way, and what is maximised."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from folksong.experiment.changes import at_key

SEARCHED = ("spaces", "losses", "settings", "training", "data.vectors")
"""Where searched settings may lie: what else is under ``data`` decides the tracks that trials are measured on."""

Value = bool | int | float | str
Figure = Literal["macro_roc_auc", "macro_pr_auc", "micro_roc_auc", "micro_pr_auc"]


class Range(BaseModel):
    """All numbers from `low` to `high`, both included; whole numbers if both ends are; `log` draws their logarithm."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> Range:
        if not self.low < self.high:
            raise ValueError(f"low ({self.low}) must be less than high ({self.high})")
        if self.log and self.low <= 0:
            raise ValueError(f"with log, low must be more than 0, not {self.low}")
        return self

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are drawn."""
        return isinstance(self.low, int) and isinstance(self.high, int)


class Search(BaseModel):
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

    model_config = ConfigDict(frozen=True, extra="forbid")

    parameters: dict[str, Annotated[tuple[Value, ...], Field(min_length=1)] | Range] = Field(min_length=1)
    sampler: Literal["grid", "random", "tpe"] = "grid"
    trials: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    figure: Figure = "macro_pr_auc"
    on: str | None = None

    @model_validator(mode="after")
    def _can_be_done(self) -> Search:
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

    def changes(self, chosen: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the chosen values as tables to lay over the plan."""
        return [at_key(key, value) for key, value in chosen.items()]
