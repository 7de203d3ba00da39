"""What a network gives at each step of each window -> one vector a recording."""

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]
Pool = Literal["mean", "max", "mean+max", "mean+std"]
POOLS: tuple[Pool, ...] = get_args(Pool)


class Pooling:
    """Values of windows, (windows, steps, features) in pieces -> one vector a recording.

    All are over all steps of all windows. (Each window's maximum, averaged, served an instrument classifier worse.)
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.n_steps = 0
        self.sum: npt.NDArray[np.float64] | float = 0.0
        self.squares: npt.NDArray[np.float64] | float = 0.0
        self.highest: npt.NDArray[np.float32] | float = -np.inf

    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Take some windows' values, (windows, steps, features)."""
        self.n_steps += values.shape[0] * values.shape[1]
        self.sum += values.sum((0, 1), dtype=np.float64)
        if self.pool == "mean+std":
            self.squares += np.square(values, dtype=np.float64).sum((0, 1))
        elif self.pool != "mean":
            self.highest = np.maximum(self.highest, values.max((0, 1)))

    def result(self) -> Vector:
        """Return the vector, (features,) or (2 · features,) float32."""
        mean = np.asarray(self.sum) / self.n_steps
        if self.pool == "mean":
            return mean.astype(np.float32)
        if self.pool == "mean+std":
            variance = np.maximum(np.asarray(self.squares) / self.n_steps - mean**2, 0)
            return np.concatenate([mean, np.sqrt(variance)]).astype(np.float32)
        highest = np.asarray(self.highest)
        return (highest if self.pool == "max" else np.concatenate([mean, highest])).astype(np.float32)
