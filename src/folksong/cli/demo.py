"""``folksong demo``: the whole path on the embedded corpus."""

from typing import Annotated, Any

import click

from folksong.cli.command import Count, Folder, FolksongCommand, echo_table, wants_progress
from folksong.errors import counted

Seconds = Annotated[float, click.FloatRange(1, 600)]
UNDEFINED = (0, float("nan"))
CANNOT_TEACH = """
"As played": what is really played in the place of the crowd's tags. "At most": what the truth itself reaches when it
is measured by the crowd's tags.

What this corpus cannot teach: a place is drawn for each artist and not played, so nothing in the sound tells it;
an era is a trace of tape and hiss, a mood a shade of tempo and brightness that the crowd often misses; and with three
or four artists a subgenre, a subgenre of few tracks is learned as the sound of its artists."""


@click.command(cls=FolksongCommand, resumable="What was done is kept")
def demo(
    out: Folder = "folksong-demo", *, corpus_only: bool = False, seed: int = 0, per_subgenre: Count = 12,
    seconds: Seconds = 6.0, jobs: int = -1,
) -> None:  # fmt: skip
    """Make a small synthetic folksonomy with audio in OUT, and take it from tags to trained, measured taggers.

    The corpus is synthetic: pieces in 5 genres of 8 subgenres, computed from recipes and written as mp3 files, and
    tags of simulated listeners in last.fm's SQLite schema, with the hidden truth beside them. The demo cleans the tags,
    splits the tracks by artist, builds the popular labels (Model 1), the filtered ones (Model 2) and the hybrid's
    genres, trains a head on the embeddings of a pretrained network (see `folksong models fetch`; without, on
    statistics of spectrograms) and a network on spectrograms, tunes thresholds, measures both and lets them hear clips
    by artists they never heard. It takes a few minutes; after an interruption the same command goes on where it ended.

    Example:
      folksong demo
      folksong demo my-demo --seed 1
      folksong demo corpus --corpus-only --pieces 24

    Args:
        corpus_only: Only write the corpus: OUT then holds it, ready for other commands.
        seed: Of everything that is drawn.
        per_subgenre (--pieces): Pieces of each of the 40 subgenres.
        seconds: Length of a piece.
    """
    from folksong.demo.corpus import CorpusSettings, write_corpus
    from folksong.demo.pipeline import DemoSettings, run_demo
    from folksong.training.loop import TrainingInterrupted

    settings = CorpusSettings(seed=seed, per_subgenre=per_subgenre, seconds=seconds)
    if corpus_only:
        _print_corpus(write_corpus(out, settings, jobs=jobs, progress=wants_progress()))
        return
    try:
        result = run_demo(
            out, DemoSettings(settings), jobs=jobs, progress=wants_progress(), on_stage=_print_stage
        )
    except TrainingInterrupted:
        raise KeyboardInterrupt from None
    _print_result(result)


def _print_corpus(corpus: Any) -> None:
    click.echo(
        f"{corpus.root}: {len(corpus.read_truth())} synthetic pieces, their tags and the truth about them"
    )
    click.echo(f"\nNext:\n  folksong tags stats {corpus.tags_path}")


def _print_stage(stage: Any) -> None:
    time = "done before" if stage.skipped else f"{stage.seconds:.1f} s"
    click.echo(f"{stage.name:<30} {time:>11}  {stage.detail}")


def _print_result(result: Any) -> None:
    scores = result.scores
    click.echo("\nHow much of the crowd's cleaned tags the labels keep; the taggers learn the last ones")
    kept = [(name, size, f"{counts:.1%}", f"{tracks:.1%}") for name, size, counts, tracks in result.kept]
    echo_table(kept, ("labels", "number", "counts kept", "tracks kept"))
    n_tracks = next(iter(scores.values()))["n_tracks"]
    click.echo(f"\nTest tracks ({n_tracks}, by artists not trained on), macro means")
    rows = [
        (
            front_end,
            *("{:.3f} [{:.3f}, {:.3f}]".format(*one[name]) for name in ("macro_roc_auc", "macro_pr_auc")),
            *(one["chance"], one["lift"], one["seconds"]),
        )
        for front_end, one in scores.items()
    ]
    headers = ("front-end", "ROC-AUC [95%]", "PR-AUC [95%]", "chance", "lift", "training s")
    echo_table(rows, headers, floats=".3g")
    click.echo("\nROC-AUC by what a label means")
    rows = []
    for kind in dict.fromkeys(kind for one in scores.values() for kind in sorted(one["by_kind"])):
        numbers, figures = zip(*(one["by_kind"].get(kind, UNDEFINED) for one in scores.values()), strict=True)
        rows.append((kind, max(numbers), *figures))
    echo_table(rows, ("meaning", "labels", *scores), floats=".3f")
    click.echo(CANNOT_TEACH)
    click.echo("\nClips by artists that are not in the corpus: labels that reach their tuned thresholds")
    for name, heard in result.heard.items():
        click.echo(f"{name}: {heard['truth']}")
        for front_end in scores:
            labels = ", ".join(f"{label} {score:.2f}" for label, score in heard[front_end]["labels"])
            click.echo(f"  {front_end:<20} {labels}")
    for front_end in scores:
        right = sum(heard[front_end]["genre"] == heard["genre"] for heard in result.heard.values())
        click.echo(f"{front_end}: the genre is right for {right} of {counted(len(result.heard), 'clip')}")
    folder, seconds = result.folder, sum(stage.seconds for stage in result.stages)
    run = result.run(next(iter(scores)))
    clip = next((folder / "corpus" / "unseen" / name for name in result.heard), "FILE")
    click.echo(
        f"\n{seconds:.0f} s in all. The corpus is synthetic: these figures say nothing about real music.\n\nNext:\n"
        f"  folksong predict {run} {clip} --threshold tuned\n"
        f"  folksong evaluate {run}\n"
        f"  folksong tags stats {folder / 'corpus' / 'lastfm_tags.db'}\n"
        f"  folksong labels show {folder / 'learned.labels.json'}\n"
        f"  tensorboard --logdir {folder / 'runs'}"
    )
