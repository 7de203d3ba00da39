"""A training run from shards to a tagger, and its resumption."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from folksong.errors import FolksongError
from folksong.files import atomic_write
from folksong.labels.space import LabelSpace
from folksong.runs import CONFIG_NAME, Run
from folksong.splits import Split
from folksong.training.beginning import (
    LABEL_VECTORS_NAME,
    build_tagger,
    describe_run,
    new_folder,
    open_shards,
    read_label_vectors,
)
from folksong.training.config import Config
from folksong.training.data import LegacyLabels, TagSource, prepare
from folksong.training.fitting import take_part
from folksong.training.joining import joined
from folksong.training.label_arrays import ArrayFolders
from folksong.training.loss_options import LossOptions
from folksong.training.options import TrainingOptions, choose_precision
from folksong.training.prepared import Prepared, Task, build_windows, reopen
from folksong.training.processes import Processes

AnyPath = str | os.PathLike[str]


def train(
    front_end: str,
    shards_dir: AnyPath,
    *,
    out: AnyPath | None = None,
    config: Config | AnyPath | None = None,
    labels: LabelSpace | LegacyLabels | AnyPath | None = None,
    tags: AnyPath | None = None,
    split: Split | AnyPath | None = None,
    remove: Sequence[str] = (),
    database: int = 0,
    min_weight: float | None = None,
    keep_unlabelled: bool = False,
    epochs: int | None = None,
    steps_per_epoch: int | None = None,
    shuffle: bool | None = None,
    update_freq: int = TrainingOptions.update_freq,
    save_every: int | None = None,
    multi_tag: bool = False,
    cuda: Sequence[int] | None = None,
    n_processes: int | None = None,
    num_nodes: int = 1,
    precision: str = "auto",
    loss: LossOptions | str | None = None,
    loss_embeddings: AnyPath | None = None,
    workers: int = 1,
    seed: int = 0,
    arrays: ArrayFolders | None = None,
    progress: bool = False,
    details: bool = False,
) -> Run:
    """Train a tagger and return its run.

    Args:
        front_end: ``"waveform"`` or ``"log-mel-spectrogram"``; the shards must hold the same.
        shards_dir: folder of shards.
        out: the run's folder; None makes one in the settings' ``log_dir``.
        config: settings, or a file or folder to read them from; None takes the defaults.
        labels: the label space, its file, or the earlier project's files; None builds it as the settings'
            ``tags`` section says.
        tags: tag table of any kind; None takes the records' own tags.
        split: the parts, or their file; None makes them.
        remove: tags to take out of the labels; with the earlier project's files, see `prepare`.
        database: which of the records' tag lists.
        min_weight: keep tags with a weight greater than this; None keeps all.
        keep_unlabelled: use tracks without a label too.
        epochs: when to end, if early stopping does not; None takes 100.
        steps_per_epoch: steps an epoch; None takes a pass over the training part.
        shuffle: a new order each pass; None follows the settings.
        update_freq: steps between two entries of the training loss.
        save_every: steps between two saves within an epoch; None saves every five minutes.
        multi_tag: macro PR-AUC leads instead of micro.
        cuda: which GPUs, with a process for each; None takes the first if there is one; none found takes the CPU.
        n_processes: how many processes share the CPU; the settings' batch size is that of one.
        num_nodes: on how many machines this is called; see `folksong.training.joining`.
        precision: ``"auto"``, ``"32"``, ``"bf16"``, ``"16"`` or ``"64"``.
        loss: which loss, and its numbers; None takes the semantic one with `loss_embeddings`, else cross-entropy.
        loss_embeddings: word vectors of any kind, for the semantic loss.
        workers: threads that make batches ahead.
        seed: of weights, order, windows, dropout and a split that is made.
        arrays: where to write the test part's figures per label.
        progress: show a bar an epoch.
        details: log the settings and the network.

    Raises:
        FolksongError: something in the input does not fit; the message says what.
        TrainingInterrupted: Ctrl-C; the run can be resumed.
    """
    settings = config if isinstance(config, Config) else Config() if config is None else Config.read(config)
    prepared: list[Prepared] = []

    def begin(processes: Processes) -> Task:
        chosen = _choose_loss(loss, loss_embeddings)
        options = TrainingOptions(
            tags=None if tags is None else os.fspath(Path(tags).absolute()),
            database=database,
            min_weight=min_weight,
            keep_unlabelled=keep_unlabelled,
            epochs=epochs or TrainingOptions.epochs,
            steps_per_epoch=steps_per_epoch,
            shuffle=settings.training.shuffle if shuffle is None else shuffle,
            update_freq=update_freq,
            save_every=save_every,
            multi_tag=multi_tag,
            seed=seed,
            precision=choose_precision(precision, gpu=bool(processes.gpus)),
            loss=chosen,
        )
        prepared.append(
            _begin(
                front_end,
                shards_dir,
                settings,
                options,
                processes,
                out=out,
                labels=labels,
                split=split,
                remove=tuple(remove),
                loss_embeddings=loss_embeddings,
                workers=workers,
                progress=progress,
            )
        )
        folder = os.fspath(prepared[0].run.path.absolute())
        return Task(folder, os.fspath(Path(shards_dir).absolute()), None, workers, arrays, progress, details)

    with joined(cuda, n_processes, num_nodes) as processes:
        task = processes.from_first(lambda: begin(processes))
        return take_part(processes, task, *prepared)


def _begin(
    front_end: str,
    shards_dir: AnyPath,
    settings: Config,
    options: TrainingOptions,
    processes: Processes,
    *,
    out: AnyPath | None,
    labels: LabelSpace | LegacyLabels | AnyPath | None,
    split: Split | AnyPath | None,
    remove: tuple[str, ...],
    loss_embeddings: AnyPath | None,
    workers: int,
    progress: bool,
) -> Prepared:
    """Bring everything together and write the run's folder."""
    reader = open_shards(shards_dir, front_end, settings.tfrecords)
    space = labels if isinstance(labels, LabelSpace) else None
    if isinstance(labels, str | os.PathLike):
        space = LabelSpace.read(labels)
    data = prepare(
        reader,
        TagSource(options.tags, options.database, options.min_weight),
        space=space,
        legacy=labels if isinstance(labels, LegacyLabels) else None,
        tag_settings=settings.tags,
        split=split if isinstance(split, Split) or split is None else Split.read(split),
        fractions=settings.training.split,
        remove=remove,
        keep_unlabelled=options.keep_unlabelled,
        weighted=options.loss.weights != "ignore",
        seed=options.seed,
    )
    vectors = (
        None if loss_embeddings is None else read_label_vectors(data, loss_embeddings, progress=progress)
    )
    tagger = build_tagger(front_end, data, settings, options.seed)
    batch_size = settings.training.batch_size * processes.world_size
    windows = build_windows(data, settings, options, processes, batch_size=batch_size, workers=workers)
    folder = Path(out) if out is not None else new_folder(settings.training.log_dir, front_end)
    if vectors is not None and not (folder / CONFIG_NAME).exists():
        with atomic_write(folder / LABEL_VECTORS_NAME) as stream:
            np.save(stream, vectors.vectors, allow_pickle=False)
    description = describe_run(front_end, data, settings, options, tagger, vectors)
    description["processes"] = processes.world_size
    run = Run.create(folder, description, data.space, data.split)
    return Prepared(run, data, settings, options, tagger, windows)


