"""The demo: the whole path from tags to measured taggers on the embedded corpus.

Every step is the public function that any user would call, and leaves what the commands of the same name leave:

```
demo.json               what is done, with times and figures
config.json             settings of the trainings, as `folksong train --config` takes them
corpus/                 the corpus (folksong.demo.corpus)
split.json              training, validation and test tracks, by artist
popular.labels.json     Model 1: the most popular tags of the training tracks, cleaned by the default recipe
filtered.labels.json    Model 2: those less the subjective ones
hybrid.labels.json      nearly all tags, grouped by what they are used with
learned.labels.json     what the taggers learn: the hybrid's genres, correlated ones merged, and the rest of Model 2
embeddings/             the recordings as a pretrained network hears them
shards/                 the recordings as log-mel spectrograms
runs/FRONT-END/         a tagger with tuned thresholds: `folksong predict` and `folksong evaluate` take this folder
```
"""

import json
import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from folksong.audio.catalogue import read_catalogue
from folksong.demo.corpus import Corpus, CorpusSettings, claim_folder, write_corpus
from folksong.embeddings.store import EMBEDDINGS
from folksong.errors import FolksongError, counted
from folksong.evaluation.evaluate import evaluate
from folksong.evaluation.tune_thresholds import tune_thresholds
from folksong.files import write_json
from folksong.labels import SUBJECTIVE_TAGS, drop, hybrid, keep_genres, propose_genres, top
from folksong.labels.space import LabelSpace
from folksong.metrics import roc_auc
from folksong.models.front_ends import LOG_MEL
from folksong.models.pretrained.extractors import get_extractor
from folksong.models.pretrained.weights import MissingWeightsError
from folksong.prediction import load_tagger
from folksong.prediction.embed_audio import embed_audio
from folksong.runs import CONFIG_NAME
from folksong.shards.writer import write_shards
from folksong.splits import make_split
from folksong.tags.cleaning.clean import clean
from folksong.tags.sources.delimited import read_artists
from folksong.tags.sources.read_tags import read_tags
from folksong.training.config import Config
from folksong.training.resume import resume
from folksong.training.train import train

logger = logging.getLogger(__name__)

FRONT_ENDS = (EMBEDDINGS, LOG_MEL)
PRETRAINED, CONTROL = "musicnn-mtt", "statistics"
"""What makes the embeddings: a network that heard MagnaTagATune, or where its weights were not fetched, no network."""
AS_PLAYED, AT_MOST = "genre, as played", "genre, at most"
FORMAT, VERSION = "folksong.demo", 2
NAME = "demo.json"
Found = dict[str, Any]
Meanings = Mapping[str, list[str]]  # label -> its kind and concept in the hidden truth


