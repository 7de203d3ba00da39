"""Taggers of different label spaces on common ground: the tags that all of them know, on the same tracks.

Larger labels are more frequent, and frequent labels have a higher PR-AUC by that alone; figures of different label
spaces do not compare. So each label's score stands for each of its member tags, and what is measured is how well these
scores rank the tracks that carry the tag itself. A space that lumps tags together is thereby charged for what it can
no longer tell apart.
"""

import logging
from collections.abc import Sequence

import numpy as np

from folksong.errors import FolksongError
from folksong.evaluation.scores import ScoredTracks
from folksong.labels.space import LabelSpace
from folksong.tags.table import TagTable
from folksong.training.data import rows_of_tracks

logger = logging.getLogger(__name__)


def same_tracks(scored: Sequence[ScoredTracks]) -> list[ScoredTracks]:
    """Return the tracks that all have, in the order of the first."""
    common = set(scored[0].track_ids).intersection(*(tracks.track_ids for tracks in scored[1:]))
    if not common:
        raise FolksongError("the runs have no track of this part in common; train them with the same split")
    order = [track_id for track_id in scored[0].track_ids if track_id in common]
    found = []
    for tracks in scored:
        row_of = {track_id: row for row, track_id in enumerate(tracks.track_ids)}
        found.append(tracks.select([row_of[track_id] for track_id in order]))
    if len(order) < max(map(len, scored)):
        logger.warning("only %d tracks of this part are common to all runs", len(order))
    return found


def common_tags(spaces: Sequence[LabelSpace], table: TagTable, *, min_tracks: int = 1) -> tuple[str, ...]:
    """Return the tags that belong to a label in every space (by themselves or an alias), popular first.

    Only tags that `min_tracks` tracks of the table carry are returned; of no space, these are all its frequent tags.
    """
    popularity = table.popularity()
    return tuple(
        tag
        for tag, count in zip(popularity.tags, popularity.counts, strict=True)
        if count >= max(min_tracks, 1) and all(space.labels_of(tag) for space in spaces)
    )


def project(
    tracks: ScoredTracks,
    space: LabelSpace,
    tags: Sequence[str],
    table: TagTable,
) -> ScoredTracks:
    """Return the tracks with tags in the place of labels.

    A tag's score is that of its label (of several, the highest); its targets are the tracks that carry the tag itself.
    Tracks that carry none of `tags` are not measured. A tag of no label gets the same score on every track, so that it
    is measured at chance.

    Raises:
        FolksongError: the scores are of other labels.
    """
    if tracks.labels != space.names:
        raise FolksongError("the scores are of other labels than those of the space; evaluate the run again")
    scores = np.zeros((len(tracks), len(tags)), np.float32)
    for column, tag in enumerate(tags):
        labels = space.labels_of(tag)
        if labels:
            scores[:, column] = tracks.scores[:, list(labels)].max(axis=1)
    columns = [table.tag_index[tag] for tag in tags]
    presence = table.presence[:, columns].tocsr()
    targets = rows_of_tracks(presence, table, tracks.track_ids).toarray().astype(np.uint8)
    return ScoredTracks(tracks.track_ids, tuple(tags), targets, scores, np.asarray(targets.any(axis=1)))
