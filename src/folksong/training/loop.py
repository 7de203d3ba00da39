"""The training loop: batches, loss, gradients, step; then validation, what follows from it, and the checkpoint.

All that a training is at a given moment is in its `TrainingState` and goes into ``last.ckpt``. Randomness needs no
state of its own: the random numbers of a batch (dropout) are seeded by (seed, batch, rank), windows by (seed, pass,
record). So a training that is resumed ends as if it had never stopped.
"""

import json
import logging
import math
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
import torch
from pydantic import NonNegativeInt, TypeAdapter
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from folksong.errors import FolksongError
from folksong.files import atomic_write, json_value, locked, reading
from folksong.metrics import summarise
from folksong.models.checkpoint import read_checkpoint, write_checkpoint
from folksong.models.front_ends import LOG_MEL
from folksong.models.hardware import keep_memory
from folksong.models.pretrained.network_with_head import NetworkWithHead
from folksong.models.tagger import Tagger
from folksong.runs import Run, write_model_card
from folksong.shards.loader import Batch
from folksong.stores import absolute
from folksong.training import fine_tuning
from folksong.training.batches import TrainingBatches
from folksong.training.config import Config
from folksong.training.data import TrainingData, read_run_data
from folksong.training.distributed import Processes, joined
from folksong.training.label_vectors import place_labels
from folksong.training.losses import TaggingLoss, read_loss
from folksong.training.optimizer import build_optimizer
from folksong.training.schedule import Schedule
from folksong.training.small_collections import (
    SETTLED_BATCHES,
    SLOWER,
    STATISTICS_WINDOWS,
    estimate_statistics,
    has_exclusive_scores,
    heard_often,
    start_dense_layers,
    starts_from_regression,
    windows_of_few,
)

logger = logging.getLogger(__name__)
details = logger.getChild("details")
"""Settings and sizes of the network, at level DEBUG."""

CHECKPOINT_EVERY_SECONDS = 300.0  # within an epoch, unless the settings say how many steps
LEAST_LOSS_SCALE = 1.0
FEW_VALIDATED = 100  # tracks: with fewer, a lucky epoch is no better one, and the last epochs' mean decides
SMOOTHED_EPOCHS = 5
FEW_STEPS = 100  # of a whole training; the best network of fewer has hardly begun to learn
CONSTANT_SCORES = 1e-3  # a label's scores that differ by less tell nothing
N_NAMED_TRACKS = 5  # of each process, where something is not finite
LOCK_NAME = ".training.lock"  # in the folder of a run
SIGNALS = (signal.SIGINT, signal.SIGTERM)

Beginning = tuple[Run, TrainingData, Config]


class TrainingInterrupted(SystemExit):
    """A training was asked to end; what it reached is saved and can be resumed. Uncaught, it is said and no more."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"interrupted; {run.path} holds what was reached, and can be resumed")
        self.run = run


def run_training(
    begin: Callable[[Processes], Beginning], config: Config, *, progress: bool | None = None
) -> Run:
    """Train in all processes that the settings ask for, from where the run stands, and return the run.

    `begin` makes or opens the run; it is called in the first process only. `progress` is whether a bar is shown; None
    shows it on a terminal.

    Raises:
        TrainingInterrupted: Ctrl-C; the run can be resumed.
    """
    with joined(config.runtime) as processes:
        return _take_part(processes, begin, sys.stderr.isatty() if progress is None else progress)


def accompany() -> None:
    """Take part in a training as one of the processes that its first one has started, and ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal goes to all; the first one answers it
    with joined() as processes:
        _take_part(processes, None, False)


def _take_part(processes: Processes, begin: Callable[[Processes], Beginning] | None, progress: bool) -> Run:
    begun: list[Beginning] = []

    def tell() -> tuple[Path, str, Config]:
        assert begin is not None  # the first process is never started by another
        begun.append(begin(processes))
        run, data, config = begun[0]
        return run.path.absolute(), absolute(data.reader.folder), config

    folder, shards, config = processes.from_first(tell)
    with ExitStack() as held:
        with processes.together():
            run = begun[0][0] if begun else Run.open(folder)
            if begun:
                busy = "another process trains this run; wait until it has ended"
                held.enter_context(locked(run.path / LOCK_NAME, busy))
            data = begun[0][1] if begun else read_run_data(run, shards, config)
            if not processes.gpus:
                keep_memory()
            state = TrainingState.build(run, data, config, processes)
        fit(run, data, config, state, processes, progress=progress)
    return run


