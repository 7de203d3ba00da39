"""What a report shows, as JSON values: groups of runs on common ground, and each run's figures and curves."""

from __future__ import annotations

import base64
import json
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.errors import FolksongError
from folksong.evaluation.cells import open_runs
from folksong.evaluation.common_tags import Grounds, compare_groups
from folksong.evaluation.compare import current_evaluation, same_tracks
from folksong.evaluation.figures import Evaluation
from folksong.evaluation.recovery import read_truth, recovery
from folksong.evaluation.scored import ScoredTracks
from folksong.evaluation.scoring import open_shards
from folksong.evaluation.seeds import Group, average, group_runs, measure_tracks, seed_of
from folksong.evaluation.tables import evaluation_to_dict
from folksong.files import json_value
from folksong.metrics import best_thresholds
from folksong.runs import Run
from folksong.tags.table import TagTable
from folksong.training.data import read_run_tags

logger = logging.getLogger(__name__)

EXAMPLES = 3  # tracks named beside a label
DOUBTS = 40  # doubtful pairs of each kind in the cleaning queue
LARGEST_HEAT_MAP = 200  # labels; more cannot be told apart on a screen
SHOWN_TAGS = 12  # of a label's member tags


def collect(
    runs: Sequence[Run | str | os.PathLike[str]],
    *,
    part: str = "test",
    n_resamples: int = 1000,
    truth: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Collect what the report of these runs shows; runs without an up-to-date evaluation are evaluated.

    Args:
        runs: the runs, their folders, or folders of experiments.
        part: ``"test"``, ``"validation"`` or ``"training"``.
        n_resamples: of the bootstraps.
        truth: a CSV of what tags mean, see `folksong.evaluation.recovery.read_truth`.
        progress: show a bar where a run is evaluated first.

    Raises:
        FolksongError: as `folksong.evaluation.evaluate.evaluate`.
    """
    named = open_runs(runs)
    if not named:
        raise FolksongError("a report needs at least one run")
    opened = [one.run for one in named]
    names = _short_names(opened)
    meanings = None if truth is None else read_truth(truth)
    tables = RunTables()
    described = [
        describe_run(run, name, part, tables, progress=progress)
        for run, name in zip(opened, names, strict=True)
    ]
    groups = group_runs(named, names)
    if meanings is not None:  # all spaces are held against the same tags: those that any of them knows
        used = {tag for group in groups for tag in meanings if group.labels.labels_of(tag)}
        meanings = {tag: meaning for tag, meaning in meanings.items() if tag in used}
    scored = [current_evaluation(run, part).tracks for run in opened]
    entries = [_describe_group(group, scored, described, meanings, n_resamples) for group in groups]
    grounds = Grounds([], [])
    if len(groups) > 1:
        try:
            grounds = compare_groups(groups, same_tracks(scored), tables.of(opened[0]), n_resamples)
        except FolksongError as error:
            logger.warning("the runs are not compared on common ground: %s", error)
    return {
        "part": part,
        "runs": described,
        "groups": entries,
        "grounds": grounds.grounds,
        "pairs": grounds.pairs,
    }


class RunTables:
    """The tags of runs, each source read once."""

    def __init__(self) -> None:
        self._tables: dict[str, TagTable | None] = {}

    def of(self, run: Run) -> TagTable | None:
        """Return the tags of a run's tracks, or None if they are gone."""
        key = json.dumps([run.config["tags"], run.config["shards"]], sort_keys=True, default=str)
        if key not in self._tables:
            try:
                self._tables[key] = read_run_tags(run, open_shards(run))
            except FolksongError as error:
                logger.warning("%s: its coverage is unknown: %s", run.path, error)
                self._tables[key] = None
        return self._tables[key]


def _describe_group(
    group: Group,
    scored: Sequence[ScoredTracks],
    described: Sequence[Mapping[str, Any]],
    truth: Mapping[str, str] | None,
    n_resamples: int,
) -> dict[str, Any]:
    """Return one group's entry: its own labels on its own tracks, the mean over its seeds."""
    own = same_tracks([scored[row] for row in group.rows])
    found = None if truth is None else recovery(group.labels, truth)
    return {
        "name": group.name,
        "space": group.space,
        "loss": group.loss,
        "built": describe_space(group.labels.provenance),
        "front_end": group.front_end,
        "seeds": list(group.seeds),
        "runs": list(group.rows),
        "n_labels": len(group.labels),
        "n_tags": len(group.labels.tags),
        "n_tracks": int(own[0].measured.sum()),
        "coverage": described[group.rows[0]]["coverage"],
        "figures": average([measure_tracks(tracks, n_resamples) for tracks in own]),
        "recovery": None if found is None else json_value(vars(found)),
    }


def describe_run(
    run: Run, name: str, part: str, tables: RunTables, *, progress: bool = False
) -> dict[str, Any]:
    """Return one run's entry of the report."""
    found = current_evaluation(run, part, progress=progress)
    tracks = found.measured
    content = evaluation_to_dict(found)
    for entry, label in zip(content["labels"], run.labels.labels, strict=True):
        entry["tags"] = list(label.tags[:SHOWN_TAGS])
        entry["n_tags"] = len(label.tags)
    for entry, examples in zip(content["labels"], _examples(tracks), strict=True):
        entry.update(examples)
    content.update(
        name=name,
        run=name,  # a page that is passed on tells nobody where its maker keeps files
        front_end=run.front_end,
        space=describe_space(run.labels.provenance),
        space_sha256=run.labels.sha256(),
        seed=seed_of(run),
        coverage=_coverage(run, tables),
        curves=run.history(),
        heat_maps=_heat_maps(found),
        doubts=doubtful_tags(tracks),
    )
    return content


def describe_space(provenance: Mapping[str, Any]) -> str:
    """Return a few words on how a label space was built."""
    builder = str(provenance.get("builder", "given labels"))
    settings = [f"{key} {provenance[key]}" for key in ("n", "n_clusters", "threshold") if key in provenance]
    if provenance.get("dropped"):
        settings.append(f"{len(provenance['dropped'])} dropped")
    return f"{builder} ({', '.join(settings)})" if settings else builder


def doubtful_tags(tracks: ScoredTracks, *, most: int = DOUBTS) -> dict[str, list[dict[str, Any]]]:
    """Return the track-label pairs on which tags and tagger disagree most: a queue for cleaning tags.

    A pair's distance is that of its score from the label's threshold (which maximises F1 on these tracks), in
    logits, so that labels of any prevalence compare.

    Returns:
        ``missing``: the tagger hears the label, no listener wrote it; ``wrong``: the other way round.
    """
    limits = best_thresholds(tracks.targets, tracks.scores).thresholds
    with np.errstate(invalid="ignore"):
        margins = _logit(tracks.scores) - _logit(limits)[None, :]
    carried = tracks.targets.astype(bool)
    return {
        "missing": _furthest(np.where(carried | ~(margins > 0), np.nan, margins), tracks, most),
        "wrong": _furthest(np.where(carried & (margins < 0), -margins, np.nan), tracks, most),
    }


def _furthest(distances: npt.NDArray[np.float64], tracks: ScoredTracks, most: int) -> list[dict[str, Any]]:
    flat = distances.ravel()
    defined = np.flatnonzero(~np.isnan(flat))
    chosen = defined[np.argsort(-flat[defined], kind="stable")][:most]
    pairs = (divmod(int(place), distances.shape[1]) for place in chosen)
    return [
        {
            "track": tracks.track_ids[row],
            "label": tracks.labels[column],
            "score": round(float(tracks.scores[row, column]), 4),
            "distance": round(float(distances[row, column]), 3),
        }
        for row, column in pairs
    ]


def _logit(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    inside = np.clip(np.asarray(values, np.float64), 1e-6, 1 - 1e-6)
    logits: npt.NDArray[np.float64] = np.log(inside / (1 - inside))
    return logits


def _examples(tracks: ScoredTracks) -> list[dict[str, list[str]]]:
    """Return, for each label, the tracks with it that score lowest, and those without it that score highest."""
    found = []
    for number in range(len(tracks.labels)):
        scores, carried = tracks.scores[:, number], tracks.targets[:, number].astype(bool)
        ascending = np.argsort(scores, kind="stable")
        missed = ascending[carried[ascending]][:EXAMPLES]
        taken = ascending[::-1][~carried[ascending[::-1]]][:EXAMPLES]
        found.append(
            {
                "missed": [f"{tracks.track_ids[row]} ({scores[row]:.2f})" for row in missed],
                "mistaken": [f"{tracks.track_ids[row]} ({scores[row]:.2f})" for row in taken],
            }
        )
    return found


def _heat_maps(found: Evaluation) -> dict[str, Any] | None:
    """Return two (n_labels, n_labels) maps with values of 0 to 255 for 0 to 1, base64.

    ``together``: share of the row label's tracks that carry the column label; ``heard``: mean score of the column
    label on the tracks that carry the row label alone of the two.
    """
    tracks = found.measured
    n_labels = len(tracks.labels)
    if n_labels > LARGEST_HEAT_MAP:
        return None
    targets = tracks.targets.astype(np.float64)
    counts = found.cooccurrence
    with np.errstate(divide="ignore", invalid="ignore"):
        together = counts / np.diag(counts)[:, None]
        # Sum over tracks with the row label but without the column's; on the diagonal over all tracks with the label.
        scores = tracks.scores.astype(np.float64)
        sums = targets.T @ scores - targets.T @ (targets * scores)
        alone = np.diag(counts)[:, None] - counts
        heard = sums / alone
        own = (targets * scores).sum(axis=0) / np.diag(counts)
    np.fill_diagonal(heard, own)
    return {"n": n_labels, "together": _bytes(together), "heard": _bytes(heard)}


def _bytes(values: npt.NDArray[np.float64]) -> str:
    scaled = np.nan_to_num(np.clip(values, 0, 1) * 255).round().astype(np.uint8)
    return base64.b64encode(scaled.tobytes()).decode("ascii")


def _coverage(run: Run, tables: RunTables) -> dict[str, Any] | None:
    """Return the shares of counts and tracks that the label space keeps, or None if the tags are gone."""
    table = tables.of(run)
    if table is None:
        return None
    covered = run.labels.coverage(table).to_dict()
    return {key: covered[key] for key in ("counts", "tracks")}


def _short_names(runs: Sequence[Run]) -> list[str]:
    """Return folder names, with as many parents as it takes to tell the runs apart."""
    parts = [run.path.absolute().parts for run in runs]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(path[-depth:]) for path in parts]
        if len(set(names)) == len(names):
            return names
    raise FolksongError("a run is named twice")
