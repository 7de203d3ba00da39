"""Analyses of an evaluation beyond its figures: by groups of tags, by thresholds, by counts, and by what tags mean.

`recovery` compares a label space with the meanings of tags, where these are known (a synthetic corpus, or a person's
list), by the adjusted Rand index: 1 if two tags share a label exactly when they share a meaning, about 0 for a random
division. A label space of single tags divides nothing together and has 0, however well its labels are heard. Two
figures: over the tags that the space knows, and over all tags of the truth, each tag that the space leaves out being
alone, so that leaving tags out is no way to a good figure.
"""

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from io import StringIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from folksong.errors import FileFormatError
from folksong.evaluation.figures import Evaluation
from folksong.files import read_text
from folksong.labels.analysis.diff import adjusted_rand_index, contingency
from folksong.labels.space import LabelSpace
from folksong.metrics import confusion

Array = npt.NDArray[np.float64]

THRESHOLDS = (0.33, 0.5, 0.67)


@dataclass(frozen=True)
class TagGroup:
    """Mean figures of the labels of one group of tags, and how many of the labels in the averages belong to it."""

    name: str
    labels: int
    roc_auc: float
    pr_auc: float
    chance: float


def read_tag_groups(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return tag -> group from a file of lines ``tag<TAB>group``; ``top100`` ships in the package.

    A header says which column holds the groups ("group" or "facet"), as in the earlier project's ``top100.tsv``, where
    counts stand between. Without one it is the second, or the third where the second holds counts. Facets of tags
    (`folksong.tags.facets`) are such a file.
    """
    shipped = files("folksong.evaluation").joinpath("data", f"{path}.tsv")
    if shipped.is_file() and not Path(path).exists():
        text = shipped.read_text(encoding="utf-8")
    else:
        text = read_text(path)
    rows = [(number, line.split("\t")) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    column = 0
    if rows and rows[0][1][0] == "tag":
        names = rows[0][1]
        column = next((names.index(name) for name in ("group", "facet") if name in names), 0)
        rows = rows[1:] if column else rows
    found: dict[str, str] = {}
    for number, (tag, *more) in rows:
        place = column - 1 if column else int(len(more) > 1 and more[0].isdigit())
        group = more[place].strip() if place < len(more) else ""
        if not group:
            raise FileFormatError(
                f"{path}: line {number} is not a tag, a tabulator and its group: {tag[:60]!r}"
            )
        if found.setdefault(tag, group) != group:
            raise FileFormatError(f"{path}: the tag {tag!r} is in two groups")
    return found


def figures_by_group(found: Evaluation, groups: Mapping[str, str]) -> list[TagGroup]:
    """Return the mean figures of each group that has a label in the averages, in the order of the groups.

    `groups` is tag -> group; a label belongs to the group of its name.
    """
    members: dict[str, list[tuple[float, float, float]]] = {name: [] for name in groups.values()}
    for label in found.defined:
        if label.name in groups:
            values = label.roc_auc.value, label.pr_auc.value, label.pr_auc.chance
            members[groups[label.name]].append(values)
    return [
        TagGroup(name, len(values), *np.mean(values, axis=0).tolist())
        for name, values in members.items()
        if values
    ]


def density(values: Sequence[float], at: Array) -> Array:
    """Return the density of values at some places: a sum of Gaussians, their width by Scott's rule (1992).

    Zero everywhere for fewer than two different values.
    """
    from scipy.stats import gaussian_kde

    if len(set(values)) < 2:
        return np.zeros_like(at)
    smooth: Array = gaussian_kde(np.asarray(values))(at)
    return smooth


@dataclass(frozen=True)
class Decisions:
    """What is decided if one threshold holds for all labels.

    Args:
        threshold: a score of at least this decides for a label.
        shares: [[TN, FP], [FN, TP]] as shares of all track-label pairs.
        macro_f1: mean over the labels in the averages.
        never: labels without any positive prediction.
    """

    threshold: float
    shares: tuple[tuple[float, float], tuple[float, float]]
    macro_f1: float
    never: tuple[str, ...]


def decisions_at(found: Evaluation) -> list[Decisions]:
    """Return what is decided at each of `THRESHOLDS`."""
    used = found.measured
    kept = [not np.isnan(label.roc_auc.value) for label in found.labels]
    decided = []
    for threshold in THRESHOLDS:
        matrices = confusion(used.targets, used.scores, threshold, labels=used.labels)
        false_alarms, misses, hits = matrices[:, 0, 1], matrices[:, 1, 0], matrices[:, 1, 1]
        f1 = (2 * hits / np.maximum(2 * hits + false_alarms + misses, 1))[kept]
        (tn, fp), (fn, tp) = (matrices.sum(axis=0) / matrices.sum()).tolist()
        never = np.flatnonzero(false_alarms + hits == 0)
        decided.append(
            Decisions(
                threshold,
                ((tn, fp), (fn, tp)),
                float(f1.mean()) if len(f1) else np.nan,
                tuple(used.labels[number] for number in never),
            )
        )
    return decided


def imbalance(found: Evaluation) -> tuple[float, float]:
    """Return the mean imbalance ratio, and the Pearson correlation of a label's count with its PR-AUC.

    The ratio (Charte et al. 2015) is the mean over labels of the largest count of a label divided by the label's own;
    labels that no track carries are left out. NaN where undefined.
    """
    counts = np.array([label.tracks for label in found.labels if label.tracks], np.float64)
    pairs = np.array([(label.tracks, label.pr_auc.value) for label in found.defined], np.float64)
    varied = len(pairs) > 1 and bool((pairs != pairs[0]).any(axis=0).all())
    return (
        float((counts.max() / counts).mean()) if len(counts) else np.nan,
        float(np.corrcoef(pairs[:, 0], pairs[:, 1])[0][1]) if varied else np.nan,
    )


@dataclass(frozen=True)
class Recovery:
    """How a label space divides tags, against what they mean.

    Args:
        known: adjusted Rand index over the tags that the space knows; NaN if it knows none.
        all_tags: likewise over all tags of the truth, those left out each alone.
        n_tags: how many tags the space knows.
        n_all: how many there are.
        n_meanings: of the tags that the space knows.
    """

    known: float
    all_tags: float
    n_tags: int
    n_all: int
    n_meanings: int


def read_truth(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return tag -> meaning from a CSV file with the columns ``tag`` and ``concept``, and ``kind`` if there is one."""
    reader = csv.DictReader(StringIO(read_text(path), newline=""))
    missing = [name for name in ("tag", "concept") if name not in (reader.fieldnames or ())]
    if missing:
        raise FileFormatError(
            f"{path}: has no column {missing[0]!r}; the truth of tags needs tag and concept"
        )
    found: dict[str, str] = {}
    for row in reader:
        meaning = f"{row.get('kind') or ''}:{row['concept']}"
        if found.setdefault(row["tag"], meaning) != meaning:
            raise FileFormatError(f"{path}: the tag {row['tag']!r} has two meanings")
    return found


def recovery(space: LabelSpace, truth: Mapping[str, str]) -> Recovery:
    """Compare the labels of a space with `truth`, tag -> meaning; a tag of several labels counts with its first."""
    meanings = {meaning: number for number, meaning in enumerate(dict.fromkeys(truth.values()))}
    true = np.array([meanings[meaning] for meaning in truth.values()], np.int64)
    labels = [space.labels_of(tag) for tag in truth]
    mine = np.array(
        [found[0] if found else len(space) + number for number, found in enumerate(labels)], np.int64
    )
    known = np.array([bool(found) for found in labels], bool)
    return Recovery(
        known=adjusted_rand_index(contingency(mine[known], true[known])),
        all_tags=adjusted_rand_index(contingency(mine, true)),
        n_tags=int(known.sum()),
        n_all=len(truth),
        n_meanings=len(np.unique(true[known])),
    )
