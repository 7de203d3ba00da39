"""The windows that a training sees: random ones to learn from, centred ones to measure on."""

from __future__ import annotations

import logging
from functools import partial

import numpy as np
import pytorch_lightning as pl
import torch
from numpy import typing as npt

from folksong.errors import FolksongError
from folksong.models.tagger import Tagger
from folksong.shards.loader import WindowDataset, WindowLoader
from folksong.training.augmentation import Augmentation, AugmentedWindows
from folksong.training.data import TrainingData
from folksong.training.stream import BatchPass, BatchStream

logger = logging.getLogger(__name__)


class TrainingWindows(pl.LightningDataModule):
    """Loaders of the training and validation windows.

    Args:
        data: records, labels and parts.
        window_steps: samples or frames of a window.
        batch_size: windows a step, over all processes together. A training part smaller than that shrinks it.
        rank: this process, from 0.
        world_size: number of processes.
        steps_per_epoch: steps an epoch; None takes a pass over the training part.
        batches_per_step: whose gradients are added up.
        augmentation: changes training windows.
        random: training windows from anywhere; else the middle.
        shuffle: a new order each pass.
        workers: threads that make batches ahead.
        seed: of order and windows.

    Raises:
        FolksongError: the processes cannot share a batch evenly.
    """

    def __init__(
        self,
        data: TrainingData,
        window_steps: int,
        batch_size: int,
        *,
        rank: int = 0,
        world_size: int = 1,
        steps_per_epoch: int | None = None,
        batches_per_step: int = 1,
        augmentation: Augmentation | None = None,
        random: bool = True,
        shuffle: bool = True,
        workers: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__()
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
        self.data, self.window_steps, self.workers = data, window_steps, workers
        self.batch_size, self.rank, self.world_size = batch_size, rank, world_size
        self.random, self.shuffle, self.seed = random, shuffle, seed
        self.augmentation = augmentation
        self.stream = BatchStream(self._training_loader(), steps_per_epoch, batches_per_step)

    @property
    def steps_per_epoch(self) -> int:
        """Steps an epoch."""
        return self.stream.steps_per_epoch

    def train_dataloader(self) -> BatchStream:
        """Return the batches from the step that training has reached."""
        return self.stream

    def val_dataloader(self) -> BatchPass:
        """Return the centred windows of the validation part."""
        return BatchPass(self.centred("validation", rank=self.rank, world_size=self.world_size))

    def centred(self, part: str, *, rank: int = 0, world_size: int = 1) -> WindowLoader:
        """Return the centred windows of a part, in its order."""
        dataset = WindowDataset(
            self.data.reader,
            self.data.parts[part],
            self.data.targets_of(part),
            self.window_steps,
            random=False,
        )
        return WindowLoader(
            dataset,
            max(self.batch_size // world_size, 1),
            shuffle=False,
            workers=self.workers,
            rank=rank,
            world_size=world_size,
        )

    def _training_loader(self) -> WindowLoader:
        make = WindowDataset if self.augmentation is None else partial(AugmentedWindows, self.augmentation)
        dataset = make(
            self.data.reader,
            self.data.parts["training"],
            self.data.learned_of("training"),
            self.window_steps,
            random=self.random,
            seed=self.seed,
        )
        return WindowLoader(
            dataset,
            self.batch_size // self.world_size,
            shuffle=self.shuffle,
            drop_last=True,
            workers=self.workers,
            rank=self.rank,
            world_size=self.world_size,
        )


def score_windows(tagger: Tagger, loader: WindowLoader) -> npt.NDArray[np.float32]:
    """Return the probabilities of all windows of a loader: (n, n_labels), in its order, in float32 precision."""
    device = next(tagger.parameters()).device
    tagger.eval()
    with torch.inference_mode():
        scores = [torch.sigmoid(tagger(batch["x"].to(device))).cpu().numpy() for batch in loader]
    return np.concatenate([np.empty((0, loader.dataset.n_labels), np.float32), *scores])
