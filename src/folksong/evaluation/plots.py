"""Pictures of an evaluation, readable with ten labels and with hundreds, also by the colour-blind (Okabe and Ito)."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from folksong.errors import FolksongError
from folksong.evaluation.figures import Average, Evaluation, LabelFigures
from folksong.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#767676"
LONGEST_NAME = 32  # characters of a label's name
ENDINGS = (".png", ".svg", ".pdf")


def plot_labels(evaluation: Evaluation, path: str | os.PathLike[str], *, title: str | None = None) -> None:
    """Draw each label's ROC-AUC and PR-AUC with their intervals, sorted by ROC-AUC, and write the picture.

    Labels whose figures are undefined are left out. Chance is drawn beside both: 0.5, and the share of tracks that
    carry the label.

    Args:
        evaluation: what to draw.
        path: ``.png``, ``.svg`` or ``.pdf``.
        title: over the picture; None names part, tracks and the macro averages.

    Raises:
        FolksongError: another ending, no label to draw, or the file cannot be written.
    """
    from matplotlib.figure import Figure

    shown = [figures for figures in evaluation.labels if not math.isnan(figures.roc_auc.value)]
    if not shown:
        raise FolksongError("no label has both positive and negative tracks, so there is nothing to draw")
    shown.sort(key=lambda figures: figures.roc_auc.value)
    inches_a_row, font_size = (0.30, 10.0) if len(shown) <= 30 else (0.165, 7.5)
    figure = Figure(figsize=(9.0, 1.5 + inches_a_row * len(shown)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _draw(left, [figures.roc_auc for figures in shown], BLUE, "ROC-AUC")
    left.axvline(0.5, color=GREY, linestyle="--", linewidth=1, label="chance")
    _draw(right, [figures.pr_auc for figures in shown], VERMILION, "PR-AUC (average precision)")
    chances = [figures.pr_auc.chance for figures in shown]
    right.scatter(
        chances, range(len(shown)), marker="|", s=40, color=GREY, label="chance: share of tracks", zorder=3
    )
    left.set_yticks(range(len(shown)), [short_name(figures) for figures in shown], fontsize=font_size)
    for text in left.get_yticklabels():
        text.set_parse_math(False)
    left.set_ylim(-0.7, len(shown) - 0.3)
    left.set_xlim(min(0.45, _least(left)), 1.01)
    right.set_xlim(-0.02, 1.01)
    figure.suptitle(title or _title(evaluation), fontsize=11)
    write_figure(figure, path)


def write_figure(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a Matplotlib figure, whole or not at all, with the same bytes for the same figure.

    Raises:
        FolksongError: the ending is none of ``.png``, ``.svg`` and ``.pdf``, or the file cannot be written.
    """
    import matplotlib as mpl

    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise FolksongError(f"{path}: pictures are written as {', '.join(ENDINGS)}; choose such an ending")
    undated = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}[ending]
    with mpl.rc_context({"svg.hashsalt": "folksong"}), atomic_path(path) as temporary:
        figure.savefig(temporary, format=ending[1:], dpi=150, metadata=undated)


def short_name(figures: LabelFigures) -> str:
    """Return a label's name on one line, cut to `LONGEST_NAME` characters, with its number of tracks."""
    name = " ".join(figures.name.split())
    if len(name) > LONGEST_NAME:
        name = name[: LONGEST_NAME - 1] + "…"
    return f"{name} ({figures.tracks:,})"


def _draw(axes: Axes, figures: list[Average], colour: str, title: str) -> None:
    rows = range(len(figures))
    defined = [(row, figure) for row, figure in zip(rows, figures, strict=True) if not math.isnan(figure.low)]
    axes.hlines(
        [row for row, _ in defined],
        [figure.low for _, figure in defined],
        [figure.high for _, figure in defined],
        color=colour,
        linewidth=2 if len(figures) <= 30 else 1.3,
        alpha=0.45,
    )
    axes.scatter(
        [figure.value for figure in figures], rows, color=colour, s=28 if len(figures) <= 30 else 11, zorder=4
    )
    axes.set_title(title, fontsize=10)
    axes.grid(axis="x", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelbottom=True, labeltop=len(figures) > 30, top=len(figures) > 30)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _least(axes: Axes) -> float:
    return float(axes.dataLim.x0) - 0.02


def _title(evaluation: Evaluation) -> str:
    auc, precision = evaluation.macro_roc_auc, evaluation.macro_pr_auc
    return (
        f"{evaluation.part} part, {evaluation.n_tracks:,} tracks: macro ROC-AUC {auc.value:.3f} "
        f"({auc.low:.3f} to {auc.high:.3f}), macro PR-AUC {precision.value:.3f} "
        f"({precision.low:.3f} to {precision.high:.3f}, chance {precision.chance:.3f})\n"
        f"dot: value; line: {evaluation.level:.0%} interval; grey: chance; (n): tracks with the label"
    )
