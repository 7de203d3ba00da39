"""The batches of a training: random windows to learn from, centred ones to measure on.

The training batches are one endless sequence of which an epoch is a piece. Step number n always takes the same records
and windows, wherever an epoch or the process began: a resumed training goes on at the very batch, and `steps_per_epoch`
may cut passes over the data anywhere without a track being missed.

Augmentation is a pure function of (seed, pass, record), the same after a resumption. Masks: Park et al. 2019,
"SpecAugment": for each mask a width is drawn from 0 to the widest, and a place; what it covers takes the mean of the
window, which is what standardising makes 0. Gain: a factor of ±G dB for the whole window, cut off at full scale as a
recording would be. Each window is standardised afterwards, so of a gain remains what it cuts off (and that quiet
windows come nearer to the noise floor).
"""

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count, islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from folksong.errors import FolksongError
from folksong.models.front_ends import LOG_MEL
from folksong.shards.loader import Batch, Indices, WindowDataset, WindowLoader
from folksong.training.config import AugmentationSettings, Config
from folksong.training.data import TrainingData
from folksong.training.distributed import Processes

logger = logging.getLogger(__name__)

STREAM = 0xA06  # keeps these random numbers apart from those of order and windows
FULL_SCALE = np.float32(1)


class Augmentation:
    """Changes windows in place; `longest_mask` are the frames that a time mask covers at most."""

    def __init__(
        self, settings: AugmentationSettings, *, log_mel: bool, longest_mask: int, seed: int
    ) -> None:
        if not log_mel and (settings.frequency_masks or settings.time_masks):
            raise FolksongError(
                "frequency_masks and time_masks are for log-mel windows; waveforms take gain_db"
            )
        if log_mel and settings.gain_db:
            raise FolksongError(
                "gain_db is for waveforms: on a log-mel window it adds a constant, which standardising removes"
            )
        self.settings, self.longest_mask, self.seed = settings, longest_mask, seed

    def apply(self, window: npt.NDArray[np.float32], data_pass: int, record: int) -> None:
        """Change one window, (n_mels, frames) or (samples,)."""
        rng = np.random.default_rng([self.seed, data_pass, record, STREAM])
        if window.ndim == 1:
            window *= np.float32(10 ** (rng.uniform(-1, 1) * self.settings.gain_db / 20))
            np.clip(window, -FULL_SCALE, FULL_SCALE, out=window)
            return
        mean = window.mean(dtype=np.float64)
        for _ in range(self.settings.frequency_masks):
            window[_span(rng, self.settings.frequency_mask_bands, window.shape[0])] = mean
        for _ in range(self.settings.time_masks):
            window[:, _span(rng, self.longest_mask, window.shape[1])] = mean


def _span(rng: np.random.Generator, widest: int, length: int) -> slice:
    width = int(rng.integers(0, min(widest, length), endpoint=True))
    start = int(rng.integers(0, length - width, endpoint=True))
    return slice(start, start + width)