def resume(
    run: Run | AnyPath,
    *,
    shards_dir: AnyPath | None = None,
    epochs: int | None = None,
    cuda: Sequence[int] | None = None,
    n_processes: int | None = None,
    num_nodes: int = 1,
    workers: int = 1,
    arrays: ArrayFolders | None = None,
    progress: bool = False,
    details: bool = False,
) -> Run:
    """Go on with a run that was interrupted, or that is to learn for longer.

    It ends as if it had never stopped: bit for bit, on the CPU with the same number of threads.

    Args:
        run: the run, or its folder.
        shards_dir: where the shards are now, if they have moved.
        epochs: a new number of epochs in all.
        cuda: as in `train`.
        n_processes: as in `train`. With another number of processes than before, the batches of all together stay what
            they were; the bits do not.
        num_nodes: as in `train`.
        workers: as in `train`.
        arrays: as in `train`.
        progress: as in `train`.
        details: as in `train`.

    Raises:
        FolksongError: shards or tags are no longer those of the run, or there is nothing to go on from.
        TrainingInterrupted: Ctrl-C again.
    """
    folder = run.path if isinstance(run, Run) else Path(run)
    shards = None if shards_dir is None else os.fspath(Path(shards_dir).absolute())
    task = Task(os.fspath(folder.absolute()), shards, epochs, workers, arrays, progress, details)
    with joined(cuda, n_processes, num_nodes) as processes:
        prepared: list[Prepared] = []

        def begin() -> Task:
            prepared.append(reopen(replace(task, run=os.fspath(folder)), processes))
            return task

        return take_part(processes, processes.from_first(begin), *prepared)


def _choose_loss(loss: LossOptions | str | None, embeddings: AnyPath | None) -> LossOptions:
    """Return the loss that is meant; vectors mean the semantic one."""
    if loss is None:
        return LossOptions("bce" if embeddings is None else "semantic")
    options = LossOptions(loss) if isinstance(loss, str) else loss
    if (options.kind == "semantic") != (embeddings is not None):
        raise FolksongError(
            "the semantic loss needs word vectors: name them with --custom-loss-embeddings-path"
            if embeddings is None
            else f"the loss {options.kind} takes no word vectors; leave --custom-loss-embeddings-path out"
        )
    return options
