"""The batches of a training as one endless sequence of which an epoch is a piece.

Step number n always takes the same records and windows, wherever an epoch or the process began: a resumed training
goes on at the very batch, and ``steps_per_epoch`` may cut passes over the data anywhere without a track being missed.
"""

from __future__ import annotations

from collections.abc import Iterator

from folksong.errors import FolksongError
from folksong.shards.loader import Batch, WindowLoader


class BatchStream:
    """Iterating gives the batches from step `done` to the end of its epoch.

    It has no length on purpose: Lightning then notices the end of an epoch by looking one batch ahead, also where an
    epoch was begun in the middle.

    Args:
        loader: one pass over the training part.
        steps_per_epoch: steps that make an epoch; None takes those that a whole pass gives.
        batches_per_step: whose gradients are added up.

    Raises:
        FolksongError: a pass does not give a single step.
    """

    def __init__(
        self, loader: WindowLoader, steps_per_epoch: int | None = None, batches_per_step: int = 1
    ) -> None:
        if not steps_per_epoch and len(loader) < batches_per_step:
            raise FolksongError(
                f"accumulate_batches {batches_per_step}: a pass over the training part gives {len(loader)} batches; "
                "accumulate fewer, or give --steps-per-epoch"
            )
        self.loader, self.batches_per_step = loader, batches_per_step
        self.steps_per_epoch = steps_per_epoch or len(loader) // batches_per_step
        self.done = 0  # steps that training has finished; not the same as those whose batches were handed out

    def __iter__(self) -> Iterator[Batch]:
        end = (self.done // self.steps_per_epoch + 1) * self.steps_per_epoch * self.batches_per_step
        batch_number = self.done * self.batches_per_step
        while batch_number < end:
            data_pass, batches = divmod(batch_number, len(self.loader))
            records = batches * self.loader.batch_size * self.loader.world_size
            self.loader.load_state_dict({"epoch": data_pass, "records": records})
            for batch in self.loader:
                yield batch
                batch_number += 1
                if batch_number == end:
                    break


class BatchPass:
    """One pass over a loader's batches each time, as Lightning wants it: a length and nothing else to look into."""

    def __init__(self, loader: WindowLoader) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        self.loader.set_epoch(0)
        return iter(self.loader)