@dataclass
class TrainingState:
    """Where a training stands; all that is no weights, moments, rate, scale or batch is in its `counts`."""

    tagger: Tagger
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    scaler: torch.amp.GradScaler
    batches: TrainingBatches
    counts: "Counts"

    @classmethod
    def build(cls, run: Run, data: TrainingData, config: Config, processes: Processes) -> "TrainingState":
        """Return the state of a run: that of its last checkpoint, or a new one."""
        batch_size = config.data.batch_size * int(run.config["processes"])
        batches = TrainingBatches(data, config, batch_size, processes)
        precision = config.runtime.precision
        tagger = build_tagger(run.front_end, data, config, run.config["tagger"].get("joint"))
        if config.model.head == "joint":
            place_labels(tagger, run)
        tagger = tagger.to(processes.device, _float_type(precision))
        small = starts_from_regression(config, len(data.parts["training"]))
        slower = fine_tuning.SLOWER if config.model.unfreeze else 1.0
        slower = SLOWER if small and config.schedule.kind == "plateau" else slower
        optimizer = build_optimizer(
            tagger.parameters(),
            config.optimizer.name,
            config.optimizer.learning_rate * slower,
            config.optimizer.arguments,
            # What a fused optimizer unscales inside cannot be looked at, nor clipped.
            fused=precision != "16",
        )
        planned = int(run.config["settings"]["schedule"]["epochs"]) * batches.steps_per_epoch
        state = cls(
            tagger,
            optimizer,
            Schedule(optimizer, config.schedule, planned),
            torch.amp.GradScaler(processes.device.type, enabled=precision == "16" and bool(processes.gpus)),
            batches,
            Counts(),
        )
        if run.last_checkpoint.exists():
            state.load(run)
            logger.info(
                "%s: going on from epoch %d, step %d", run.path, state.counts.epoch + 1, state.counts.step
            )
        elif config.model.unfreeze:
            start_unfrozen(run, state, data, config, processes)
        elif small:
            start_small(state, data, config, processes)
        return state

    @property
    def learning_rate(self) -> float:
        """Of the first group of parameters."""
        return float(self.optimizer.param_groups[0]["lr"])

    @property
    def awaits_validation(self) -> bool:
        """Whether the last step of the epoch is done, and its validation not."""
        return self.counts.step == (self.counts.epoch + 1) * self.batches.steps_per_epoch

    def save(self, run: Run) -> None:
        """Write ``last.ckpt``."""
        parts = {name: getattr(self, name) for name in ("tagger", "optimizer", "schedule", "scaler")}
        content = {name: part.state_dict() for name, part in parts.items()}
        write_checkpoint(run.last_checkpoint, {**content, **asdict(self.counts)})

    def load(self, run: Run) -> None:
        """Take up what `save` wrote.

        Raises:
            FileFormatError: it is something else, or no moment of this training.
        """
        content, told = read_checkpoint(run.last_checkpoint), run.history()
        with reading(run.last_checkpoint, "begin anew"):
            for name in ("tagger", "optimizer", "schedule", "scaler"):
                getattr(self, name).load_state_dict(content[name])
            counts = {name: content[name] for name in asdict(self.counts)}
            self.counts = TypeAdapter(Counts).validate_python(counts)
            epoch, history = self.counts.epoch, self.counts.history
            first = epoch * self.batches.steps_per_epoch
            if (
                not first <= self.counts.step <= first + self.batches.steps_per_epoch
                or len(history) != epoch
                or history[: len(told)] != told
            ):
                raise ValueError(f"its steps and figures are not those of {run.metrics_path.name}")


