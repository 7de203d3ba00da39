"""``folksong experiment``: a plan of many runs.

Args:
    show_list (--list): List the plans that ship with folksong.
    write_plan (FILE): Write a copy of the shipped PLAN to edit, and stop.
    out (-o, --out DIR): The experiment's folder.  [default: the plan's name without its ending]
    tags (SOURCE): The tags (data.tags), of any kind.
    audio: A track catalogue or a folder of recordings (data.audio); shards are written from it into DIR.
    front_end: In the place of those of the plan; heads on embeddings get 10 seeds.
    artists (CSV): For a split by artist (data.artists).
    vectors (SOURCE): Word vectors (data.vectors).
    demo (FOLDER): Take all of these from the synthetic corpus in FOLDER, as `folksong demo` makes it; make it if
        need be.
    changes (--set KEY=VALUE): Any other setting of the plan, for example --set spaces.hybrid.n_clusters=60 or
        --set data.shards.waveform=shards/wave.
    jobs (-j, --jobs): Processes; the processor's cores are shared out among them.
    with_report (--report/--no-report): Write DIR/report.html.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

import folksong as fs
from folksong.cli.command import (
    Count,
    File,
    Folder,
    FolksongCommand,
    Output,
    echo_table,
    note,
    wants_progress,
)
from folksong.cli.train import FrontEnd


@click.command(cls=FolksongCommand, resumable="What was done is kept")
def experiment(
    plan: str | None = None, *, show_list: bool = False, write_plan: Output | None = None, out: Folder | None = None,
    tags: File | None = None, audio: File | None = None, front_end: FrontEnd | None = None,
    artists: File | None = None, vectors: str | None = None,
    demo: Folder | None = None, changes: Sequence[str] = (), jobs: Count = 1, with_report: bool = True,
) -> None:  # fmt: skip
    """Train and evaluate every cell of PLAN: label spaces x front-ends x losses x seeds.

    PLAN is a file, or the name of a plan that ships with folksong (--list). A cell's folder is named by a hash of all
    that goes into it: the same command goes on where it was stopped, and a changed plan trains only what has changed.
    A cell that fails is named, and the others go on; the exit code is then 1.

    A plan with a [search] section, as model-3-grid has, tries settings in the place of its own: all combinations, drawn
    ones, or those that Optuna chooses (pip install 'folksong[search]'). The same command given again, also at the same
    time, goes on with the same search. --write-plan writes a plan with comments, to learn from.

    Example:
      folksong experiment all-models-small --demo demo
      folksong experiment all-models-small --demo demo --front-end embeddings --out heads
      folksong experiment all-models --tags lastfm_tags.db --audio tracks.csv --artists tracks.csv \\
          --vectors glove.6B.200d.txt --out answer
    """
    if show_list or plan is None or write_plan is not None:
        _show_plans(plan, write_plan, show_list)
        return
    from folksong.evaluation.report import write_report
    from folksong.experiment import read_plan, run_search
    from folksong.experiment.plan import lay_over, read_settings

    given = {"tags": tags, "audio": audio, "artists": artists, "vectors": vectors}
    settings = read_settings(changes)
    data = lay_over({name: path for name, path in given.items() if path}, settings.get("data", {}))
    data = lay_over({} if demo is None else _demo_data(Path(demo)), _from_here(data))
    opened = read_plan(plan, {**settings, "data": data}, front_end=front_end)
    folder = Path(out or plan.removesuffix(".toml"))
    run, echo = (fs.run_experiment, _echo_cells) if opened.search is None else (run_search, _echo_search)
    runs, failed, sections = echo(opened, run(opened, folder, jobs=jobs, progress=wants_progress()), folder)
    if with_report and runs:
        page = write_report(runs, folder / "report.html", title=Path(plan).stem, **sections)
        click.echo(f"\n{page}")
    for name, error in failed:
        note(f"{name}: {error}")
    if failed:
        raise click.exceptions.Exit(1)


def _show_plans(plan: str | None, write_plan: str | None, show_list: bool) -> None:
    """List the plans that ship with folksong, or write a copy of one."""
    from folksong.experiment import shipped_plan, shipped_plans
    from folksong.files import atomic_write

    if show_list:
        rows = [(name, text.partition("\n")[0].lstrip("# ")) for name, text in shipped_plans().items()]
        echo_table(rows, ("plan", "what it is"))
    elif plan is None:
        raise click.UsageError("Missing argument 'PLAN'; --list shows the plans that ship with folksong.")
    elif write_plan is not None:
        with atomic_write(write_plan, "w") as stream:
            stream.write(shipped_plan(plan))
        click.echo(write_plan)


def _echo_cells(plan: Any, results: Any, folder: Path) -> tuple[list[Any], list[Any], dict[str, Any]]:
    """Print what became of the cells; return the finished runs, the failures and what the report tells besides."""
    from folksong.experiment.published import genre_clusterings, published_section

    rows = [
        (*(found.cell.space, found.cell.front_end, found.cell.loss, found.cell.seed, found.status),
         f"{found.seconds:.0f}")
        for found in results
    ]  # fmt: skip
    echo_table(rows, ("label space", "front-end", "loss", "seed", "status", "seconds"))
    failed = [(found.cell.name, found.error) for found in results if found.status == "failed"]
    return (
        [found.run for found in results if found.status != "failed"],
        failed,
        {
            "truth": None if plan.data.truth is None else plan.place(plan.data.truth),
            "tag_groups": None if plan.data.groups is None else plan.beside(plan.data.groups),
            "more": [] if plan.published is None else [published_section(plan, results)],
            "genres": {} if plan.published is None else genre_clusterings(plan, folder, results),
        },
    )


def _echo_search(plan: Any, found: Any, folder: Path) -> tuple[list[Any], list[Any], dict[str, Any]]:
    """Print what became of the trials; return likewise."""
    keys = list(plan.search.parameters)
    where = "its own labels" if found.on is None else f"the tags of {found.on}"
    click.echo(f"{found.figure} of the validation part, on {where}, best first")
    rows = [
        (*(trial.parameters.get(key, "") for key in keys), "failed" if trial.value is None else trial.value)
        for trial in found.trials
    ]
    echo_table(rows, (*keys, found.figure))
    runs = dict.fromkeys(folder / run for trial in found.trials if not trial.error for run in trial.runs)
    failed = [(dict(trial.parameters), trial.error) for trial in found.trials if trial.error is not None]
    return list(runs) if found.best is not None else [], failed, {}


def _from_here(value: Any) -> Any:
    """Return data with what exists where the command is given as absolute paths."""
    if isinstance(value, dict):
        return {name: _from_here(one) for name, one in value.items()}
    return str(Path(value).absolute()) if isinstance(value, str) and Path(value).exists() else value


def _demo_data(folder: Path) -> dict[str, Any]:
    """Return the data of a demo's corpus; write one into `folder` if there is none."""
    from folksong.demo.corpus import Corpus, CorpusSettings, write_corpus

    place = folder / "corpus" if (folder / "corpus" / "corpus.json").exists() else folder
    corpus = Corpus(place.absolute(), CorpusSettings())
    if not corpus.tags_path.exists():
        note(f"{place}: writing the synthetic corpus of `folksong demo`")
        write_corpus(place, corpus.settings, progress=wants_progress())
    written = place.absolute().parent.glob("shards/*/manifest.json") if place != folder else ()
    return {
        "tags": str(corpus.tags_path),
        "audio": str(corpus.tracks_csv),
        "artists": str(corpus.tracks_csv),
        "truth": str(corpus.root / "truth" / "tags.csv"),
        "shards": {path.parent.name: str(path.parent) for path in written},
    }
