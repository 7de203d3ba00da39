"""An experiment's folder, read back: which run is which cell of a plan."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from folksong.errors import FileFormatError, FolksongError
from folksong.files import read_document
from folksong.runs import Run

EXPERIMENT_NAME = "experiment.json"
EXPERIMENT_FORMAT = "folksong.experiment"
EXPERIMENT_VERSION = 1


@dataclass(frozen=True)
class NamedRun:
    """A run and its place in an experiment.

    Args:
        run: the run.
        space: what its label space is called; None if nobody named it.
        loss: what its loss is called; None likewise.
    """

    run: Run
    space: str | None = None
    loss: str | None = None


def open_runs(paths: Sequence[Run | str | os.PathLike[str]]) -> list[NamedRun]:
    """Open runs; the folder of an experiment stands for all its finished cells, in its plan's order.

    A run that lies in an experiment's folder is called what its plan calls it.

    Raises:
        FolksongError: a folder holds neither, or an experiment has no finished cell.
    """
    found: list[NamedRun] = []
    for path in paths:
        folder = path.path if isinstance(path, Run) else Path(path)
        if not isinstance(path, Run) and (folder / EXPERIMENT_NAME).is_file():
            cells = _read_cells(folder)
            done = [
                NamedRun(Run.open(folder / run), *names)
                for run, (names, finished) in cells.items()
                if finished
            ]
            if not done:
                raise FolksongError(f"{folder}: no cell of this experiment is finished yet")
            found += done
            continue
        run = path if isinstance(path, Run) else Run.open(folder)
        names: tuple[str | None, str | None] = (None, None)
        above = folder.absolute().parent.parent
        if (above / EXPERIMENT_NAME).is_file():
            names = _read_cells(above).get(f"runs/{folder.name}", (names, True))[0]
        found.append(NamedRun(run, *names))
    return found


def _read_cells(folder: Path) -> dict[str, tuple[tuple[str | None, str | None], bool]]:
    """Return run -> ((label space, loss), whether it is finished)."""
    file = folder / EXPERIMENT_NAME
    content = read_document(
        file, EXPERIMENT_FORMAT, EXPERIMENT_VERSION, "an experiment", "give the folders of its runs instead"
    )
    try:
        return {
            str(cell["run"]): ((str(cell["space"]), str(cell["loss"])), bool(cell["done"]))
            for cell in content["cells"]
        }
    except (KeyError, TypeError) as error:
        raise FileFormatError(
            f"{file}: damaged ({type(error).__name__}: {error}); run the experiment again"
        ) from error
