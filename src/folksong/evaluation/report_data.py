"""What a report shows: groups of runs on common ground, and each run's figures, examples and doubtful tags."""

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from folksong.audio.catalogue import read_tracks
from folksong.errors import FolksongError
from folksong.evaluation.analyses import Recovery, read_tag_groups, read_truth, recovery
from folksong.evaluation.common_tags import same_tracks
from folksong.evaluation.compare import Comparison, Measuring, compare_groups, compare_pairs
from folksong.evaluation.evaluate import current_evaluation
from folksong.evaluation.figures import Average, Evaluation, averages, measure_tracks
from folksong.evaluation.groups import Group, NamedRun, group_runs, open_runs
from folksong.evaluation.scores import ScoredTracks, open_run_records
from folksong.labels.space import Coverage, LabelSpace
from folksong.metrics.decisions import best_thresholds, logit
from folksong.runs import Run
from folksong.tags.table import TagTable
from folksong.training.data import read_run_tags

logger = logging.getLogger(__name__)

Array = npt.NDArray[np.float64]

EXAMPLES = 3  # tracks named beside a label
DOUBTS = 40  # doubtful pairs of each kind in the cleaning queue


@dataclass(frozen=True, eq=False)
class ReportRun(NamedRun):
    """One run, what it is called on the page, and its evaluation."""

    evaluation: Evaluation = field(kw_only=True)


@dataclass(frozen=True, eq=False)
class ReportGroup:
    """One group, on its own labels and tracks; equal names (on several front-ends) have the same number, from 1.

    `figures` are means over the seeds; `coverage` is None if the tags are gone, `recovery` if nobody says what tags
    mean.
    """

    group: Group
    number: int
    figures: Mapping[str, Average]
    coverage: Coverage | None
    recovery: Recovery | None


@dataclass(frozen=True, eq=False)
class Report:
    """All that a report shows.

    `grounds` are all groups on each common ground, `pairs` two groups each on what both know; `tag_groups`, tag ->
    group, are the labels' facets where none are given; `recordings` are those that are at hand.
    """

    part: str
    runs: tuple[ReportRun, ...]
    groups: tuple[ReportGroup, ...]
    grounds: tuple[Comparison, ...]
    pairs: tuple[Comparison, ...]
    tag_groups: Mapping[str, str] = field(default_factory=dict)
    recordings: Mapping[str, Path] = field(default_factory=dict)

    @property
    def level(self) -> float:
        """Of the intervals."""
        return self.runs[0].evaluation.level

    def first_seed(self, group: ReportGroup) -> ReportRun:
        """Return the run that stands for a group where figures are not averaged."""
        return self.runs[group.group.rows[0]]


