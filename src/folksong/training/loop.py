"""A training run from shards to a tagger, and its resumption."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger

from folksong.errors import FolksongError
from folksong.files import atomic_write, sha256_file
from folksong.labels.space import LabelSpace
from folksong.models.allocator import keep_memory
from folksong.models.checkpoint import read_checkpoint, remove_partial_files
from folksong.models.tagger import Tagger
from folksong.runs import CONFIG_NAME, Run
from folksong.shards.manifest import MANIFEST_NAME
from folksong.splits import Split
from folksong.training.beginning import (
    build_tagger,
    describe_run,
    new_folder,
    open_shards,
    read_label_vectors,
)
from folksong.training.config import Config
from folksong.training.data import LegacyLabels, TagSource, TrainingData, prepare
from folksong.training.interruption import TrainingInterrupted, signals_to
from folksong.training.label_arrays import ArrayFolders, write_label_arrays
from folksong.training.loss_options import LossOptions
from folksong.training.losses import TaggingLoss
from folksong.training.model_card import write_model_card
from folksong.training.module import TrainingModule
from folksong.training.options import PRECISIONS, TrainingOptions, choose_precision
from folksong.training.progress import EpochBar, EpochLine, quiet_lightning
from folksong.training.windows import TrainingWindows, score_windows

logger = logging.getLogger(__name__)

AnyPath = str | os.PathLike[str]

LABEL_VECTORS_NAME = "label_vectors.npy"  # in the run's folder, for the semantic loss


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
        steps_per_epoch: batches an epoch; None takes a pass over the training part.
        shuffle: a new order each pass; None follows the settings.
        update_freq: steps between two entries of the training loss.
        save_every: steps between two saves within an epoch; None saves every five minutes.
        multi_tag: macro PR-AUC leads instead of micro.
        cuda: which GPUs; None takes the first if there is one; none found takes the CPU.
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
    reader = open_shards(shards_dir, front_end, settings.tfrecords)
    devices = find_gpus(cuda)
    loss = _choose_loss(loss, loss_embeddings)
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
        precision=choose_precision(precision, gpu=bool(devices)),
        loss=loss,
    )
    legacy = labels if isinstance(labels, LegacyLabels) else None
    space = labels if isinstance(labels, LabelSpace) else None
    if isinstance(labels, str | os.PathLike):
        space = LabelSpace.read(labels)
    data = prepare(
        reader,
        TagSource(options.tags, database, min_weight),
        space=space,
        legacy=legacy,
        tag_settings=settings.tags,
        split=split if isinstance(split, Split) or split is None else Split.read(split),
        fractions=settings.training.split,
        remove=tuple(remove),
        keep_unlabelled=keep_unlabelled,
        weighted=loss.weights != "ignore",
        seed=seed,
    )
    vectors = (
        None if loss_embeddings is None else read_label_vectors(data, loss_embeddings, progress=progress)
    )
    tagger = build_tagger(front_end, data, settings, seed)
    folder = Path(out) if out is not None else new_folder(settings.training.log_dir, front_end)
    if vectors is not None and not (folder / CONFIG_NAME).exists():
        with atomic_write(folder / LABEL_VECTORS_NAME) as stream:
            np.save(stream, vectors.vectors, allow_pickle=False)
    description = describe_run(front_end, data, settings, options, tagger, vectors)
    run = Run.create(folder, description, data.space, data.split)
    return _fit(run, data, settings, options, tagger, devices, workers, arrays, progress, details)


def resume(
    run: Run | AnyPath,
    *,
    shards_dir: AnyPath | None = None,
    epochs: int | None = None,
    cuda: Sequence[int] | None = None,
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
        workers: as in `train`.
        arrays: as in `train`.
        progress: as in `train`.
        details: as in `train`.

    Raises:
        FolksongError: shards or tags are no longer those of the run, or there is nothing to go on from.
        TrainingInterrupted: Ctrl-C again.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    settings = Config.from_dict(run.config["settings"], f"{run.path}/config.json")
    options = TrainingOptions.from_dict(run.config["options"], f"{run.path}/config.json")
    options = replace(options, epochs=epochs or options.epochs)
    reader = open_shards(shards_dir or run.shards_dir, run.front_end, settings.tfrecords)
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
    tagger = build_tagger(run.front_end, data, settings, options.seed)
    devices = find_gpus(cuda)
    return _fit(run, data, settings, options, tagger, devices, workers, arrays, progress, details)


def _fit(
    run: Run,
    data: TrainingData,
    settings: Config,
    options: TrainingOptions,
    tagger: Tagger,
    devices: Sequence[int],
    workers: int,
    arrays: ArrayFolders | None,
    progress: bool,
    details: bool,
) -> Run:
    if not devices:
        keep_memory()
    if details:
        _log_details(run, tagger)
    world_size = max(len(devices), 1)
    windows = TrainingWindows(
        data,
        run.window_steps,
        settings.training.batch_size,
        world_size=world_size,
        steps_per_epoch=options.steps_per_epoch,
        random=settings.training.window_random,
        shuffle=options.shuffle,
        workers=workers,
        seed=options.seed,
    )
    module = TrainingModule(
        tagger,
        _build_loss(run, options.loss),
        data,
        settings.training,
        run,
        epochs=options.epochs,
        steps_per_epoch=windows.steps_per_epoch,
        monitor=options.monitor,
        seed=options.seed,
        update_freq=options.update_freq,
        save_every=options.save_every,
        # Lightning cannot clip what a fused optimizer unscales inside.
        fused=options.precision != "16",
    )
    remove_partial_files(run.last_checkpoint.parent)
    if run.last_checkpoint.exists():
        module.load_state(read_checkpoint(run.last_checkpoint))
        windows.stream.done = module.step
        logger.info("%s: going on from epoch %d, step %d", run.path, module.epoch + 1, module.step)
    began = time.monotonic()
    with quiet_lightning(), torch.random.fork_rng(devices=list(devices)), signals_to(module):
        try:
            _run_trainer(module, windows, options, devices, progress)
        except TrainingInterrupted:
            if module.global_rank == 0:
                write_model_card(run, module.history, "It was interrupted and can be resumed.")
            raise
    _finish(run, data, module, windows, arrays, time.monotonic() - began)
    return run


def _run_trainer(
    module: TrainingModule,
    windows: TrainingWindows,
    options: TrainingOptions,
    devices: Sequence[int],
    progress: bool,
) -> None:
    validates = len(windows.data.parts["validation"]) > 0
    if not validates:
        logger.warning(
            "the validation part is empty: no early stopping, and the last epoch counts as the best"
        )
    trainer = pl.Trainer(
        accelerator="gpu" if devices else "cpu",
        devices=list(devices) or 1,
        strategy="ddp" if len(devices) > 1 else "auto",
        sync_batchnorm=len(devices) > 1,
        precision=PRECISIONS[options.precision],  # type: ignore[arg-type]
        max_epochs=max(options.epochs - module.epoch, 0),
        limit_val_batches=None if validates else 0,
        logger=TensorBoardLogger(
            module.run.path,
            name="",
            version="tensorboard",
            purge_step=module.step + 1 if module.step else None,
        ),
        callbacks=[EpochBar(options.update_freq) if progress else EpochLine()],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    if module.epoch_awaits_validation:
        if validates:
            trainer.validate(module, datamodule=windows, verbose=False)
        module.finish_epoch()
        trainer.fit_loop.max_epochs = max(options.epochs - module.epoch, 0)
    if module.epoch < options.epochs and not module.has_run_out_of_patience:
        trainer.fit(module, datamodule=windows)


def _finish(
    run: Run,
    data: TrainingData,
    module: TrainingModule,
    windows: TrainingWindows,
    arrays: ArrayFolders | None,
    seconds: float,
) -> None:
    if module.global_rank:
        return
    why = "Early stopping ended it." if module.has_run_out_of_patience else "It ran for all its epochs."
    write_model_card(run, module.history, why)
    logger.info("%s %d epochs in %.0f s; the run is in %s", why, module.epoch, seconds, run.path)
    if arrays is not None and arrays.any():
        if not len(data.parts["test"]):
            raise FolksongError("the test part is empty, so there is nothing to write arrays of")
        module.tagger.load_state_dict(read_checkpoint(run.best_checkpoint)["tagger"])
        scores = score_windows(module.tagger, windows.centred("test"))
        for path in write_label_arrays(arrays, data.targets_of("test"), scores, data.space.names):
            logger.info("wrote %s", path)


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


def _build_loss(run: Run, options: LossOptions) -> TaggingLoss:
    if options.kind != "semantic":
        return TaggingLoss(options)
    vectors = np.load(run.path / LABEL_VECTORS_NAME, allow_pickle=False)
    return TaggingLoss(options, torch.from_numpy(vectors))


def _log_details(run: Run, tagger: Tagger) -> None:
    for section in ("options", "settings"):
        logger.info("%s: %s", section, json.dumps(run.config[section], indent=2))
    for name, child in tagger.named_modules():
        size = sum(weights.numel() for weights in child.parameters(recurse=False))
        if size:
            logger.info("%-32s %-12s %10d", name, type(child).__name__, size)
    logger.info("%-45s %10d", "trainable parameters", sum(weights.numel() for weights in tagger.parameters()))


def find_gpus(wanted: Sequence[int] | None) -> list[int]:
    """Return the GPUs to use: those wanted, else the first; an empty list means the CPU.

    Raises:
        FolksongError: there are GPUs, but not one of those wanted.
    """
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not found:
        if wanted:
            logger.warning("no GPU found; training on the CPU")
        return []
    chosen = [0] if wanted is None else list(dict.fromkeys(wanted))
    missing = [number for number in chosen if not 0 <= number < found]
    if missing:
        raise FolksongError(f"there is no GPU {missing[0]}; this machine has {found}, numbered from 0")
    return chosen
