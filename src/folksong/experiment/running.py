"""An experiment, run: every cell trained and evaluated once, in parallel processes, resumable at any point."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from folksong.errors import FolksongError
from folksong.experiment.cells import Cell, cell_folder, loss_of, make_cells
from folksong.experiment.data import read_data
from folksong.experiment.plan import Plan, read_plan
from folksong.experiment.spaces import build_spaces
from folksong.files import write_json
from folksong.training.config import Config

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CellResult:
    """What became of a cell.

    Args:
        cell: the cell.
        run: its run's folder.
        status: ``"done"`` now, ``"kept"`` from before, or ``"failed"``.
        seconds: that it took now.
        error: why it failed.
    """

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
    opened = plan if isinstance(plan, Plan) else read_plan(plan)
    folder = Path(out)
    data = read_data(opened, folder, progress=progress)
    opened, table, split, config = data.plan, data.table, data.split, data.config
    spaces = build_spaces(opened, table.select_tracks(split.training), split.sha256())
    cells = make_cells(opened, spaces, config, table_sha256=table.sha256(), split_sha256=split.sha256())
    split.write(folder / "plan.split.json")
    for name, space in spaces.items():
        space.write(folder / "spaces" / f"{name}.labels.json")
    results = {cell.name: CellResult(cell, cell_folder(folder, cell), "kept") for cell in cells}
    waiting = [cell for cell in cells if not _is_done(results[cell.name].run)]
    _write_results(folder, results.values())
    bar = tqdm(total=len(cells), initial=len(cells) - len(waiting), unit="cell", disable=not progress)
    with bar:
        for result in _run_cells(opened, folder, config, waiting, jobs):
            results[result.cell.name] = result
            bar.update()
            if result.error:
                logger.warning("%s failed: %s", result.cell.name, result.error)
            _write_results(folder, results.values())
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
    with ProcessPoolExecutor(min(jobs, len(cells)), mp_context=get_context("spawn")) as pool:
        futures: dict[Future[CellResult], Cell] = {
            pool.submit(run_cell, plan, folder, config, cell, threads): cell for cell in cells
        }
        try:
            for future in as_completed(futures):
                try:
                    yield future.result()
                except Exception as error:  # a killed process takes its cell along, not the experiment
                    cell = futures[future]
                    yield CellResult(
                        cell, cell_folder(folder, cell), "failed", error=f"{type(error).__name__}: {error}"
                    )
        finally:
            for future in futures:
                future.cancel()


def run_cell(plan: Plan, folder: Path, config: Config, cell: Cell, threads: int | None = None) -> CellResult:
    """Train a cell, or go on with its training, and evaluate it. What can be mended is told in the result."""
    import torch

    from folksong.evaluation.evaluate import evaluate
    from folksong.runs import CONFIG_NAME, Run
    from folksong.training.loop import resume, train

    if threads is not None:
        torch.set_num_threads(threads)
    began = time.monotonic()
    place = cell_folder(folder, cell)
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
                labels=folder / "spaces" / f"{cell.space}.labels.json",
                tags=plan.place(str(plan.data.tags)),
                split=folder / "plan.split.json",
                min_weight=plan.data.min_weight,
                **plan.training.of(cell.front_end),
                loss=loss,
                loss_embeddings=_vectors(plan) if loss.kind == "semantic" else None,
                seed=cell.seed,
            )
        evaluate(run)
    except FolksongError as error:
        return CellResult(cell, place, "failed", time.monotonic() - began, str(error))
    return CellResult(cell, place, "done", time.monotonic() - began)


def _vectors(plan: Plan) -> str:
    if plan.data.vectors is None:
        raise FolksongError("the semantic loss needs word vectors; name them in the plan (data.vectors)")
    beside = plan.place(plan.data.vectors)
    return os.fspath(beside) if beside.exists() else plan.data.vectors


def _is_done(run: Path) -> bool:
    return (run / "evaluation" / "test.json").exists()  # the last file that a cell writes


def _write_results(folder: Path, results: Iterable[CellResult]) -> None:
    write_json(
        folder / "experiment.json",
        {
            "format": "folksong.experiment",
            "version": 1,
            "cells": [
                {
                    "name": result.cell.name,
                    "space": result.cell.space,
                    "front_end": result.cell.front_end,
                    "loss": result.cell.loss,
                    "seed": result.cell.seed,
                    "sha256": result.cell.sha256,
                    "run": f"runs/{result.cell.name}",
                    "done": _is_done(result.run),
                    "error": result.error,
                }
                for result in results
            ],
        },
    )
