"""A plan of many runs: label spaces x front-ends x losses x seeds, from one file."""

from folksong.experiment.plan import Plan, read_plan, shipped_plan, shipped_plans
from folksong.experiment.prepare import Cell
from folksong.experiment.run_experiment import CellResult, run_experiment
from folksong.experiment.run_search import SearchResult, Trial, run_search

__all__ = [
    "Cell",
    "CellResult",
    "Plan",
    "SearchResult",
    "Trial",
    "read_plan",
    "run_experiment",
    "run_search",
    "shipped_plan",
    "shipped_plans",
]
