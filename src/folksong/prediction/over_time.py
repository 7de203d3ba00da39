"""Scores over time: what a tagger says of each window of a recording, as a table and as a picture."""

import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from folksong.drawing import short_name, write_picture
from folksong.files import write_csv

MOST_ROWS = 20  # labels of a picture


@dataclass(frozen=True, eq=False)
class ScoresOverTime:
    """The scores of a recording's windows.

    Args:
        file: the recording.
        labels: the tagger's labels.
        starts: (n_windows,) seconds, rising.
        window_seconds: length of a window; one that is longer than the recording hears it repeated.
        scores: (n_windows, n_labels) float32 in 0 to 1.
    """

    file: str
    labels: tuple[str, ...]
    starts: npt.NDArray[np.float64]
    window_seconds: float
    scores: npt.NDArray[np.float32]

    def strongest(self, top: int | None = None) -> list[int]:
        """Return the numbers of the labels with the highest mean score, best first."""
        return [int(number) for number in np.argsort(-self.scores.mean(axis=0), kind="stable")[:top]]

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a CSV file: start and end of a window in seconds, then a column a label, best mean first."""
        chosen = self.strongest()
        rows = [
            [f"{start:.3f}", f"{start + self.window_seconds:.3f}", *(f"{value:.6f}" for value in row[chosen])]
            for start, row in zip(self.starts, self.scores, strict=True)
        ]
        write_csv(path, ("start", "end", *(self.labels[number] for number in chosen)), rows)

    def draw(self, path: str | os.PathLike[str]) -> None:
        """Write a picture, PNG, SVG or PDF: a row a label (the `MOST_ROWS` best by mean), dark where it is heard."""
        from matplotlib.figure import Figure

        chosen = self.strongest(MOST_ROWS)
        figure = Figure(figsize=(10, 1.4 + 0.28 * len(chosen)), layout="constrained")
        axes = figure.subplots()
        end = self.starts[-1] + self.window_seconds
        middles = self.starts + self.window_seconds / 2
        edges = np.concatenate([[0], (middles[1:] + middles[:-1]) / 2, [end]])
        mesh = axes.pcolormesh(
            edges, np.arange(len(chosen) + 1), self.scores[:, chosen].T, vmin=0, vmax=1, cmap="Blues"
        )
        axes.set_yticks(
            np.arange(len(chosen)) + 0.5, [short_name(self.labels[number], 28) for number in chosen]
        )
        for text in axes.get_yticklabels():
            text.set_parse_math(False)
        axes.invert_yaxis()
        axes.set_xlabel(f"seconds (windows of {self.window_seconds:g} s)")
        figure.colorbar(mesh, label="score", pad=0.01)
        write_picture(figure, path)
