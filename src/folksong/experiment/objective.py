"""What a search maximises: a figure of the validation part, on each trial's own labels or on one label space's tags."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from folksong.errors import FolksongError
from folksong.evaluation.common_tags import common_tags, project
from folksong.evaluation.evaluate import current_evaluation
from folksong.experiment.search_settings import Search
from folksong.labels.space import LabelSpace
from folksong.metrics import summarise
from folksong.runs import Run
from folksong.tags.table import TagTable

PART = "validation"


def figure_of_runs(
    runs: Sequence[Run], search: Search, table: TagTable, reference: LabelSpace | None
) -> float:
    """Return the mean over `runs` of what `search` maximises.

    Args:
        runs: of one trial.
        search: names the figure.
        table: the tags of all tracks.
        reference: the label space that `search.on` names.

    Raises:
        FolksongError: the figure is undefined, since no label has both positive and negative tracks.
    """
    values = [_figure(run, search, table, reference) for run in runs]
    if not values or np.isnan(values).any():
        raise FolksongError(
            f"{search.figure} of the {PART} part is undefined: no label has both positive and negative tracks"
        )
    return float(np.mean(values))


def _figure(run: Run, search: Search, table: TagTable, reference: LabelSpace | None) -> float:
    found = current_evaluation(run, PART)
    if reference is None:
        return float(getattr(found, search.figure).value)
    tags = common_tags([reference], table.select_tracks(found.tracks.track_ids))
    if not tags:
        raise FolksongError(f"search.on: no track of the {PART} part carries a tag of this label space")
    projected = project(found.tracks, run.labels, tags, table, unknown_at_chance=True)
    used = projected.select(projected.measured)
    summary = summarise(used.targets, used.scores, labels=used.labels, micro="micro" in search.figure)
    return float(getattr(summary, search.figure))
