"""What the processes of a training are to do, and all that they need for it, brought together from a run's folder."""

from __future__ import annotations

from dataclasses import dataclass

from folksong.errors import FolksongError
from folksong.files import sha256_file
from folksong.models.front_ends import LOG_MEL
from folksong.models.tagger import Tagger
from folksong.runs import Run
from folksong.shards.manifest import MANIFEST_NAME
from folksong.training.augmentation import Augmentation
from folksong.training.beginning import build_tagger, open_shards
from folksong.training.config import Config
from folksong.training.data import TagSource, TrainingData, prepare
from folksong.training.label_arrays import ArrayFolders
from folksong.training.options import TrainingOptions
from folksong.training.processes import Processes
from folksong.training.schedule import check_warmup
from folksong.training.windows import TrainingWindows


@dataclass(frozen=True)
class Task:
    """What the processes of a training are to do; the first one tells the others.

    Args:
        run: the run's folder, which all processes see.
        shards_dir: where the shards are; None takes what the run says.
        epochs: when to end; None takes what the run says.
        workers: threads of each process that make batches ahead.
        arrays: where to write the test part's figures per label.
        progress: show a bar an epoch.
        details: log the settings and the network.
    """

    run: str
    shards_dir: str | None = None
    epochs: int | None = None
    workers: int = 1
    arrays: ArrayFolders | None = None
    progress: bool = False
    details: bool = False


@dataclass(frozen=True)
class Prepared:
    """A run with all that fitting needs."""

    run: Run
    data: TrainingData
    settings: Config
    options: TrainingOptions
    tagger: Tagger
    windows: TrainingWindows


def build_windows(
    data: TrainingData,
    settings: Config,
    options: TrainingOptions,
    processes: Processes,
    *,
    batch_size: int,
    workers: int,
) -> TrainingWindows:
    """Return the windows that this process trains and validates on.

    Args:
        data: records, labels and parts.
        settings: of window, batches and augmentation.
        options: of steps, order and seed.
        processes: this one among all.
        batch_size: of all processes together.
        workers: threads that make batches ahead.

    Raises:
        FolksongError: the settings do not fit the data or each other.
    """
    manifest, wanted = data.reader.manifest, settings.training.augmentation
    augmentation = None
    if wanted.any:
        longest = manifest.steps(wanted.time_mask_seconds)
        log_mel = manifest.audio_format == LOG_MEL
        augmentation = Augmentation(wanted, log_mel=log_mel, longest_mask=longest, seed=options.seed)
    windows = TrainingWindows(
        data,
        manifest.steps(settings.training.window_length),
        batch_size,
        rank=processes.rank,
        world_size=processes.world_size,
        steps_per_epoch=options.steps_per_epoch,
        batches_per_step=settings.training.accumulate_batches,
        augmentation=augmentation,
        random=settings.training.window_random,
        shuffle=options.shuffle,
        workers=workers,
        seed=options.seed,
    )
    check_warmup(settings.training, options.epochs * windows.steps_per_epoch)
    return windows


def reopen(task: Task, processes: Processes) -> Prepared:
    """Return what this process needs to go on with the run of a task.

    Raises:
        FolksongError: shards or tags are no longer those of the run.
    """
    run = Run.open(task.run)
    settings = Config.from_dict(run.config["settings"], f"{run.path}/config.json")
    options = TrainingOptions.from_dict(run.config["options"], f"{run.path}/config.json")
    reader = open_shards(task.shards_dir or run.shards_dir, run.front_end, settings.tfrecords)
    if sha256_file(reader.folder / MANIFEST_NAME) != run.config["shards"]["manifest_sha256"]:
        raise FolksongError(
            f"{reader.folder}: not the shards that {run.path} was trained on; begin a new run"
        )
    data = prepare(
        reader,
        TagSource(options.tags, options.database, options.min_weight),
        space=run.labels,
        tag_settings=settings.tags,
        split=run.split,
        fractions=settings.training.split,
        keep_unlabelled=options.keep_unlabelled,
        weighted=options.loss.weights != "ignore",
    )
    if data.table_sha256 != run.config["tags"]["table_sha256"]:
        raise FolksongError(
            f"{options.tags or reader.folder}: the tags have changed since {run.path} began; begin anew"
        )
    windows = build_windows(
        data,
        settings,
        options,
        processes,
        batch_size=settings.training.batch_size * int(run.config.get("processes", 1)),
        workers=task.workers,
    )
    tagger = build_tagger(run.front_end, data, settings, options.seed)
    return Prepared(run, data, settings, options, tagger, windows)
