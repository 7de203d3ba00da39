"""The command line: thin commands, one file a group; those of none are here. They parse, call the library, and print.

Modules of this package import nothing heavy at the top, so that ``folksong --help`` answers at once.
"""

import getpass
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import click
from click.core import ParameterSource

import folksong as fs
from folksong import __version__
from folksong.cli import label_study  # noqa: F401 (it adds its commands to labels)
from folksong.cli.command import (
    Count,
    File,
    Folder,
    FolksongCommand,
    FolksongGroup,
    Output,
    Target,
    echo_json,
    echo_table,
    log_to_stderr,
    note,
    wants_progress,
)
from folksong.cli.embeddings import embeddings, models
from folksong.cli.evaluate import compare, evaluate, report
from folksong.cli.experiment import experiment
from folksong.cli.labels import labels
from folksong.cli.predict import export, predict, search
from folksong.cli.shards import audio, shards
from folksong.cli.tags import tags
from folksong.cli.train import config, train
from folksong.errors import counted, needs_extra

Port = Annotated[int, click.IntRange(0, 65535)]
Seconds = Annotated[float, click.FloatRange(1, 600)]
LOOPBACK = ("127.0.0.1", "::1", "localhost")
MARKS = {"ok": "✓", "note": "!", "problem": "✗"}


@click.command(cls=FolksongCommand)
def doctor(*, as_json: bool = False) -> None:
    """Say what this machine can do: codecs, cores, GPUs, extras, and known traps in the environment.

    Exits with 1 when something will not work.
    """
    from folksong.doctor import examine

    findings = examine()
    if as_json:
        echo_json([vars(finding) for finding in findings])
    else:
        width = max(len(finding.topic) for finding in findings)
        for finding in findings:
            click.echo(f"{MARKS[finding.status]} {finding.topic:<{width}}  {finding.text}")
    if any(finding.status == "problem" for finding in findings):
        raise click.exceptions.Exit(1)


@click.command(cls=FolksongCommand)
def split(
    source: File, out: Output, *, fractions: tuple[float, ...] = (80.0, 10.0, 10.0), artists: File | None = None,
    artist_column: str | None = None, labels: File | None = None, seed: int = 0, official: tuple[File, ...] = (),
) -> None:  # fmt: skip
    """Deal the tracks of the tag source SOURCE out to three parts and write them as OUT.

    Labels are balanced between the parts, and the same tracks, artists and seed always give the same parts.

    Example:
      folksong split lastfm_tags.db my.split.json --fractions 80 10 10 --artists tracks.csv
      folksong split autotagging.tsv jamendo.split.json --official splits/split-0/autotagging-*.tsv

    Args:
        fractions (A B C): Shares of training, validation and test tracks.
        artists (FILE): CSV with a track and an artist column, or the dump that the tags are from; all tracks of an
            artist go to one part.
        artist_column (NAME): The column of artists in that file.  [default: usual names]
        labels (FILE): Balance these labels.  [default: the 100 most popular tags]
        seed: Of the order in which equals are dealt.
        official (FILE...): The parts as a data set publishes them, in the place of dealing: the lists of MTG-Jamendo,
            the Million Song Dataset or GTZAN, told apart by train, valid and test in their names, or a single file
            that holds all parts (MagnaTagATune's annotations_final.csv).
    """
    if official:
        asked = click.get_current_context().get_parameter_source
        dealing = [
            name
            for name in ("fractions", "artists", "labels", "seed")
            if asked(name) is ParameterSource.COMMANDLINE
        ]
        if dealing:
            raise click.UsageError(f"--official takes the parts as they are; leave --{dealing[0]} out")
        found = fs.read_official_split(source, *official)
        found.write(out)
        _echo_parts(found)
        click.echo(f"{out}: the parts of {', '.join(found.provenance['official'])}")
        return
    from folksong.tags.sources.delimited import read_artists

    progress = wants_progress()
    known = read_artists(artists, artist_column=artist_column, progress=progress) if artists else None
    space = fs.LabelSpace.read(labels) if labels else None
    found = fs.splits.make_split(source, fractions=fractions, artists=known, space=space, seed=seed)
    found.write(out)
    _echo_parts(found)
    click.echo(f"{out}: {'by artist' if found.by_artist else 'no artists known'}, seed {seed}")


def _echo_parts(found: "fs.Split") -> None:
    sizes = [len(found.part(name)) for name in fs.splits.PARTS]
    shares = [
        (name, size, f"{size / sum(sizes):.2%}") for name, size in zip(fs.splits.PARTS, sizes, strict=True)
    ]
    echo_table(shares, ("part", "tracks", "share"))