@dataclass
class Counts:
    """Steps, epochs and figures of a training so far; the sums are of the running epoch, over all processes.

    `best` is the best figure that decides, `stop_reference` what early stopping compares with.
    """

    step: NonNegativeInt = 0
    epoch: NonNegativeInt = 0
    loss_sum: float = 0.0
    loss_count: NonNegativeInt = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: float = -math.inf
    stop_reference: float = -math.inf
    epochs_without_improvement: NonNegativeInt = 0

    @property
    def mean_loss(self) -> float:
        """Mean training loss of the running epoch so far."""
        return self.loss_sum / self.loss_count if self.loss_count else math.nan

    def is_out_of_patience(self, config: Config) -> bool:
        """Say whether early stopping ends the training."""
        patience = config.schedule.early_stop_patience
        return patience is not None and self.epochs_without_improvement >= max(patience, 1)

    def finish_epoch(
        self, figures: dict[str, float], learning_rate: float, config: Config, smoothed: int = 1
    ) -> float:
        """Add an epoch's row to the history; its ``best`` says whether the figure that decides improved.

        Return that figure: the mean over the last `smoothed` epochs.
        """
        self.epoch += 1
        monitor = config.schedule.monitor
        recent = self.history[max(len(self.history) - smoothed + 1, 0) :]
        known = [row[monitor] for row in recent if row.get(monitor) is not None]
        value = float(np.mean([*known, figures.get(monitor, math.nan)]))
        undefined = math.isnan(value)
        improved = undefined or value > self.best
        if improved and not undefined:
            self.best = value
        if undefined or value > self.stop_reference + config.schedule.early_stop_min_delta:
            self.epochs_without_improvement = 0
            self.stop_reference = self.stop_reference if undefined else value
        else:
            self.epochs_without_improvement += 1
        row = {"epoch": self.epoch, "step": self.step, "loss": self.mean_loss, "learning_rate": learning_rate}
        self.history.append(json_value({**row, **figures, "best": improved}))
        self.loss_sum, self.loss_count = 0.0, 0
        return value


def fit(
    run: Run,
    data: TrainingData,
    config: Config,
    state: TrainingState,
    processes: Processes,
    *,
    progress: bool = False,
) -> None:
    """Train from where the state stands to the end.

    Raises:
        FolksongError: a figure is not finite; the message names tracks.
        TrainingInterrupted: Ctrl-C or SIGTERM; the state is saved.
    """
    counts, batches, schedule, runtime = state.counts, state.batches, config.schedule, config.runtime
    tagger, network = state.tagger, processes.share(state.tagger)
    loss_of = read_loss(run, config.loss, data.label_counts()).to(
        processes.device, _float_type(runtime.precision)
    )
    per_step, steps_per_epoch = batches.batches_per_step, batches.steps_per_epoch
    n_validated = len(data.parts["validation"])
    validates = n_validated > 0
    smoothed = SMOOTHED_EPOCHS if schedule.adapt_to_small and n_validated < FEW_VALIDATED else 1
    _log_beginning(config, tagger, validates)
    began = saved_at = time.monotonic()
    step_loss, heard = 0.0, list[Tensor]()
    with (
        Interruption(processes.is_first) as interruption,
        torch.random.fork_rng(devices=[processes.device] if processes.gpus else []),
        _tensorboard(run, processes, counts.step) as write,
        _quiet_torch(),
    ):
        while counts.epoch < schedule.epochs and not is_stopped_early(state, data, config):
            tagger.train()
            bar = _epoch_bar(counts, config, steps_per_epoch, shown=progress and processes.is_first)
            with bar:
                for place, batch in () if state.awaits_validation else batches.from_step(counts.step):
                    if place == 0:
                        step_loss, heard = 0.0, []
                    heard.append(batch["index"])
                    seed_dropout(runtime.seed, counts.step * per_step + place, processes.rank)

                    # Forward and backward; all processes learn how the others fare.
                    ends_step = place == per_step - 1
                    with nullcontext() if ends_step else _without_sync(network):
                        loss = compute_loss(network, loss_of, batch, runtime.precision, processes.device)
                        own = float(loss.detach())
                        broken = not math.isfinite(own)
                        late = ends_step and _is_time_to_save(
                            counts.step + 1, steps_per_epoch, saved_at, config
                        )
                        total, any_broken, to_end, to_save = processes.sum(
                            [own, broken, interruption.asked_for, processes.is_first and late]
                        )
                        if any_broken:
                            what = f"the loss became {own}" if broken else None
                            _end_naming_tracks(processes, what, data, batch, counts.step)
                        state.scaler.scale(loss / per_step).backward()  # type: ignore[no-untyped-call]
                    counts.loss_sum += total / processes.world_size
                    counts.loss_count += 1
                    step_loss += total / processes.world_size / per_step
                    if not ends_step:
                        continue

                    # The step.
                    state.scaler.unscale_(state.optimizer)
                    norm = clip_gradients(tagger, config.optimizer.clip_gradient_norm)
                    if not math.isfinite(norm) and not is_overflow_of_scaling(state.scaler):
                        _end_naming_gradients(processes, norm, data, heard, counts.step)
                    state.scaler.step(state.optimizer)
                    state.scaler.update()
                    state.optimizer.zero_grad()
                    counts.step += 1
                    state.schedule.after_step()

                    # What is seen and kept of it.
                    if counts.step % runtime.update_freq == 0:
                        write(
                            {"training/loss": step_loss, "training/learning_rate": state.learning_rate},
                            counts.step,
                        )
                        bar.set_postfix(_shown(counts, schedule.monitor), refresh=False)
                    bar.update()
                    if (to_end or to_save) and processes.is_first:
                        state.save(run)
                    if to_save:
                        saved_at = time.monotonic()
                    if to_end:
                        _end_interrupted(run, counts, processes)

            # Validation, and what follows from it.
            figures = validate(state, data, config, loss_of, processes, interruption) if validates else {}
            if figures is None:
                state.save(run)
                _end_interrupted(run, counts, processes)
            state.schedule.after_epoch(counts.finish_epoch(figures, state.learning_rate, config, smoothed))
            row = counts.history[-1]
            if processes.is_first:
                _write_epoch(run, state, row)
                saved_at = time.monotonic()
            write(
                {f"epoch/{name}": row[name] for name in row if name not in ("epoch", "step", "best")},
                counts.step,
            )
            if not progress:
                _log_epoch(row, schedule.epochs)
            if processes.sum([interruption.asked_for])[0]:
                _end_interrupted(run, counts, processes)
    if processes.is_first:
        why = (
            "Early stopping ended it."
            if is_stopped_early(state, data, config)
            else "It ran for all its epochs."
        )
        write_model_card(run, counts.history, why)
        _warn_of_doubts(counts, data, config)
        logger.info(
            "%s %d epochs in %.0f s; the run is in %s", why, counts.epoch, time.monotonic() - began, run.path
        )


