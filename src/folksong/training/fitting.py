"""The part of a training that all its processes do: fit, from where the run stands to where it is to end."""

from __future__ import annotations

import inspect
import json
import logging
import time
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.strategies import DDPStrategy
from torch.nn.parallel import DistributedDataParallel

from folksong.errors import FolksongError
from folksong.models.allocator import keep_memory
from folksong.models.checkpoint import read_checkpoint, remove_partial_files
from folksong.models.tagger import Tagger
from folksong.runs import Run
from folksong.training.beginning import LABEL_VECTORS_NAME
from folksong.training.interruption import SignalListener, TrainingInterrupted
from folksong.training.label_arrays import ArrayFolders, write_label_arrays
from folksong.training.loss_options import LossOptions
from folksong.training.losses import TaggingLoss
from folksong.training.model_card import write_model_card
from folksong.training.module import TrainingModule
from folksong.training.options import PRECISIONS, TrainingOptions
from folksong.training.prepared import Prepared, Task, reopen
from folksong.training.processes import Processes, StartedProcesses
from folksong.training.progress import EpochBar, EpochLine, quiet_lightning
from folksong.training.windows import TrainingWindows, score_windows

logger = logging.getLogger(__name__)


def take_part(processes: Processes, task: Task, prepared: Prepared | None = None) -> Run:
    """Do this process's share of a task, and return the run.

    Args:
        processes: all of the training.
        task: what to do.
        prepared: what `reopen` would return, if it is there already.

    Raises:
        FolksongError: something in the input does not fit, or a figure is not finite.
        TrainingInterrupted: Ctrl-C; the run can be resumed.
    """
    with processes.together():
        prepared = prepared or reopen(task, processes)
        if not processes.gpus:
            keep_memory()
        if task.details:
            _log_details(prepared.run, prepared.tagger)
        module = _build_module(processes, task, prepared)
    began = time.monotonic()
    run = prepared.run
    with (
        quiet_lightning(),
        torch.random.fork_rng(devices=processes.own_gpus),
        SignalListener(module, insistent=processes.is_first) as signals,
    ):
        try:
            _run_trainer(
                processes,
                module,
                prepared.windows,
                prepared.options,
                [signals, EpochBar(prepared.options.update_freq) if task.progress else EpochLine()],
            )
        except TrainingInterrupted:
            if not processes.is_first:
                raise SystemExit(1) from None
            write_model_card(run, module.history, "It was interrupted and can be resumed.")
            raise
    if processes.is_first:
        _finish(prepared, module, task.arrays, time.monotonic() - began)
    return run


def _build_module(processes: Processes, task: Task, prepared: Prepared) -> TrainingModule:
    """Return the module, and set the windows, as they are where the run stands."""
    run, settings, options, windows = prepared.run, prepared.settings, prepared.options, prepared.windows
    module = TrainingModule(
        prepared.tagger,
        _build_loss(run, options.loss),
        prepared.data,
        settings.training,
        run,
        processes=processes,
        epochs=task.epochs or options.epochs,
        planned_steps=options.epochs * windows.steps_per_epoch,
        steps_per_epoch=windows.steps_per_epoch,
        monitor=options.monitor,
        seed=options.seed,
        update_freq=options.update_freq,
        save_every=options.save_every,
        # What a fused optimizer unscales inside cannot be looked at, nor clipped.
        fused=options.precision != "16",
    )
    if processes.is_first:
        remove_partial_files(run.last_checkpoint.parent)
    if run.last_checkpoint.exists():
        module.load_state(read_checkpoint(run.last_checkpoint))
        windows.stream.done = module.step
        logger.info("%s: going on from epoch %d, step %d", run.path, module.epoch + 1, module.step)
    return module


def _run_trainer(
    processes: Processes,
    module: TrainingModule,
    windows: TrainingWindows,
    options: TrainingOptions,
    callbacks: list[pl.Callback],
) -> None:
    validates = len(windows.data.parts["validation"]) > 0
    if not validates:
        logger.warning(
            "the validation part is empty: no early stopping, and the last epoch counts as the best"
        )
    trainer = pl.Trainer(
        accelerator="gpu" if processes.gpus else "cpu",
        devices=list(processes.gpus) or processes.local_world_size,
        num_nodes=processes.n_nodes,
        strategy=_strategy() if processes.world_size > 1 else "auto",
        plugins=[StartedProcesses(processes)] if processes.world_size > 1 else None,
        sync_batchnorm=processes.world_size > 1 and bool(processes.gpus),
        precision=PRECISIONS[options.precision],  # type: ignore[arg-type]
        max_epochs=max(module.epochs - module.epoch, 0),
        limit_val_batches=None if validates else 0,
        logger=TensorBoardLogger(
            module.run.path,
            name="",
            version="tensorboard",
            purge_step=module.step + 1 if module.step else None,
        ),
        accumulate_grad_batches=windows.stream.batches_per_step,
        callbacks=callbacks,
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
        trainer.fit_loop.max_epochs = max(module.epochs - module.epoch, 0)
    if module.epoch < module.epochs and not module.has_run_out_of_patience:
        trainer.fit(module, datamodule=windows)


def _strategy() -> DDPStrategy:
    """Return DDP that leaves buffers alone.

    On GPUs batch norm is the same in all processes anyway; on CPUs the first one's statistics count, and are told
    before a validation. Telling them in each forward pass would stall where processes validate unequally many batches.
    """
    name = "forward_sync_buffers"  # its older name says something else where both are known
    known = inspect.signature(DistributedDataParallel.__init__).parameters
    buffers: dict[str, Any] = {name if name in known else "broadcast_buffers": False}
    return DDPStrategy(gradient_as_bucket_view=True, **buffers)


def _finish(
    prepared: Prepared,
    module: TrainingModule,
    arrays: ArrayFolders | None,
    seconds: float,
) -> None:
    run, data = prepared.run, prepared.data
    why = "Early stopping ended it." if module.has_run_out_of_patience else "It ran for all its epochs."
    write_model_card(run, module.history, why)
    logger.info("%s %d epochs in %.0f s; the run is in %s", why, module.epoch, seconds, run.path)
    if arrays is not None and arrays.any():
        if not len(data.parts["test"]):
            raise FolksongError("the test part is empty, so there is nothing to write arrays of")
        module.tagger.load_state_dict(read_checkpoint(run.best_checkpoint)["tagger"])
        scores = score_windows(module.tagger, prepared.windows.centred("test"))
        for path in write_label_arrays(arrays, data.targets_of("test"), scores, data.space.names):
            logger.info("wrote %s", path)


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
