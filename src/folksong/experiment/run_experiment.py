"""An experiment, run: every cell trained and evaluated once, in parallel processes, resumable at any point."""

import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from folksong.errors import FolksongError
from folksong.evaluation.groups import EXPERIMENT_FORMAT, EXPERIMENT_NAME, EXPERIMENT_VERSION
from folksong.experiment.plan import Plan, read_plan
from folksong.experiment.prepare import SPLIT_NAME, TAKES_VECTORS, Cell, loss_of, prepare
from folksong.files import locked, write_json
from folksong.training.config import Config

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CellResult:
    """What became of a cell: ``"done"`` in so many seconds, ``"kept"`` from before, or ``"failed"`` and why."""

    cell: Cell
    run: Path
    status: str
    seconds: float = 0.0
    error: str | None = None


def run_experiment(
    plan: Plan | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    jobs: int = 1,
    progress: bool = False,
) -> list[CellResult]:
    """Train and evaluate every cell of a plan that is not done yet; give the same command again to go on.

    A cell that fails does not stop the others. ``experiment.json`` lists all cells and their runs; the label spaces
    and the split lie beside it.

    Args:
        plan: the plan, its file, or the name of a shipped plan.
        out: the experiment's folder; cells with the same inputs are taken from it as they are.
        jobs: processes; the processor's cores are shared out among them.
        progress: show a bar over the cells.

    Returns:
        A result a cell, in the plan's order.

    Raises:
        FolksongError: data, a label space or a loss of the plan is wrong; nothing was trained.
    """
    if jobs < 1:
        raise FolksongError(f"jobs must be at least 1, not {jobs}")
    folder = Path(out)
    ready = prepare(plan if isinstance(plan, Plan) else read_plan(plan), folder, progress=progress)
    results = {cell.name: CellResult(cell, cell.folder(folder), "kept") for cell in ready.cells}
    waiting = [cell for cell in ready.cells if not is_done(results[cell.name].run)]
    write_results(folder, results.values())
    n_kept = len(results) - len(waiting)
    with tqdm(total=len(results), initial=n_kept, unit="cell", disable=not progress) as bar:
        for result in _run_cells(ready.plan, folder, ready.config, waiting, jobs):
            results[result.cell.name] = result
            bar.update()
            if result.error:
                logger.warning("%s failed: %s", result.cell.name, result.error)
            write_results(folder, results.values())
    return list(results.values())


def _run_cells(
    plan: Plan, folder: Path, config: Config, cells: Sequence[Cell], jobs: int
) -> Iterator[CellResult]:
    """Yield the result of each cell as it comes."""
    if jobs == 1:
        yield from (run_cell(plan, folder, config, cell) for cell in cells)
        return
    if not cells:
        return
    # Fresh processes: a forked one would inherit PyTorch's thread pools in a state that can hang.
    threads = max(1, (os.cpu_count() or 1) // jobs)
    waiting = list(reversed(cells))
    running: dict[Future[CellResult], Cell] = {}
    with ProcessPoolExecutor(min(jobs, len(cells)), mp_context=get_context("spawn")) as pool:
        # No more are handed over than can be begun at once: after Ctrl-C, what was handed over would still be begun.
        while waiting or running:
            while waiting and len(running) < jobs:
                cell = waiting.pop()
                running[pool.submit(run_cell, plan, folder, config, cell, threads)] = cell
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                yield _result_of(future, running.pop(future), folder)


def _result_of(future: Future[CellResult], cell: Cell, folder: Path) -> CellResult:
    try:
        return future.result()
    except Exception as error:  # a killed process takes its cell along, not the experiment
        return CellResult(cell, cell.folder(folder), "failed", error=f"{type(error).__name__}: {error}")


def run_cell(plan: Plan, folder: Path, config: Config, cell: Cell, threads: int | None = None) -> CellResult:
    """Train a cell, or go on with its training, and evaluate it. What can be mended is told in the result.

    A cell that another process is at is waited for.

    Raises:
        KeyboardInterrupt: the training was asked to end; it goes on when the cell is run again.
    """
    import torch

    from folksong.training.loop import TrainingInterrupted

    if threads is not None:
        torch.set_num_threads(threads)
    place = cell.folder(folder)
    with locked(folder / "locks" / cell.name):
        if is_done(place):
            return CellResult(cell, place, "kept")
        began = time.monotonic()
        try:
            error = _train_and_evaluate(plan, folder, config, cell, place)
        except TrainingInterrupted as interrupted:
            raise KeyboardInterrupt(str(interrupted)) from None
    status = "done" if error is None else "failed"
    return CellResult(cell, place, status, time.monotonic() - began, error)


def _train_and_evaluate(plan: Plan, folder: Path, config: Config, cell: Cell, place: Path) -> str | None:
    """Return what went wrong, or None."""
    from folksong.evaluation.evaluate import evaluate
    from folksong.runs import CONFIG_NAME, Run
    from folksong.training.resume import resume
    from folksong.training.train import train

    try:
        if (place / CONFIG_NAME).exists():
            run = resume(Run.open(place))
        else:
            loss = loss_of(plan, cell.loss)
            run = train(
                cell.front_end,
                plan.place(plan.shards[cell.front_end]),
                out=place,
                config=config,
                labels=folder / "spaces" / cell.space_file,
                tags=plan.place(str(plan.data.tags)),
                split=folder / SPLIT_NAME,
                min_weight=plan.data.min_weight,
                **cell.inputs["training"],
                loss=loss,
                vectors=plan.vectors() if loss.chosen in TAKES_VECTORS else None,
                seed=cell.seed,
            )
        evaluate(run)
    except FolksongError as error:
        return str(error)
    return None


def is_done(run: Path) -> bool:
    """Say whether a cell's run is trained and evaluated."""
    return (run / "evaluation" / "test.json").exists()  # the last file that a cell writes


def write_results(folder: Path, results: Iterable[CellResult]) -> None:
    """Write ``experiment.json``: all cells, with their runs and how far they are."""
    write_json(
        folder / EXPERIMENT_NAME,
        {
            "format": EXPERIMENT_FORMAT,
            "version": EXPERIMENT_VERSION,
            "cells": [
                {
                    "name": result.cell.name,
                    "space": result.cell.space,
                    "front_end": result.cell.front_end,
                    "loss": result.cell.loss,
                    "seed": result.cell.seed,
                    "sha256": result.cell.sha256,
                    "run": f"runs/{result.cell.name}",
                    "done": is_done(result.run),
                    "error": result.error,
                }
                for result in results
            ],
        },
    )