def build_tagger(
    front_end: str, data: TrainingData, config: Config, joint: dict[str, Any] | None = None
) -> Tagger:
    """Return a new tagger for the data, whose first weights depend on the seed only; `joint` as of `Tagger`."""
    if config.model.unfreeze:
        return cast(Tagger, fine_tuning.build_pretrained(front_end, data, config))
    manifest, seconds = data.shards.manifest, config.data.window_seconds
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.runtime.seed)
        tagger = Tagger(
            front_end,
            data.space,
            n_mels=data.shards.n_mels if front_end == LOG_MEL else 96,
            n_filters=config.model.n_filters,
            n_dense_units=config.model.n_dense_units,
            exclusive=has_exclusive_scores(config, data),
            joint=joint,
        )
    steps = manifest.steps(seconds)
    if steps < tagger.minimum_steps:
        unit = "frames" if front_end == LOG_MEL else "samples"
        raise FolksongError(
            f"a window of {seconds:g} s has {steps} {unit}; the {front_end} front-end needs at least "
            f"{tagger.minimum_steps}: take longer windows"
        )
    return tagger


def seed_dropout(seed: int, batch_number: int, rank: int) -> None:
    """Make the random numbers of a batch depend on nothing but these."""
    key = np.random.SeedSequence([seed, batch_number, rank])
    torch.manual_seed(int(key.generate_state(1, np.uint64)[0]) >> 1)


def compute_loss(
    network: nn.Module, loss_of: TaggingLoss, batch: Batch, precision: str, device: torch.device
) -> Tensor:
    """Return the loss of a batch, in the precision wished for."""
    x, y = (batch[name].to(device, _float_type(precision), non_blocking=True) for name in ("x", "y"))
    with _autocast(precision, device):
        loss: Tensor = loss_of(network(x), y)
    return loss


def _float_type(precision: str) -> torch.dtype:
    """Return the type of weights and windows."""
    return torch.float64 if precision == "64" else torch.float32


def _autocast(precision: str, device: torch.device) -> Any:
    types = {"bf16": torch.bfloat16, "16": torch.float16 if device.type == "cuda" else torch.bfloat16}
    return torch.autocast(device.type, types[precision]) if precision in types else nullcontext()


