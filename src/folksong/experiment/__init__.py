"""A plan of many runs: label spaces x front-ends x losses x seeds, from one file."""

from __future__ import annotations

from folksong.experiment.cells import Cell, make_cells
from folksong.experiment.plan import Plan, read_plan
from folksong.experiment.running import CellResult, run_experiment
from folksong.experiment.search import SearchResult, Trial, run_search
from folksong.experiment.shipped import shipped_plans, write_shipped_plan

__all__ = [
    "Cell",
    "CellResult",
    "Plan",
    "SearchResult",
    "Trial",
    "make_cells",
    "read_plan",
    "run_experiment",
    "run_search",
    "shipped_plans",
    "write_shipped_plan",
]
