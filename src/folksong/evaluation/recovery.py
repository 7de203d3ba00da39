"""How well a label space recovers what tags mean, where that is known (a synthetic corpus, or a person's list).

The adjusted Rand index of two divisions of tags: 1 if two tags share a label exactly when they share a meaning, about 0
for a random division. A label space of single tags divides nothing together and has 0, however well its labels are
heard. Two figures: over the tags that the space knows, and over all tags of the truth, each tag
that the space leaves out being alone, so that leaving tags out is no way to a good figure. (Give the tags that any of
the spaces compared knows: over a whole folksonomy, thousands of rare tags that nobody keeps would decide.)
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO

import numpy as np

from folksong.errors import FileFormatError
from folksong.files import read_text
from folksong.labels.analysis.diff import adjusted_rand_index, contingency
from folksong.labels.space import LabelSpace


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
    """Return tag -> meaning from a CSV file with the columns ``tag`` and ``concept``, and ``kind`` if there is one.

    Raises:
        FolksongError: the file is missing.
        FileFormatError: a column is missing, or a tag has two meanings.
    """
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
    """Compare the labels of a space with the meanings of tags; a tag of several labels counts with its first.

    Args:
        space: the label space.
        truth: tag -> meaning.
    """
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