def _without_sync(network: nn.Module) -> Any:
    """Leave the gradients of a batch to the step's last one to be averaged over the processes."""
    return network.no_sync() if isinstance(network, nn.parallel.DistributedDataParallel) else nullcontext()


def clip_gradients(network: nn.Module, most: float | None) -> float:
    """Return the norm of all gradients together; scale them so that it is `most` at most, unless it is not finite."""
    given = [parameter for parameter in network.parameters() if parameter.grad is not None]
    norm = get_total_norm([parameter.grad for parameter in given if parameter.grad is not None])
    value = float(norm)
    if most is not None and math.isfinite(value):
        clip_grads_with_norm_(given, most, norm)
    return value


def is_overflow_of_scaling(scaler: torch.amp.GradScaler) -> bool:
    """Say whether gradients that are not finite are what loss scaling (float16) expects now and then.

    The scaler then skips the step and halves its scale. Once that has come down to 1, the gradients overflow without
    any scaling: from its beginning at 65536 that is the 17th such step in a row, at which waiting longer is no use.
    """
    return scaler.is_enabled() and scaler.get_scale() > LEAST_LOSS_SCALE


def _is_time_to_save(step: int, steps_per_epoch: int, saved_at: float, config: Config) -> bool:
    """Say whether the state is to be saved after this step."""
    if step % steps_per_epoch == 0:  # saved after the validation
        return False
    if config.runtime.save_every is not None:
        return step % config.runtime.save_every == 0
    return time.monotonic() - saved_at > CHECKPOINT_EVERY_SECONDS


@torch.inference_mode()
def validate(
    state: TrainingState,
    data: TrainingData,
    config: Config,
    loss_of: TaggingLoss,
    processes: Processes,
    interruption: "Interruption",
) -> dict[str, float] | None:
    """Return the figures of the validation part's centred windows, the same in all processes.

    None where the only process was asked to end; several end after the validation, together.
    """
    if (
        config.schedule.adapt_to_small
        and not config.model.unfreeze
        and state.counts.step * state.batches.batches_per_step < SETTLED_BATCHES
    ):
        re_estimate_statistics(state, data, config, processes)
    processes.broadcast_buffers(state.tagger)
    state.tagger.eval()
    outputs: list[tuple[Tensor, Tensor]] = []
    broken: str | None = None
    for batch in state.batches.centred():
        x = batch["x"].to(processes.device, _float_type(config.runtime.precision), non_blocking=True)
        with _autocast(config.runtime.precision, processes.device):
            logits = state.tagger(x).float().cpu()
        if broken is None and not bool(torch.isfinite(logits).all()):
            names = track_names(data, "validation", batch["index"])
            broken = describe_batch("the scores are not finite", state.counts.step, names, batch["x"])
        outputs.append((batch["index"].cpu(), logits))
        if interruption.asked_for and processes.world_size == 1:
            return None
    processes.stop_for(processes.gather(broken))
    parts = processes.gather(outputs)

    def summarised() -> dict[str, float]:
        index, logits = (torch.cat(tensors) for tensors in zip(*chain.from_iterable(parts), strict=True))
        targets = data.targets_of("validation")[index.numpy()]
        summary = summarise(targets, logits.numpy(), labels=data.space.names)
        learned = torch.from_numpy(data.learned_of("validation")[index.numpy()].toarray())
        return {
            "validation_loss": float(loss_of(logits.to(processes.device), learned.to(processes.device))),
            "macro_pr_auc": summary.macro_pr_auc,
            "micro_pr_auc": summary.micro_pr_auc,
            "macro_roc_auc": summary.macro_roc_auc,
            "micro_roc_auc": summary.micro_roc_auc,
            "constant_labels": float((np.ptp(torch.sigmoid(logits).numpy(), axis=0) < CONSTANT_SCORES).sum()),
        }

    return processes.from_first(summarised)


def is_stopped_early(state: TrainingState, data: TrainingData, config: Config) -> bool:
    """Say whether early stopping ends the training: no patience is left, or few tracks were heard often enough."""
    n_windows = state.counts.step * state.batches.batches_per_step * state.batches.batch_size
    n_tracks = len(data.parts["training"])
    return state.counts.is_out_of_patience(config) or heard_often(config, n_tracks, n_windows)


