"""The demo: the whole path from tags to measured taggers on the embedded corpus.

Every step is the public function that any user would call, and leaves what the commands of the same name leave:

```
demo.json               what is done, with times and figures
config.json             settings of the trainings, as `folksong train --config` takes them
corpus/                 the corpus (folksong.demo.corpus)
split.json              training, validation and test tracks, by artist
popular.labels.json     Model 1: the most popular tags of the training tracks
filtered.labels.json    Model 2: those less the subjective ones
shards/FRONT-END/       the recordings, encoded once
runs/FRONT-END/         a tagger: `folksong predict` and `folksong evaluate` take this folder
```
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from folksong.demo.corpus import Corpus, CorpusSettings, write_corpus
from folksong.demo.journal import Journal, Stage
from folksong.errors import FolksongError
from folksong.files import write_json

FRONT_ENDS = ("log-mel-spectrogram", "waveform")


@dataclass(frozen=True)
class DemoSettings:
    """What decides a demo's results.

    Attributes:
        corpus: seed (of everything) and size of the corpus.
        n_labels: how many popular tags Model 1 takes.
        window_seconds: length of a training window.
        fractions: shares of the training, validation and test tracks.
        epochs: of each front-end's training.
    """

    corpus: CorpusSettings = field(default_factory=CorpusSettings)
    n_labels: int = 60
    window_seconds: float = 3.0
    fractions: tuple[float, float, float] = (60.0, 20.0, 20.0)
    epochs: tuple[tuple[str, int], ...] = (("log-mel-spectrogram", 10), ("waveform", 11))

    def __post_init__(self) -> None:
        if self.n_labels < 1 or any(number < 1 for _, number in self.epochs):
            raise FolksongError("a demo needs at least 1 label and 1 epoch")
        if self.window_seconds > self.corpus.seconds:
            raise FolksongError(
                f"a window of {self.window_seconds:g} s is longer than the pieces of {self.corpus.seconds:g} s"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values, with the fingerprint of the corpus."""
        return {
            "corpus": {**asdict(self.corpus), "genres": list(self.corpus.genres)},
            "corpus_fingerprint": self.corpus.fingerprint(),
            "n_labels": self.n_labels,
            "window_seconds": self.window_seconds,
            "fractions": list(self.fractions),
            "epochs": dict(self.epochs),
        }


@dataclass(frozen=True)
class Kept:
    """How much of the crowd's information a label space keeps: shares of all counts and of all tracks."""

    model: str
    n_labels: int
    counts: float
    tracks: float


@dataclass(frozen=True)
class Score:
    """What one run reached on the test part; macro averages with their 95% intervals.

    `by_kind` holds, for each kind of label of the hidden truth, (number of labels, mean ROC-AUC).
    """

    front_end: str
    run: Path
    n_tracks: int
    roc_auc: tuple[float, float, float]
    pr_auc: tuple[float, float, float]
    chance: float
    seconds: float
    by_kind: dict[str, tuple[int, float]]

    @property
    def lift(self) -> float:
        """PR-AUC divided by what chance gives."""
        return self.pr_auc[0] / self.chance


@dataclass(frozen=True)
class Heard:
    """What a tagger says of a clip that it never saw, beside what is really played."""

    file: Path
    truth: str
    labels: dict[str, list[tuple[str, float]]]


@dataclass(frozen=True)
class DemoResult:
    """All that a demo found."""

    folder: Path
    stages: tuple[Stage, ...]
    kept: tuple[Kept, ...]
    scores: tuple[Score, ...]
    heard: tuple[Heard, ...]


