"""The resumption of a run: from its last checkpoint to the end, as if it had never stopped."""

import os
from pathlib import Path
from typing import Any

from folksong.embeddings.store import EMBEDDINGS
from folksong.errors import FolksongError, nearest
from folksong.runs import CONFIG_NAME, Run
from folksong.training.config import Config
from folksong.training.data import TrainingData, read_run_data
from folksong.training.distributed import Processes
from folksong.training.loop import run_training
from folksong.training.train_head import finish_head

CHANGEABLE = ("epochs", "workers", "cuda", "processes", "num_nodes")


def resume(
    run: Run | str | os.PathLike[str],
    *,
    shards: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    **changes: Any,
) -> Run:
    """Go on with a run that was interrupted, or that is to learn for longer.

    It ends as if it had never stopped: bit for bit, on the CPU with the same number of threads. With another number of
    processes than before, the batches of all together stay what they were; the bits do not.

    Args:
        run: the run, or its folder.
        shards: where the shards are now, if they have moved.
        progress: show a bar an epoch; None shows it on a terminal.
        changes: ``epochs``, a new number of epochs in all; ``workers``, ``cuda``, ``processes`` and ``num_nodes``, as
            in `train`. The last three are not kept in the run.

    Raises:
        FolksongError: shards or tags are no longer those of the run, or there is nothing to go on from.
        TrainingInterrupted: Ctrl-C again.
    """
    for name in changes:
        if name not in CHANGEABLE:
            raise FolksongError(
                f"a resumed run keeps its setting {name!r}{nearest(name, CHANGEABLE)}; new ones can be given for "
                f"{', '.join(CHANGEABLE)}"
            )
    folder = Path(run)

    def begin(processes: Processes) -> tuple[Run, TrainingData, Config]:
        opened = Run.open(folder)
        kept = Config.from_dict(opened.config.get("settings"), f"{opened.path}/{CONFIG_NAME}")
        # What it ran on before is not what there is now.
        settings = kept.with_changes(runtime={"cuda": None, "processes": None, "num_nodes": 1})
        settings = settings.with_changes(**changes)
        return opened, read_run_data(opened, shards, settings), settings

    if Run.open(run).front_end == EMBEDDINGS:
        return finish_head(*begin(Processes()))
    return run_training(begin, Config().with_changes(**changes), progress=progress)