def start_small(state: TrainingState, data: TrainingData, config: Config, processes: Processes) -> None:
    """Let the dense layers of a new network start from a logistic regression; the first process does it for all."""
    logger.info(
        "%d training tracks are few: the dense layers start from a logistic regression, the learning rate is %g "
        "(not with adapt_to_small false)",
        len(data.parts["training"]), state.learning_rate,
    )  # fmt: skip
    if processes.is_first:
        windows = _on_device(windows_of_few(data, config), config, processes)
        batches = ((x, batch["y"].to(processes.device)) for x, batch in windows)
        autocast = _autocast(config.runtime.precision, processes.device)
        settle = partial(re_estimate_statistics, state, data, config, processes)
        settle()
        start_dense_layers(state.tagger, batches, autocast, settle)


def start_unfrozen(
    run: Run, state: TrainingState, data: TrainingData, config: Config, processes: Processes
) -> None:
    """Let a pretrained network start from its weights and a fitted head; the first process does it for all."""
    if processes.is_first:
        windows = state.batches.for_statistics(0, whole=True)
        batches = ((x, batch["y"]) for x, batch in _on_device(windows, config, processes))
        autocast = _autocast(config.runtime.precision, processes.device)
        loss_of = read_loss(run, config.loss, data.label_counts())
        fine_tuning.start_pretrained(cast(NetworkWithHead, state.tagger), batches, data, loss_of, autocast)


def re_estimate_statistics(
    state: TrainingState, data: TrainingData, config: Config, processes: Processes
) -> None:
    """Give batch norm the statistics of the training part; they depend on weights, seed and epoch only."""
    few = starts_from_regression(config, len(data.parts["training"]))
    batches = (
        windows_of_few(data, config, most=STATISTICS_WINDOWS)
        if few
        else state.batches.for_statistics(state.counts.epoch)
    )
    autocast = _autocast(config.runtime.precision, processes.device)
    estimate_statistics(state.tagger, (x for x, _ in _on_device(batches, config, processes)), autocast)


def _on_device(
    batches: Iterator[Batch], config: Config, processes: Processes
) -> Iterator[tuple[Tensor, Batch]]:
    for batch in batches:
        yield batch["x"].to(processes.device, _float_type(config.runtime.precision), non_blocking=True), batch


def track_names(data: TrainingData, part: str, index: Tensor) -> list[str]:
    """Return the track ids of positions (n,) in a part."""
    return [data.reader.track_ids[record] for record in data.parts[part][index.cpu().numpy()]]


def describe_batch(
    what: str,
    step: int,
    names: Sequence[str],
    windows: Tensor | None = None,
    *,
    n_named: int = N_NAMED_TRACKS,
) -> str:
    """Return a message that names tracks (batch,): those whose windows are not finite, else the batch's first."""
    finite = [True] * len(names) if windows is None else [bool(torch.isfinite(x).all()) for x in windows]
    broken = [name for name, is_finite in zip(names, finite, strict=True) if not is_finite]
    shown = ", ".join((broken or names)[:n_named])
    after = f"after step {step}: "
    if broken:
        return f"{after}the audio of these tracks is not finite: {shown}; write their shards anew"
    advice = "a lower learning rate, clipped gradients or 32-bit precision may help"
    return f"{after}{what} on the tracks {shown}, …; {advice}"


def _end_naming_tracks(
    processes: Processes, what: str | None, data: TrainingData, batch: Batch, step: int
) -> None:
    names = track_names(data, "training", batch["index"])
    message = None if what is None else describe_batch(what, step, names, batch["x"])
    processes.stop_for(processes.gather(message))


def _end_naming_gradients(
    processes: Processes, norm: float, data: TrainingData, heard: list[Tensor], step: int
) -> None:
    names = track_names(data, "training", torch.cat(heard))[:N_NAMED_TRACKS]
    everywhere = [name for part in processes.gather(names) for name in part]
    what = f"the norm of the gradients became {norm}"
    processes.stop_for([describe_batch(what, step, everywhere, n_named=len(everywhere))])


def _end_interrupted(run: Run, counts: Counts, processes: Processes) -> NoReturn:
    if not processes.is_first:
        raise SystemExit(1)
    write_model_card(run, counts.history, "It was interrupted and can be resumed.")
    raise TrainingInterrupted(run)