def run_demo(
    out_dir: str | os.PathLike[str],
    settings: DemoSettings | None = None,
    *,
    seed: int = 0,
    jobs: int = -1,
    progress: bool = False,
    on_stage: Callable[[Stage], None] | None = None,
) -> DemoResult:
    """Generate the corpus, derive labels from its tags, train both front-ends, measure them, and use them.

    Finished stages are skipped when the same demo is run again, a training goes on where it was interrupted.

    Args:
        out_dir: a new or empty folder, or one where the same demo was begun.
        settings: sizes; None takes the defaults with `seed`.
        seed: used if no settings are given.
        jobs: processes for the corpus and the shards; -1 uses all cores.
        progress: show progress bars.
        on_stage: called with every stage that is finished.

    Raises:
        FolksongError: the folder holds something else.
        TrainingInterrupted: Ctrl-C in a training.
    """
    settings = settings or DemoSettings(CorpusSettings(seed=seed))
    folder = Path(out_dir)
    journal = Journal(folder, settings.to_dict(), on_stage)
    corpus = _make_corpus(folder, settings, journal, jobs, progress)
    kept = _make_labels(folder, corpus, settings, journal)
    scores = []
    for front_end in FRONT_ENDS:
        _make_shards(folder, corpus, front_end, journal, jobs, progress)
        run = _make_run(folder, corpus, front_end, settings, journal, progress)
        scores.append(_measure(folder, corpus, front_end, run, journal))
    heard = _listen(folder, corpus, journal)
    return DemoResult(folder, tuple(journal.stages), kept, tuple(scores), heard)


def _make_corpus(folder: Path, settings: DemoSettings, journal: Journal, jobs: int, progress: bool) -> Corpus:
    corpus = Corpus(folder / "corpus", settings.corpus)
    if journal.found("corpus") is None:
        with journal.stage("corpus") as found:
            corpus = write_corpus(folder / "corpus", settings.corpus, jobs=jobs, progress=progress)
            truth = corpus.read_truth()
            artists, minutes = {row["artist"] for row in truth}, len(truth) * settings.corpus.seconds / 60
            found["detail"] = f"{len(truth)} mp3 files, {minutes:.0f} minutes by {len(artists)} artists"
    return corpus


def _make_labels(folder: Path, corpus: Corpus, settings: DemoSettings, journal: Journal) -> tuple[Kept, ...]:
    """Read the tags, split the tracks by artist, and build Models 1 and 2 from the training tracks only."""
    from folksong.labels.top import SUBJECTIVE_TAGS, drop, top
    from folksong.splits import make_split
    from folksong.tags.sources.delimited import read_artists
    from folksong.tags.sources.read_tags import read_tags

    known = journal.found("labels")
    if known is None:
        with journal.stage("labels") as found:
            table = read_tags(corpus.tags_path)
            artists = read_artists(corpus.tracks_csv)
            split = make_split(
                table, fractions=settings.fractions, artists=artists, seed=settings.corpus.seed
            )
            split.write(folder / "split.json")
            popular = top(
                table.select_tracks(split.training),
                settings.n_labels,
                provenance={"split_sha256": split.sha256()},
            )
            spaces = {"popular": popular, "filtered": drop(popular, SUBJECTIVE_TAGS)}
            kept = []
            for name, space in spaces.items():
                space.write(folder / f"{name}.labels.json")
                coverage = space.coverage(table)
                kept.append([name, len(space), coverage.counts, coverage.tracks])
            found["kept"] = kept
            found["detail"] = (
                f"{table.n_counts:,} counts of {table.n_tags:,} tags; {len(spaces['popular'])} popular, "
                f"{len(spaces['filtered'])} after the filter"
            )
        known = found
    return tuple(Kept(*row) for row in known["kept"])


def _make_shards(
    folder: Path, corpus: Corpus, front_end: str, journal: Journal, jobs: int, progress: bool
) -> None:
    from folksong.audio.catalogue import read_catalogue
    from folksong.shards.writer import write_shards
    from folksong.tags.sources.read_tags import read_tags

    name = f"{front_end} shards"
    if journal.found(name) is None:
        with journal.stage(name) as found:
            manifest = write_shards(
                read_catalogue(corpus.tracks_csv),
                folder / "shards" / front_end,
                read_tags(corpus.tags_path),
                audio_format=front_end,
                jobs=jobs,
                seed=corpus.settings.seed,
                progress=progress,
            )
            found["detail"] = f"{manifest.n_tracks} records in {len(manifest.files)} files"