class AugmentedWindows(WindowDataset):
    """Windows that are changed at random where the loader's threads make them."""

    def __init__(self, augmentation: Augmentation, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.augmentation = augmentation

    def fill(self, x: torch.Tensor, positions: Sequence[int] | Indices, epoch: int) -> Batch:
        """Write the changed windows of these positions into `x` and return the batch."""
        batch = super().fill(x, positions, epoch)
        windows = x.numpy()
        for window, record in zip(windows, self.indices[batch["index"].numpy()].tolist(), strict=True):
            self.augmentation.apply(window, epoch, record)
        return batch


LEAST_STEPS = 10
"""Of an epoch, where the settings adapt to small collections: a patience of 20 epochs is one of 200 steps or more."""
STATISTICS_BATCHES = 5  # over which batch norm's statistics are estimated


class TrainingBatches:
    """Batches of the training and validation part, for one of the processes of a training.

    `batch_size` is that of all processes together; a training part smaller than that shrinks it.

    Raises:
        FolksongError: the processes cannot share a batch evenly, or a pass does not give a single step.
    """

    def __init__(self, data: TrainingData, config: Config, batch_size: int, processes: Processes) -> None:
        rank, world_size = processes.rank, processes.world_size
        n_tracks = len(data.parts["training"])
        if n_tracks < batch_size:
            shrunk = max(n_tracks // world_size, 1) * world_size
            logger.warning(
                "the training part has %d tracks: batches of %d, not %d", n_tracks, shrunk, batch_size
            )
            batch_size = shrunk
        if batch_size % world_size:
            raise FolksongError(f"batches of {batch_size} cannot be shared evenly by {world_size} processes")
        if batch_size < 2 * world_size:
            raise FolksongError(
                f"a step of {batch_size} windows by {world_size} processes: batch norm needs 2 or more windows each"
            )
        self.batch_size, self.batches_per_step = batch_size, config.optimizer.accumulate_batches
        share, seed = batch_size // world_size, config.runtime.seed
        load = partial(WindowLoader, workers=config.runtime.workers, rank=rank, world_size=world_size)
        self.training = load(
            _training_windows(data, config), share, shuffle=config.data.shuffle, drop_last=True
        )
        steps = self.training.dataset.window_steps
        learned, heard = ((data.parts[part], data.targets_of(part)) for part in ("training", "validation"))
        self.validation = load(WindowDataset(data.shards, *heard, steps, random=False), share)
        windows = WindowDataset(data.shards, *learned, steps, random=True, seed=seed)
        self._statistics = load(windows, share, shuffle=True, drop_last=True)
        self.steps_per_epoch = _steps_per_epoch(config, len(self.training))

    def from_step(self, step: int) -> Iterator[tuple[int, Batch]]:
        """Yield the batches of the epoch of step `step`, from that step on, each with its place within its step."""
        first = step * self.batches_per_step
        end = (step // self.steps_per_epoch + 1) * self.steps_per_epoch * self.batches_per_step
        loader = self.training
        while first < end:
            data_pass, batches = divmod(first, len(loader))
            loader.load_state_dict(
                {"epoch": data_pass, "records": batches * loader.batch_size * loader.world_size}
            )
            for batch in loader:
                yield first % self.batches_per_step, batch
                first += 1
                if first == end:
                    break

    def for_statistics(self, epoch: int, *, whole: bool = False) -> Iterator[Batch]:
        """Return some batches of the training part, or a `whole` pass, without augmentation; `epoch` chooses them."""

        def passes() -> Iterator[Batch]:
            for data_pass in count(epoch if whole else epoch * STATISTICS_BATCHES):
                self._statistics.load_state_dict({"epoch": data_pass, "records": 0})
                yield from self._statistics

        return islice(passes(), len(self._statistics) if whole else STATISTICS_BATCHES)

    def centred(self) -> Iterator[Batch]:
        """Return one pass over the centred windows of the validation part."""
        self.validation.set_epoch(0)
        return iter(self.validation)


def _steps_per_epoch(config: Config, batches_per_pass: int) -> int:
    """Return the steps of an epoch: as many as wished, or as a pass over the training part gives."""
    per_step = config.optimizer.accumulate_batches
    stated, adapts = config.schedule.steps_per_epoch, config.schedule.adapt_to_small
    if stated is None and not adapts and batches_per_pass < per_step:
        raise FolksongError(
            f"accumulate_batches {per_step}: a pass over the training part gives {batches_per_pass} batches; "
            "accumulate fewer, or say how many steps an epoch has (steps_per_epoch)"
        )
    return stated or max(batches_per_pass // per_step, LEAST_STEPS if adapts else 1)


def _training_windows(data: TrainingData, config: Config) -> WindowDataset:
    manifest, settings = data.shards.manifest, config.data
    make: type[WindowDataset] | partial[AugmentedWindows] = WindowDataset
    if settings.augmentation.any:
        augmentation = Augmentation(
            settings.augmentation,
            log_mel=manifest.audio_format == LOG_MEL,
            longest_mask=manifest.steps(settings.augmentation.time_mask_seconds),
            seed=config.runtime.seed,
        )
        make = partial(AugmentedWindows, augmentation)
    return make(
        data.shards,
        data.parts["training"],
        data.learned_of("training"),
        manifest.steps(settings.window_seconds),
        random=settings.random_windows,
        seed=config.runtime.seed,
    )
