"""What an experiment learns from: tags, split, settings and shards, read or made as its plan says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from folksong.errors import FolksongError
from folksong.experiment.plan import Plan
from folksong.splits import Split, make_split
from folksong.tags.table import TagTable
from folksong.training.config import Config


@dataclass(frozen=True)
class ExperimentData:
    """The data of a plan.

    Args:
        plan: the plan, with a folder of shards for every front-end that it uses.
        table: all tags.
        split: the parts.
        config: settings of all trainings.
    """

    plan: Plan
    table: TagTable
    split: Split
    config: Config


def read_data(plan: Plan, out: Path, *, jobs: int = -1, progress: bool = False) -> ExperimentData:
    """Read what a plan names; make the split, and the shards that are missing, if need be.

    Args:
        plan: the plan.
        out: the experiment's folder; shards are written into ``shards/FRONT-END`` there.
        jobs: processes for the shards.
        progress: show a bar for the shards.

    Raises:
        FolksongError: tags, audio or settings are missing or damaged; the message names the plan's key.
    """
    from folksong.tags.sources.delimited import read_artists
    from folksong.tags.sources.read_tags import read_tags

    data = plan.data
    if data.tags is None:
        raise FolksongError("data.tags: the plan names no tags; name them there, or by --tags")
    config = _read_config(plan)
    table = read_tags(plan.place(data.tags), min_weight=data.min_weight)
    if data.split is not None:
        split = Split.read(plan.place(data.split))
    else:
        artists = None if data.artists is None else read_artists(plan.place(data.artists))
        split = make_split(table, fractions=data.fractions, artists=artists)
    return ExperimentData(_with_shards(plan, table, out, jobs, progress), table, split, config)


def _read_config(plan: Plan) -> Config:
    if plan.data.settings is not None:
        return Config.read(plan.place(plan.data.settings))
    return Config.from_dict(plan.settings, "settings")


def _with_shards(plan: Plan, table: TagTable, out: Path, jobs: int, progress: bool) -> Plan:
    """Return the plan with shards for all its front-ends; write those that it does not name."""
    from folksong.audio.catalogue import read_catalogue, scan_folder
    from folksong.shards.writer import write_shards

    used = dict.fromkeys(front_end for grid in plan.grid for front_end in grid.front_ends)
    missing = [front_end for front_end in used if front_end not in plan.data.shards]
    if not missing:
        return plan
    if plan.data.audio is None:
        raise FolksongError(
            f"data.shards: none for {' and '.join(missing)}; name them there, or the recordings as data.audio (--audio)"
        )
    place = plan.place(plan.data.audio)
    tracks = scan_folder(place) if place.is_dir() else read_catalogue(place)
    shards = dict(plan.data.shards)
    for front_end in missing:
        folder = out.absolute() / "shards" / front_end
        write_shards(tracks, folder, table, audio_format=front_end, jobs=jobs, progress=progress)
        shards[front_end] = str(folder)
    return plan.model_copy(update={"data": plan.data.model_copy(update={"shards": shards})})