def collect(
    runs: Sequence[Run | str | os.PathLike[str]],
    *,
    part: str = "test",
    n_resamples: int = 1000,
    truth: str | os.PathLike[str] | None = None,
    tag_groups: str | os.PathLike[str] | None = None,
    audio: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Report:
    """Collect what the report of these runs shows; arguments as in `folksong.evaluation.report.write_report`."""
    named = open_runs(runs)
    if not named:
        raise FolksongError("a report needs at least one run")
    meanings = None if truth is None else read_truth(truth)
    entries = [
        ReportRun(**vars(one), evaluation=current_evaluation(one.run, part, progress=progress))
        for one in named
    ]
    groups = group_runs(entries)
    if meanings is not None:  # all spaces are held against the same tags: those that any of them knows
        used = {tag for group in groups for tag in meanings if group.labels.labels_of(tag)}
        meanings = {tag: meaning for tag, meaning in meanings.items() if tag in used}
    scored = [entry.evaluation.tracks for entry in entries]
    measuring = partial(measure_tracks, n_resamples=n_resamples)
    tables: dict[str, TagTable | None] = {}
    numbers = list(dict.fromkeys(group.name for group in groups))
    described = [
        ReportGroup(
            group,
            number=numbers.index(group.name) + 1,
            figures=averages(list(map(measuring, same_tracks([scored[row] for row in group.rows])))),
            coverage=None if table is None else group.labels.coverage(table),
            recovery=None if meanings is None else recovery(group.labels, meanings),
        )
        for group, table in ((group, _tags_of(group.runs[0], tables)) for group in groups)
    ]
    grounds, pairs = _compare(groups, scored, partial(_tags_of, entries[0].run, tables), part, measuring)
    recordings = {}
    if audio is not None:
        recordings = {track.track_id: track.path for track in read_tracks(audio)}
    return Report(
        part,
        tuple(entries),
        tuple(described),
        tuple(grounds),
        tuple(pairs),
        _facets_of(groups) if tag_groups is None else read_tag_groups(tag_groups),
        recordings,
    )


def _facets_of(groups: Sequence[Group]) -> dict[str, str]:
    """Return label -> facet of the label spaces that were built inside facets."""
    return {label.name: label.facet for group in groups for label in group.labels.labels if label.facet}


def _compare(
    groups: Sequence[Group],
    scored: Sequence[ScoredTracks],
    read_table: Callable[[], TagTable | None],
    part: str,
    measuring: Measuring,
) -> tuple[list[Comparison], list[Comparison]]:
    """Return several groups on all grounds, and more than two of them also two by two."""
    grounds: list[Comparison] = []
    pairs: list[Comparison] = []
    if len(groups) > 1:
        try:
            common, table = same_tracks(scored), read_table()
            grounds = compare_groups(groups, common, table, part, measuring)
            if len(groups) > 2:
                pairs = compare_pairs(groups, common, table, part, measuring)
        except FolksongError as error:
            logger.warning("the runs are not compared on common ground: %s", error)
    return grounds, pairs


def _tags_of(run: Run, tables: dict[str, TagTable | None]) -> TagTable | None:
    """Return the tags of a run's tracks, each source read once; None if they are gone."""
    key = json.dumps([run.config["tags"], run.config["shards"]], sort_keys=True, default=str)
    if key not in tables:
        try:
            tables[key] = read_run_tags(run, open_run_records(run))
        except FolksongError as error:
            logger.warning("%s: its coverage is unknown: %s", run.path, error)
            tables[key] = None
    return tables[key]


def describe_space(space: LabelSpace) -> str:
    """Return a few words on how a label space was built."""
    provenance = space.provenance
    builder = str(provenance.get("builder", "given labels"))
    settings = [f"{key} {provenance[key]}" for key in ("n", "n_clusters", "threshold") if key in provenance]
    if provenance.get("dropped"):
        settings.append(f"{len(provenance['dropped'])} dropped")
    return f"{builder} ({', '.join(settings)})" if settings else builder


@dataclass(frozen=True)
class Doubt:
    """A track-label pair on which listeners and tagger disagree: `distance` is from the threshold, in logits."""

    track: str
    label: str
    score: float
    threshold: float
    distance: float


def doubtful_tags(tracks: ScoredTracks, *, most: int = DOUBTS) -> dict[str, list[Doubt]]:
    """Return the track-label pairs on which tags and tagger disagree most: a queue for cleaning tags.

    A pair's distance is that of its score from the label's threshold (which maximises F1 on these tracks), in
    logits, so that labels of any prevalence compare.

    Returns:
        ``missing``: the tagger hears the label, no listener wrote it; ``wrong``: the other way round.
    """
    limits = best_thresholds(tracks.targets, tracks.scores).thresholds
    with np.errstate(invalid="ignore"):
        margins = logit(tracks.scores) - logit(limits)[None, :]
    carried = tracks.targets.astype(bool)

    def furthest(distances: Array) -> list[Doubt]:
        flat = distances.ravel()
        defined = np.flatnonzero(~np.isnan(flat))
        chosen = defined[np.argsort(-flat[defined], kind="stable")][:most]
        found = []
        for place in chosen:
            row, column = divmod(int(place), distances.shape[1])
            values = tracks.scores[row, column], limits[column], distances[row, column]
            found.append(Doubt(tracks.track_ids[row], tracks.labels[column], *map(float, values)))
        return found

    return {
        "missing": furthest(np.where(carried | ~(margins > 0), np.nan, margins)),
        "wrong": furthest(np.where(carried & (margins < 0), -margins, np.nan)),
    }


def examples(tracks: ScoredTracks, label: int) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """Return the tracks with a label that score lowest, and those without it that score highest, with their scores."""
    scores, carried = tracks.scores[:, label], tracks.targets[:, label].astype(bool)
    ascending = np.argsort(scores, kind="stable")
    descending = ascending[::-1]
    chosen = ascending[carried[ascending]], descending[~carried[descending]]
    missed, mistaken = (
        [(tracks.track_ids[row], float(scores[row])) for row in rows[:EXAMPLES]] for rows in chosen
    )
    return missed, mistaken


def heard_together(found: Evaluation) -> tuple[Array, Array]:
    """Return two matrices (n_labels, n_labels) in 0 to 1; 0 where undefined.

    Returns:
        The share of the row label's tracks that carry the column label; and the mean score of the column label on the
        tracks that carry the row label alone of the two (on the diagonal: on all tracks with the label).
    """
    tracks, counts = found.measured, found.cooccurrence
    targets, scores = tracks.targets.astype(np.float64), tracks.scores.astype(np.float64)
    own = np.diag(counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        together = counts / own[:, None]
        heard = (targets.T @ scores - targets.T @ (targets * scores)) / (own[:, None] - counts)
        np.fill_diagonal(heard, (targets * scores).sum(axis=0) / own)
    return np.nan_to_num(together), np.clip(np.nan_to_num(heard), 0, 1)