def _make_run(
    folder: Path,
    corpus: Corpus,
    front_end: str,
    settings: DemoSettings,
    journal: Journal,
    progress: bool,
) -> Path:
    from folksong.runs import CONFIG_NAME
    from folksong.training.config import Config
    from folksong.training.resume import resume
    from folksong.training.train import train

    run, name = folder / "runs" / front_end, f"{front_end} training"
    if journal.found(name) is None:
        with journal.stage(name) as found:
            if (run / CONFIG_NAME).exists():
                finished = resume(run, shards=folder / "shards" / front_end, progress=progress)
            else:
                config = Config.from_dict(training_config(settings))
                write_json(folder / "config.json", config.to_dict())
                finished = train(
                    front_end,
                    folder / "shards" / front_end,
                    out=run,
                    config=config,
                    labels=folder / "filtered.labels.json",
                    tags=corpus.tags_path,
                    split=folder / "split.json",
                    epochs=dict(settings.epochs)[front_end],
                    multi_tag=True,
                    seed=settings.corpus.seed,
                    progress=progress,
                )
            best = finished.best_row()
            found["detail"] = (
                f"best of {len(finished.history())} epochs: {best['epoch']}, validation PR-AUC "
                f"{best['macro_pr_auc']:.3f}"
            )
    return run


def training_config(settings: DemoSettings) -> dict[str, Any]:
    """Return the settings file of the demo's trainings: short windows, a small batch, a quick fall of the rate."""
    return {
        "model-training": {
            "batch_size": 16,
            "window_length": settings.window_seconds,
            "split": list(settings.fractions),
            "early_stop_patience": 12,
            "reduceLRoP_patience": 4,
        },
        "tags": {"top": settings.n_labels},
    }


def _measure(folder: Path, corpus: Corpus, front_end: str, run: Path, journal: Journal) -> Score:
    from folksong.evaluation.evaluate import evaluate

    name = f"{front_end} evaluation"
    known = journal.found(name)
    if known is None:
        with journal.stage(name) as found:
            measured = evaluate(run, shards=folder / "shards" / front_end, tags=corpus.tags_path)
            kinds = {row["tag"]: row["kind"] for row in corpus.read_tag_truth()}
            by_kind: dict[str, list[float]] = {}
            for label in measured.labels:
                if label.roc_auc.value == label.roc_auc.value:  # not NaN
                    by_kind.setdefault(kinds[label.name], []).append(label.roc_auc.value)
            roc, pr = measured.macro_roc_auc, measured.macro_pr_auc
            found["n_tracks"] = measured.n_tracks
            found["roc_auc"], found["pr_auc"] = [roc.value, roc.low, roc.high], [pr.value, pr.low, pr.high]
            found["chance"] = pr.chance
            found["by_kind"] = {
                kind: [len(values), sum(values) / len(values)] for kind, values in by_kind.items()
            }
            found["detail"] = f"{measured.n_tracks} test tracks, macro ROC-AUC {roc.value:.3f}"
        known = found
    training = next(stage for stage in journal.stages if stage.name == f"{front_end} training")
    return Score(
        front_end,
        run,
        known["n_tracks"],
        _three(known["roc_auc"]),
        _three(known["pr_auc"]),
        known["chance"],
        training.seconds,
        {kind: (int(number), float(mean)) for kind, (number, mean) in known["by_kind"].items()},
    )


def _three(values: list[float]) -> tuple[float, float, float]:
    value, low, high = values
    return float(value), float(low), float(high)


def _listen(folder: Path, corpus: Corpus, journal: Journal) -> tuple[Heard, ...]:
    """Let both taggers hear the clips whose artists are not in the corpus."""
    from folksong.prediction import load_tagger

    known = journal.found("prediction")
    if known is None:
        with journal.stage("prediction") as found:
            heard: dict[str, dict[str, Any]] = {path.name: {} for path in corpus.unseen}
            for front_end in FRONT_ENDS:
                tagger = load_tagger(folder / "runs" / front_end)
                for path in corpus.unseen:
                    heard[path.name][front_end] = tagger.tag(path, top=5)
            found["heard"] = heard
            found["detail"] = f"{len(heard)} clips by artists that the taggers never heard"
        known = found
    truth = {row["file"]: row for row in corpus.read_unseen_truth()}
    return tuple(
        Heard(
            corpus.root / "unseen" / name,
            _in_words(truth[name]),
            {front_end: [(label, score) for label, score in pairs] for front_end, pairs in labels.items()},
        )
        for name, labels in known["heard"].items()
    )


def _in_words(row: dict[str, str]) -> str:
    facts = [row["genre"], row["subgenre"], *row["moods"].split(";"), row["era"], f"voice {row['voice']}"]
    return ", ".join(fact.replace("_", " ") for fact in facts)