@click.command(cls=FolksongCommand)
def curate(
    *, labels: File | None = None, tags: File | None = None, run: str | None = None, audio: Folder | None = None,
    log: File | None = None, decisions: File | None = None, proposals: File | None = None, out: Target | None = None,
    who: str | None = None, port: Port = 0, listen: str = "127.0.0.1", open_browser: bool = True,
) -> None:  # fmt: skip
    """Look, listen and decide, in a browser on this machine: labels, tracks and merges.

    Pages come from this machine only and ask for nothing elsewhere. The address, with its token, is for you: who knows
    it can change your files. Ctrl-C ends it.

    Example:
      folksong curate --labels hybrid.labels.json --tags lastfm.db --run runs/filtered --audio music/

    Args:
        labels (FILE): The label space to curate; it is read and never written.
        run (RUN): The tagger: a run, an exported folder, or the name of a pretrained one.
        audio (DIR): The recordings.
        log (FILE): Where the board's actions are kept.  [default: LABELS, ending in .curation.jsonl]
        decisions (FILE): Where what you decide while listening is kept.  [default: beside the run]
        proposals (FILE): Merges to review, of "folksong tags propose"; the reviewed ones are written beside them, as
            .reviewed.tsv.
        out (FILE): Where the curated labels are written.  [default: LABELS, ending in .curated.labels.json]
        who (NAME): Kept beside each action.  [default: your user name]
        port: Of the address; 0 takes a free one.
        listen (ADDRESS): Be reachable from other machines at this address, too; what is sent is not encrypted.
        open_browser (--open/--no-open): Open the page in your browser.
    """
    with needs_extra("the app", "curate"):
        from folksong.curate import board
        from folksong.curate import proposals as merges
        from folksong.curate.app import Session, View, serve
    session = Session(
        labels=_path(labels), log=_path(log), tags=tags, run=run, audio=_path(audio), out=_path(out),
        decisions=_path(decisions), proposals=_path(proposals), who=who or _user(),
    )  # fmt: skip

    def ready(address: str) -> None:
        click.echo(f"{address}  (Ctrl-C ends it)")
        if open_browser and not webbrowser.open(address):
            note("no browser was found here; open the address yourself")

    if listen not in LOOPBACK:
        note(f"Warning: who reaches {listen} and knows the address can see and change all of this")

    def views() -> list[View]:
        shown = [board.view(session), merges.view(session)]
        if run is None:  # torch, which takes seconds to load, is not needed
            needed = "--run" if audio else "--run and --audio"
            return [*shown, View("listen", "Listen", missing=needed), View("drop", "Drop", missing="--run")]
        from folksong.curate import drop, listening

        return [*shown, listening.view(session), drop.view(session)]

    serve(views, address=listen, port=port, on_ready=ready)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return ""


def _path(given: str | None) -> Path | None:
    return None if given is None else Path(given)


@click.command(
    cls=FolksongCommand, of="serve.app:serve prediction.load_tagger:load_tagger", without=("port",)
)
def serve(run: str, *, port: Port = 8000, device: str | None = None, **settings: Any) -> None:
    """Answer HTTP requests: a recording in, the labels that the tagger of RUN gives it out, as JSON.

    RUN is what "folksong predict" takes, and scores are the same. The page at the address lets you try it and describes
    the interface; /openapi.json is for programs. Only this machine is let in by default. Ctrl-C ends it.

    Example:
      folksong serve musicnn-msd
      curl --data-binary @song.mp3 "http://127.0.0.1:8000/tag?top=3"

    Args:
        port: Of the address; 0 takes a free one.
        tags (TAG...): Of a run in the joint space (head joint): score these instead of its labels, any words.
        hop_seconds (--hop SECONDS): From the beginning of one window to the next.
            [default: as evaluated, or as thresholds were tuned]
    """
    with needs_extra("the server", "serve"):
        from folksong.serve.app import serve as run_server
    if settings["listen"] not in LOOPBACK:
        note(f"Warning: whoever reaches {settings['listen']} can send recordings here; there is no password")
    run_server(run, port=port, device=device, **settings)


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


@click.group(
    cls=FolksongGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    hints={
        "replace it on purpose": "--force",
        "the records hold no tags; give a tag table": "--tags",
        "separators='' keeps the cells whole": "tags import --separators ''",
        "the semantic loss needs word vectors": "--custom-loss-embeddings-path",
        "data.tags: the plan names no": "--tags",
        "data.shards: none": "--audio",
        "say which column names the artist": "--artist-column",
        "larger parts, such as 70/15/15,": "--fractions 70 15 15",
        "the format 'library' reads": "--format library",
    },
)
@click.version_option(__version__, prog_name="folksong")
@click.option(
    "--force",
    is_flag=True,
    help="Replace files that are there, whoever made them; of every command that writes.",
)
def main(force: bool) -> None:
    """Learn to hear what listeners write: from messy crowd tags to trained and measured music taggers."""
    log_to_stderr()


for command in (
    *(audio, compare, config, curate, demo, doctor, embeddings, evaluate, experiment, export),
    *(labels, models, predict, report, search, serve, shards, split, tags, train),
):
    main.add_command(command)