def _warn_of_doubts(counts: Counts, data: TrainingData, config: Config) -> None:
    """Say what in the best epoch's figures gives reason for doubt."""
    best = next((row for row in reversed(counts.history) if row["best"]), None)
    if best is None:
        return
    fitted = config.model.unfreeze or starts_from_regression(config, len(data.parts["training"]))
    if best["step"] < FEW_STEPS and not fitted:
        logger.warning(
            "the best network has learned for %d steps only; train for longer, or with more patience",
            best["step"],
        )
    if best.get("constant_labels"):
        logger.warning(
            "%d of %d labels have the same score for every track of the validation part; their figures mean nothing",
            best["constant_labels"], len(data.space),
        )  # fmt: skip


def _write_epoch(run: Run, state: TrainingState, row: dict[str, Any]) -> None:
    if row["best"]:
        best = {"tagger": state.tagger.state_dict(), "step": state.counts.step, "epoch": state.counts.epoch}
        write_checkpoint(run.best_checkpoint, {**best, "metrics": row})
    state.save(run)
    with atomic_write(run.metrics_path, "w") as stream:
        stream.writelines(json.dumps(one) + "\n" for one in state.counts.history)


class Interruption:
    """Lets the first Ctrl-C (or SIGTERM) end a training after the running step; a second one ends it at once.

    Args:
        insistent: whether a second signal counts; not in a process that ends with another one.
    """

    def __init__(self, insistent: bool = True) -> None:
        self.asked_for, self.insistent = False, insistent
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._stop) for number in SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: Any) -> None:
        if self.asked_for and self.insistent:
            raise KeyboardInterrupt
        self.asked_for = True
        if self.insistent:
            logger.warning("ending after this step, to save it; once more to end at once")


@contextmanager
def _tensorboard(
    run: Run, processes: Processes, step: int
) -> Iterator[Callable[[dict[str, float | None], int], None]]:
    """Yield what writes figures of a step to TensorBoard; entries after `step`, of a training cut off, are dropped."""
    if not processes.is_first:
        yield lambda values, at: None
        return
    with SummaryWriter(os.fspath(run.path / "tensorboard"), purge_step=step + 1 if step else None) as writer:

        def write(values: dict[str, float | None], at: int) -> None:
            for name, value in values.items():
                if value is not None and not math.isnan(value):
                    writer.add_scalar(name, value, at)

        yield write


@contextmanager
def _quiet_torch() -> Iterator[None]:
    """Leave out what torch's own SequentialLR does that torch warns of."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*The epoch parameter in `scheduler.step.*")
        yield


def _epoch_bar(counts: Counts, config: Config, steps_per_epoch: int, *, shown: bool) -> "tqdm[Any]":
    return tqdm(
        total=steps_per_epoch,
        initial=counts.step - counts.epoch * steps_per_epoch,
        desc=f"epoch {counts.epoch + 1}/{config.schedule.epochs}",
        unit="step",
        leave=False,
        disable=not shown,
    )


def _shown(counts: Counts, monitor: str) -> dict[str, str]:
    shown = {"loss": f"{counts.mean_loss:.4f}"}
    if counts.history and counts.history[-1].get(monitor) is not None:
        shown["PR-AUC"] = f"{counts.history[-1][monitor]:.4f}"
    return shown


def _log_epoch(row: dict[str, Any], epochs: int) -> None:
    figures = {"loss": row["loss"], **{name: row[name] for name in row if name.endswith("_pr_auc")}}
    shown = ", ".join(f"{name} {math.nan if value is None else value:.4f}" for name, value in figures.items())
    logger.info("epoch %d/%d: %s", row["epoch"], epochs, shown)


def _log_beginning(config: Config, tagger: Tagger, validates: bool) -> None:
    if not validates:
        logger.warning(
            "the validation part is empty: no early stopping, and the last epoch counts as the best"
        )
    details.debug("settings: %s", json.dumps(config.to_dict(), indent=2))
    for name, child in tagger.named_modules():
        size = sum(weights.numel() for weights in child.parameters(recurse=False))
        if size:
            details.debug("%-32s %-12s %10d", name, type(child).__name__, size)
    details.debug(
        "%-45s %10d", "trainable parameters", sum(weights.numel() for weights in tagger.parameters())
    )
