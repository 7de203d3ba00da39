"""The control of a run on embeddings: a head on plain statistics, of the same tracks, labels, split and settings.

What does not beat means and deviations of log-mel and MFCC has learned nothing from its network. Where embeddings by
``statistics`` lie beside the run's (``features/statistics`` beside ``features/msd``), the control is trained once and
kept in the run as ``control/``, a run like any other: `folksong.evaluation.compare` says whether the difference holds.
"""

from __future__ import annotations

from pathlib import Path

from folksong.embeddings.store import DESCRIPTION_NAME
from folksong.errors import FolksongError
from folksong.evaluation.scores import open_run_records
from folksong.files import read_json
from folksong.models.pretrained.extractors import STATISTICS
from folksong.runs import CONFIG_NAME, Run
from folksong.training.config import Config
from folksong.training.data import read_run_tags
from folksong.training.resume import resume
from folksong.training.train import train

CONTROL_NAME = "control"


def train_control(run: Run) -> Run | None:
    """Return a run's control, trained if it is not yet; None where there can be none.

    None: it learned from audio, or from statistics itself, or no statistics of its tracks lie beside its embeddings.
    """
    if run.space is None or run.space.model == STATISTICS:
        return None
    place = run.path / CONTROL_NAME
    if (place / CONFIG_NAME).exists():
        return resume(place)
    folder = _statistics_beside(run.shards_dir)
    if folder is None:
        return None
    config = Config.from_dict(run.config["settings"])
    plain = config.model_copy(update={"data": config.data.model_copy(update={"tags": None, "remove": ()})})
    try:
        table = read_run_tags(run, open_run_records(run))
        return train(
            "embeddings", folder, out=place, labels=run.labels, split=run.split, tags=table, config=plain
        )
    except FolksongError:  # of other tracks, or no longer there
        return None


def _statistics_beside(embeddings: Path) -> Path | None:
    for path in sorted(embeddings.parent.glob(f"*/{DESCRIPTION_NAME}")):
        try:
            if read_json(path)["space"]["model"] == STATISTICS:
                return path.parent
        except (FolksongError, KeyError, TypeError):
            continue
    return None