@dataclass(frozen=True)
class DemoSettings:
    """What decides a demo's results.

    Attributes:
        corpus: seed (of everything) and size of the corpus.
        n_labels: how many popular tags Model 1 takes.
        n_clusters: of the hybrid.
        window_seconds: length of a training window.
        fractions: shares of the training, validation and test tracks.
        epochs: of the training on spectrograms.
    """

    corpus: CorpusSettings = field(default_factory=CorpusSettings)
    n_labels: int = 60
    n_clusters: int = 80
    window_seconds: float = 3.0
    fractions: tuple[float, float, float] = (70.0, 15.0, 15.0)
    epochs: int = 20

    def __post_init__(self) -> None:
        if self.n_labels < 1 or self.epochs < 1:
            raise FolksongError("a demo needs at least 1 label and 1 epoch")
        if self.window_seconds > self.corpus.seconds:
            raise FolksongError(
                f"a window of {self.window_seconds:g} s is longer than the pieces of {self.corpus.seconds:g} s"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values, with the fingerprint of the corpus."""
        content: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return content | {"version": VERSION, "corpus_fingerprint": self.corpus.fingerprint()}


@dataclass(frozen=True)
class Stage:
    """A finished stage: what came out, and its time; `skipped` if an earlier call had finished it."""

    name: str
    detail: str
    seconds: float
    skipped: bool


@dataclass(frozen=True)
class DemoResult:
    """All that a demo found.

    Args:
        folder: of the demo.
        stages: in their order.
        kept: (name, number of labels, shares of all counts and of all tracks that are kept) of each label space.
        scores: front-end -> what its run reached on the test part, as `demo.json` has it.
        heard: clip -> what is played, its genre, and what each front-end's tagger says of it.
    """

    folder: Path
    stages: tuple[Stage, ...]
    kept: list[tuple[str, int, float, float]]
    scores: dict[str, Found]
    heard: dict[str, Found]

    def run(self, front_end: str) -> Path:
        """Return the folder of a front-end's run."""
        return self.folder / "runs" / front_end


def run_demo(
    out_dir: str | os.PathLike[str],
    settings: DemoSettings | None = None,
    *,
    seed: int = 0,
    jobs: int = -1,
    progress: bool = False,
    on_stage: Callable[[Stage], None] | None = None,
) -> DemoResult:
    """Generate the corpus, derive labels from its tags, train two taggers, measure them, and use them.

    One is a head on the embeddings of a pretrained network, the other a network that learns all from spectrograms.

    Finished stages are skipped when the same demo is run again, a training goes on where it was interrupted.

    `out_dir` is a new or empty folder, or one where the same demo was begun; `on_stage` is called with every stage that
    is finished.

    Raises:
        FolksongError: the folder holds something else.
        TrainingInterrupted: Ctrl-C in a training.
    """
    demo = _Demo(Path(out_dir), settings or DemoSettings(CorpusSettings(seed=seed)), jobs, progress)
    journal = _Journal(demo.folder, demo.settings.to_dict(), on_stage)
    journal.run("corpus", demo.make_corpus)
    labels = journal.run("labels", demo.make_labels)
    scores = {}
    for front_end, write_records in ((EMBEDDINGS, demo.embed), (LOG_MEL, demo.make_shards)):
        journal.run(demo.records(front_end).name, write_records)
        journal.run(f"{front_end} training", partial(demo.train, front_end))
        seconds = journal.stages[-1].seconds
        found = journal.run(f"{front_end} evaluation", partial(demo.measure, front_end, labels["meanings"]))
        scores[front_end] = {"seconds": seconds, **found}
    heard = journal.run("prediction", partial(demo.listen, labels["meanings"]))["heard"]
    return DemoResult(demo.folder, tuple(journal.stages), [*map(tuple, labels["kept"])], scores, heard)


class _Journal:
    """The finished stages of a demo in its ``demo.json``, with what each found out."""

    def __init__(
        self, folder: Path, settings: Mapping[str, Any], on_stage: Callable[[Stage], None] | None = None
    ) -> None:
        self.stages: list[Stage] = []
        self._path, self._on_stage = folder / NAME, on_stage
        new = {"format": FORMAT, "settings": dict(settings), "stages": {}}
        self._content = claim_folder(folder, NAME, new, ("a demo", "settings"))

    def run(self, name: str, work: Callable[[], Found]) -> Found:
        """Return what a stage found out, now or in an earlier call; the time of interrupted attempts is added up."""
        entry = self._content["stages"].setdefault(name, {"seconds": 0.0})
        skipped = "detail" in entry
        if not skipped:
            began = time.monotonic()
            found: Found = {}
            try:
                found = work()
            finally:
                entry["seconds"] = round(entry["seconds"] + time.monotonic() - began, 2)
                if found:
                    entry |= {"detail": found.pop("detail"), "found": found}
                write_json(self._path, self._content)
        self.stages.append(Stage(name, entry["detail"], entry["seconds"], skipped))
        if self._on_stage is not None:
            self._on_stage(self.stages[-1])
        return dict(entry["found"])


@dataclass(frozen=True)
class _Demo:
    """The stages; each returns what it found out as JSON values, with one line about it as ``detail``.

    Macro averages stand before their 95% intervals. ``by_kind`` holds, for each kind of label of the hidden truth,
    (number of labels, mean ROC-AUC); for genres also with what is really played in the place of the crowd's tags
    (``AS_PLAYED``), and what the truth itself reaches against the crowd's tags (``AT_MOST``).
    """

    folder: Path
    settings: DemoSettings
    jobs: int
    progress: bool

    @property
    def corpus(self) -> Corpus:
        return Corpus(self.folder / "corpus", self.settings.corpus)

    def run_folder(self, front_end: str) -> Path:
        return self.folder / "runs" / front_end

    def records(self, front_end: str) -> Path:
        return self.folder / ("shards" if front_end == LOG_MEL else "embeddings")

    def make_corpus(self) -> Found:
        settings = self.settings.corpus
        corpus = write_corpus(self.corpus.root, settings, jobs=self.jobs, progress=self.progress)
        truth = corpus.read_truth()
        artists, minutes = {row["artist"] for row in truth}, len(truth) * settings.seconds / 60
        return {"detail": f"{len(truth)} mp3 files, {minutes:.0f} minutes by {len(artists)} artists"}

    def make_labels(self) -> Found:
        """Clean the tags, split the tracks by artist, and build label spaces from the training tracks only."""
        settings, corpus = self.settings, self.corpus
        raw = read_tags(corpus.tags_path)
        cleaned = clean(raw)
        table, artists = cleaned.table, read_artists(corpus.tracks_csv)
        split = make_split(table, fractions=settings.fractions, artists=artists, seed=settings.corpus.seed)
        split.write(self.folder / "split.json")
        training, aliases = table.select_tracks(split.training), cleaned.log.aliases(table.tags)
        provenance = {"split_sha256": split.sha256()}
        popular = top(training, settings.n_labels, aliases=aliases, provenance=provenance)
        filtered = drop(popular, SUBJECTIVE_TAGS, ignore_case=True)
        spaces = {"popular": popular, "filtered": filtered}
        try:
            spaces["hybrid"] = hybrid(
                training, None, n_clusters=settings.n_clusters, across_facets=True, provenance=provenance
            )
            choice = propose_genres(spaces["hybrid"], training).choice
            spaces["learned"] = _joined(keep_genres(spaces["hybrid"], choice, training), filtered, aliases)
        except FolksongError as error:
            logger.warning("the tags of this corpus are too few to group (%s)", error)
            spaces["learned"] = filtered
        kept = []
        for name, space in spaces.items():
            space.write(self.folder / f"{name}.labels.json")
            coverage = space.coverage(table)
            kept.append([name, len(space), coverage.counts, coverage.tracks])
        learned = spaces["learned"].names
        meanings = {
            final: [row["kind"], row["concept"]]
            for row in reversed(corpus.read_truth("truth/tags.csv"))
            if (final := cleaned.log.final(row["tag"])) in learned
        }
        return {
            "detail": f"{counted(raw.n_tags, 'tag')}, {table.n_tags:,} after cleaning; "
            f"{counted(len(learned), 'label')} to learn",
            "kept": kept,
            "meanings": meanings,
        }

    def embed(self) -> Found:
        try:
            get_extractor(PRETRAINED)
            model = PRETRAINED
        except MissingWeightsError as error:
            logger.warning("%s; the demo hears with statistics of the spectrogram instead", error)
            model = CONTROL
        found = embed_audio(
            self.corpus.tracks_csv, self.records(EMBEDDINGS), model, jobs=self.jobs, progress=self.progress
        )
        return {
            "detail": f"{counted(len(found.track_ids), 'recording')} by {model}, "
            f"{counted(found.space.dimensions, 'number')} each"
        }

    def make_shards(self) -> Found:
        manifest = write_shards(
            read_catalogue(self.corpus.tracks_csv),
            self.records(LOG_MEL),
            read_tags(self.corpus.tags_path),
            audio_format=LOG_MEL,
            jobs=self.jobs,
            seed=self.settings.corpus.seed,
            progress=self.progress,
        )
        return {"detail": f"{counted(manifest.n_tracks, 'record')} in {counted(len(manifest.files), 'file')}"}

    def train(self, front_end: str) -> Found:
        """Train, or go on, with short windows, a small batch and a quick fall of the rate."""
        run, shards, settings = self.run_folder(front_end), self.records(front_end), self.settings
        if (run / CONFIG_NAME).exists():
            finished = resume(run, shards=shards, progress=self.progress)
        else:
            of_training = {
                "batch_size": 16,
                "window_length": settings.window_seconds,
                "split": list(settings.fractions),
                "early_stop_patience": 12,
                "reduceLRoP_patience": 4,
            }
            config = Config.from_dict({"model-training": of_training, "tags": {"top": settings.n_labels}})
            write_json(self.folder / "config.json", config.to_dict())
            finished = train(
                front_end,
                shards,
                out=run,
                config=config,
                labels=self.folder / "learned.labels.json",
                tags=self.corpus.tags_path,
                split=self.folder / "split.json",
                epochs=settings.epochs,
                multi_tag=True,
                seed=settings.corpus.seed,
                progress=self.progress,
            )
        best, n_epochs = finished.best_row(), len(finished.history())
        which = f"best of {counted(n_epochs, 'epoch')}: {best['epoch']}, " if n_epochs > 1 else ""
        return {"detail": f"{which}validation PR-AUC {best['macro_pr_auc']:.3f}"}

    def measure(self, front_end: str, meanings: Meanings) -> Found:
        """Tune thresholds on the validation part and measure on the test part."""
        run, shards = self.run_folder(front_end), self.records(front_end)
        tune_thresholds(run, shards=shards)
        measured = evaluate(run, shards=shards, tags=self.corpus.tags_path)
        by_kind: dict[str, list[float]] = {}
        for label in measured.labels:
            if not math.isnan(label.roc_auc.value):
                by_kind.setdefault(meanings[label.name][0], []).append(label.roc_auc.value)
        played = {row["track_id"]: row["genre"] for row in self.corpus.read_truth()}
        found = measured.tracks
        for column, name in enumerate(found.labels):
            kind, concept = meanings[name]
            truth = np.array([[played[track] == concept] for track in found.track_ids])
            scores, crowd = found.scores[:, [column]], found.targets[:, [column]]
            if kind == "genre" and len(np.unique(truth)) == len(np.unique(crowd)) == 2:
                by_kind.setdefault(AS_PLAYED, []).append(float(roc_auc(truth, scores)[0]))
                by_kind.setdefault(AT_MOST, []).append(float(roc_auc(crowd, truth.astype(np.float32))[0]))
        roc, pr = measured.macro_roc_auc, measured.macro_pr_auc
        return {
            "detail": f"{measured.n_tracks} test tracks, macro ROC-AUC {roc.value:.3f}",
            "n_tracks": measured.n_tracks,
            "macro_roc_auc": [roc.value, roc.low, roc.high],
            "macro_pr_auc": [pr.value, pr.low, pr.high],
            "chance": pr.chance,
            "lift": pr.lift,
            "by_kind": {kind: [len(values), sum(values) / len(values)] for kind, values in by_kind.items()},
        }

    def listen(self, meanings: Meanings) -> Found:
        """Let both taggers hear the clips whose artists are not in the corpus."""
        truth = {row["file"]: row for row in self.corpus.read_truth("unseen/truth.csv")}
        heard: dict[str, dict[str, Any]] = {
            path.name: {"truth": _in_words(truth[path.name]), "genre": truth[path.name]["genre"]}
            for path in self.corpus.unseen
        }
        for front_end in FRONT_ENDS:
            tagger = load_tagger(self.run_folder(front_end))
            for path in self.corpus.unseen:
                found = tagger.predict(path)
                genres = [
                    concept
                    for label, _ in found.ranked()
                    for kind, concept in [meanings[label]]
                    if kind == "genre"
                ]
                labels = found.ranked(5, tagger.thresholds) or found.ranked(1)
                heard[path.name][front_end] = {
                    "labels": [list(pair) for pair in labels],
                    "genre": genres[0] if genres else "",
                }
        return {
            "detail": f"{counted(len(heard), 'clip')} by artists that the taggers never heard",
            "heard": heard,
        }


def _joined(genres: LabelSpace, others: LabelSpace, aliases: Mapping[str, str]) -> LabelSpace:
    """Return the genres, and those of the other labels whose tags none of them holds."""
    taken = {tag for label in genres.labels for tag in label.tags}
    labels = [*genres.labels, *(label for label in others.labels if taken.isdisjoint(label.tags))]
    members = {tag for label in labels for tag in label.tags}
    spelled = {raw: genres.aliases.get(tag, tag) for raw, tag in aliases.items()} | dict(genres.aliases)
    kept = {raw: tag for raw, tag in spelled.items() if tag in members and raw not in members}
    return LabelSpace(tuple(labels), kept, {**others.provenance, "builder": "demo"})


def _in_words(row: dict[str, str]) -> str:
    facts = [row["genre"], row["subgenre"], *row["moods"].split(";"), row["era"], f"voice {row['voice']}"]
    return ", ".join(fact.replace("_", " ") for fact in facts)
