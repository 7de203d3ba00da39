"""Change every kind of file that folksong reads, thousands of times: no traceback, no hang, no lie.

    python benchmarks/fuzz_files.py [--mutations 2000] [--only KIND ...] [--seed 0] [--keep FOLDER]

A tiny corpus, its shards and a tiny run are made first. Then each of their files is changed by Hypothesis: values of
JSON replaced by others, keys lost or doubled (half of the signed files are signed again, as somebody who knows how
would); bytes of any file flipped, cut, repeated, inserted. After each change the file is read as its command reads
it. What may come of it is a `FolksongError`, or a result; where the run or the folder holds a hash of the file, the
result must be the unchanged one. Each kind runs in a process of its own with a limit of 1 GiB of memory above its
start and 10 s a reading. Exit code 1 if anything broke the rules.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import os
import pickle
import resource
import runpy
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import polars as pl
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import folksong as fs
from folksong.audio import workers
from folksong.audio.msd import read_duplicates, read_mismatches, read_track_list
from folksong.demo.corpus import Corpus, CorpusSettings, write_corpus
from folksong.embeddings.import_embeddings import import_embeddings
from folksong.embeddings.store import IDS_NAME, VALUES_NAME, read_embeddings
from folksong.evaluation.analyses import read_tag_groups, read_truth
from folksong.evaluation.evaluate import read_evaluation
from folksong.evaluation.groups import open_runs
from folksong.evaluation.scores import ScoredTracks
from folksong.experiment import read_plan, shipped_plan
from folksong.export.folder import export_folder
from folksong.export.onnx import export_onnx
from folksong.files import sha256_json, write_json
from folksong.labels.analysis.pairs import read_pairs
from folksong.labels.dictionary import read_tag_dictionary
from folksong.labels.genres import read_genres
from folksong.models.pretrained.onnx import OnnxExtractor
from folksong.models.pretrained.weights import read_keras_weights, read_tf_checkpoint
from folksong.shards.index import HASH_KEY, read_index
from folksong.shards.reader import ShardReader
from folksong.tags.cleaning.change_log import ChangeLog
from folksong.tags.cleaning.merges import read_merges, write_merges
from folksong.tags.cleaning.recipe import default_recipe_text, read_recipe
from folksong.tags.cleaning.spelling import variants
from folksong.tags.facets import read_facets
from folksong.tags.sources.delimited import read_artists
from folksong.tags.tag_lists import read_remove_list, read_track_ids

CORPUS = CorpusSettings(per_subgenre=3, unseen_per_genre=0, seconds=2.0)
LIMIT_SECONDS = 10
LIMIT_BYTES = 1 << 30

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["../../etc/passwd", "/dev/zero", "NaN", "1e999", "\x1b[2J", "\u202e", "a" * 10_000])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)


@dataclass(frozen=True)
class Kind:
    """A file, how it is read, and whether a hash could tell that it was changed."""

    path: Path
    read: Callable[[], Any]
    hashed: bool = False


class KeptWorkers(workers.Workers):
    """The process that guards a reading, kept for the next one, a new one where it dies: to start it takes longest."""

    def __exit__(self, *_: object) -> None:
        """Leave it running; it ends with this process."""


class OverTimeError(BaseException):
    """A reading took too long; no handler of ordinary errors may catch it."""


def change_json(text: str, draw: Any) -> bytes:
    """Replace, drop or double one value somewhere in a JSON document."""
    document = json.loads(text)
    place, holder, key = document, None, None
    while isinstance(place, dict | list) and place and (holder is None or draw(st.integers(0, 3))):
        holder = place
        key = draw(st.sampled_from(list(place) if isinstance(place, dict) else range(min(len(place), 50))))
        place = holder[key]
    if holder is None:
        return json.dumps(draw(VALUES)).encode()
    action = draw(st.integers(0, 3))
    if action == 0:
        del holder[key]
    elif action == 1 and isinstance(holder, list):
        holder.insert(key, place)
    else:
        holder[key] = draw(VALUES)
    return json.dumps(document).encode()


def signed_again(path: Path) -> bool:
    """Sign a changed JSON object anew, if it was signed (a manifest's hash may be left out)."""
    content = json.loads(path.read_bytes())
    if not isinstance(content, dict) or not content.keys() & {"sha256", HASH_KEY}:
        return False
    unsigned = {key: value for key, value in content.items() if key not in ("sha256", HASH_KEY)}
    signature = {} if HASH_KEY in content else {"sha256": sha256_json(unsigned)}
    path.write_text(json.dumps({**unsigned, **signature}))
    return True


def change_bytes(content: bytes, draw: Any) -> bytes:
    """Flip, cut, drop, repeat or insert bytes in one to four places."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.sampled_from([1, 1, 2, 4, 8, 64, 4096]))
        match draw(st.integers(0, 4)):
            case 0:
                for position in range(start, min(start + length, len(data))):
                    data[position] ^= draw(st.integers(1, 255)) if length < 9 else 0x5A
            case 1:
                del data[start:]
            case 2:
                del data[start : start + length]
            case 3:
                data[start:start] = data[start : start + length] * draw(st.sampled_from([1, 2, 100]))
            case _:
                data[start:start] = draw(
                    st.binary(min_size=1, max_size=16) | st.sampled_from([b"\n", b"\0", b'"', b"\t", b"\r"])
                )
    return bytes(data)


def fuzz(name: str, kind: Kind, settings_: argparse.Namespace) -> tuple[dict[str, int], dict[str, str]]:
    """Change one file again and again; return how often each outcome came, and an example of each bad one."""
    warnings.simplefilter("ignore")
    # First weights take most of the time of reading a run, and give way to those of its checkpoint.
    torch.nn.init.trunc_normal_ = lambda tensor, *_, **__: tensor
    original = kind.path.read_bytes()
    right = kind.read()
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + LIMIT_BYTES, resource.RLIM_INFINITY))
    # What is read in a guarded process has the same limit there, above what that one starts with.
    kept = KeptWorkers(1)
    workers.Workers = lambda *_, **__: kept
    limited = (
        "import h5py, resource as r; n = int(open('/proc/self/statm').read().split()[0]) * r.getpagesize()"
    )
    limit = f"{limited} + {LIMIT_BYTES}; r.setrlimit(r.RLIMIT_AS, (n, n)); serve()"
    workers._START = workers._START.replace("serve()", limit)
    outcomes: Counter[str] = Counter()
    examples: dict[str, str] = {}

    def too_long(*_: object) -> None:
        raise OverTimeError

    signal.signal(signal.SIGALRM, too_long)

    @seed(settings_.seed)
    @settings(max_examples=settings_.mutations, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.data())
    def one(data: st.DataObject) -> None:
        is_json = kind.path.suffix == ".json" and data.draw(st.integers(0, 3))
        changed = change_json(original.decode(), data.draw) if is_json else change_bytes(original, data.draw)
        kind.path.write_bytes(changed)
        may_differ = not kind.hashed or (is_json and data.draw(st.booleans()) and signed_again(kind.path))
        signal.alarm(LIMIT_SECONDS)
        try:
            result = kind.read()
            wrong = not may_differ and result != right
            outcome = "LIE: another result, though a hash could tell" if wrong else "read"
        except fs.FolksongError:
            outcome = "refused"
        except OverTimeError:
            outcome = "HANG"
        except MemoryError:
            outcome = "MEMORY"
        except BaseException as error:  # a panic of Rust is no Exception
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            place = traceback.extract_tb(error.__traceback__)[-1]
            outcome = f"TRACEBACK: {type(error).__name__} at {Path(place.filename).name}:{place.name}"
            examples.setdefault(outcome, traceback.format_exc()[-1500:])
        finally:
            signal.alarm(0)
        outcomes[outcome] += 1
        if outcome not in {"read", "refused"} and outcomes[outcome] == 1 and settings_.keep is not None:
            settings_.keep.mkdir(parents=True, exist_ok=True)
            name_ = f"{name.replace(' ', '-')}.{len(examples)}{kind.path.suffix}"
            (settings_.keep / name_).write_bytes(changed)

    try:
        one()
    finally:
        kind.path.write_bytes(original)
    return dict(outcomes), examples


def make_files(root: Path) -> None:
    """Make a corpus, its shards, a run, and a file of every other kind."""
    corpus = write_corpus(root / "corpus", CORPUS)
    table = fs.read_tags(corpus.tags_path)
    space = fs.labels.top(table, 10)
    space.write(root / "space.labels.json")
    fs.splits.make_split(table).write(root / "tracks.split.json")
    fs.write_shards(
        fs.read_catalogue(corpus.tracks_csv), root / "shards", tags=table, audio_format="waveform"
    )
    run = make_run(root, root / "shards", space)
    export_folder(run, root / "exported")
    export_onnx(run, root / "tagger.onnx")
    rows = [
        f"{track},{tag},{weight:g}\n"
        for track in table.track_ids[:20]
        for tag, weight in table.tags_of(track)
    ]
    (root / "tags.csv").write_text("track_id,tag,weight\n" + "".join(rows))
    (root / "wide.csv").write_text(
        "clip_id,rock,jazz\n" + "".join(f"{n},{n % 2},{n % 3 % 2}\n" for n in range(30))
    )
    (root / "vectors.txt").write_text("".join(f"word{n} {n}.5 -1 {n}e-3\n" for n in range(50)))
    (root / "tags_dict_3.pkl").write_bytes(pickle.dumps({"rock": 0, "jazz": 2, "hip hop": 0}, protocol=4))
    (root / "genres.txt").write_text("[0, 2]\n[[0, 2]]\n")
    (root / "recipe.toml").write_text(default_recipe_text())
    (root / "plan.toml").write_text(shipped_plan("all-models"))
    write_merges(variants(table), root / "merges.tsv")
    fs.clean(table, root / "recipe.toml").log.write(root / "changes.json")
    make_tables(root)
    make_networks(root)


def make_tables(root: Path) -> None:
    """Make lists and tables of the other kinds, from what is there."""
    frame = pl.read_csv(root / "tags.csv")
    frame.write_parquet(root / "tags.parquet")
    (root / "tags.csv.gz").write_bytes(gzip.compress((root / "tags.csv").read_bytes()))
    (root / "ragged.tsv").write_text("TRACK_ID\tPATH\tTAGS\nt1\t1.mp3\trock\tpop\nt2\t2.mp3\tfolk\n")
    (root / "artists.csv").write_text("track_id,artist_id\n" + "".join(f"t{n},a{n % 5}\n" for n in range(20)))
    (root / "facets.tsv").write_text("tag\tfacet\nrock\tgenre\nhappy\tmood\n90s\tera\n")
    (root / "pairs.tsv").write_text("same\thip hop\thip-hop\napart\trock\tjazz\n")
    (root / "truth.csv").write_text("tag,concept,kind\nrock,rock,genre\nrawk,rock,genre\n")
    (root / "remove.txt").write_text("# opinions\nawesome\ncool\n")
    (root / "ids.txt").write_text("t1\nt2\n#3\n")
    (root / "mismatches.txt").write_text(
        "ERROR: <SOUMNSI12AB0182807 TRMMGKQ128F9325E10> a  -  b  !=  c  -  d\n"
    )
    (root / "duplicates.txt").write_text("%0 a - b\nTRMMGKQ128F9325E10<SEP>x\nTRMMGKQ128F9325E11<SEP>y\n")
    with closing(sqlite3.connect(root / "track_metadata.db")) as database:
        database.execute("CREATE TABLE songs (track_7digitalid INT, track_id TEXT, artist_id TEXT)")
        database.executemany(
            "INSERT INTO songs VALUES (?, ?, ?)", [(n, f"TR{n}", f"AR{n % 3}") for n in range(20)]
        )
        database.commit()


def make_networks(root: Path) -> None:
    """Make files of numbers: embeddings as others keep them, word vectors, networks of other programs."""
    rows = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    ids = [f"t{n}" for n in range(len(rows))]
    np.save(root / "array.npy", rows)
    write_json(root / "array.json", ids)
    np.savez(root / "rows.npz", track_ids=np.array(ids), embeddings=rows)
    lines = [",".join([name, *map(str, row)]) for name, row in zip(ids, rows.tolist(), strict=True)]
    (root / "rows.csv").write_text("track_id,a,b,c,d\n" + "\n".join(lines))
    attributes = "".join(f"@attribute {name} numeric\n" for name in "abcd") + "@attribute rock {0,1}\n@data\n"
    (root / "rows.arff").write_text(f"@relation r\n{attributes}1,2,3,4,0\n{{0 1.5,4 1}}\n")
    pl.DataFrame({"track_id": ids, "embedding": rows.tolist()}).write_parquet(root / "rows.parquet")
    import_embeddings(root / "rows.npz", root / "embeddings")
    head = f"{len(rows)} {rows.shape[1]}\n".encode()
    (root / "vectors.bin").write_bytes(
        head + b"".join(f"w{n} ".encode() + row.tobytes() for n, row in enumerate(rows))
    )
    with h5py.File(root / "keras.h5", "w") as file:
        file.attrs["layer_names"] = [b"dense1_back"]
        layer = file.create_group("dense1_back")
        layer.attrs["weight_names"] = [b"kernel", b"bias"]
        layer["kernel"], layer["bias"] = rows, rows[0]
    write_tf_checkpoint = runpy.run_path(str(Path(__file__).parents[1] / "tests" / "conftest.py"))[
        "write_tf_checkpoint"
    ]
    write_tf_checkpoint(root / "epoch3-1", {"dense1_back/kernel": rows, "dense1_back/bias": rows[0]})
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("ReduceMean", ["x"], ["y"], axes=[1], keepdims=1)],
        "mean",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["windows", 1600])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["windows", 1])],
    )
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8),
        root / "net.onnx",
    )
    (root / "net.toml").write_text(
        'model = "mean"\nsample_rate = 16000\ninput = "samples"\naxes = ["window", "sample"]\nwindow = 1600\n'
    )
    run = root / "experiment" / "runs" / "cell"
    shutil.copytree(root / "run", run)
    cell = {"run": "runs/cell", "space": "top", "loss": "bce", "done": True}
    write_json(
        root / "experiment" / "experiment.json",
        {"format": "folksong.experiment", "version": 1, "cells": [cell]},
    )


def make_run(root: Path, shards: Path, space: fs.LabelSpace) -> fs.Run:
    """Train a tiny network for one epoch."""
    config = {
        "model": {"n_dense_units": 16, "n_filters": 2},
        "data": {"window_seconds": 1.5, "batch_size": 8, "fractions": [60, 20, 20]},
        "schedule": {"epochs": 1},
    }
    (root / "config.json").write_text(json.dumps(config))
    run = fs.train("waveform", shards, config=root / "config.json", labels=space, out=root / "run")
    fs.evaluate(run)
    fs.tune_thresholds(run)
    return run


def kinds_of(root: Path) -> dict[str, Kind]:
    """Return every kind of file with its reader."""
    corpus, shards, run, exported = (
        Corpus(root / "corpus", CORPUS),
        root / "shards",
        root / "run",
        root / "exported",
    )
    shard = sorted(shards.glob("*.tfrecord"))[0]
    song = sorted(corpus.root.glob("**/*.mp3"))[0]

    def tagged() -> Any:
        tagger = fs.load_tagger(run)
        return [label for label, _ in tagger.tag(song)]

    return {
        "tag table, long CSV": Kind(root / "tags.csv", lambda: fs.read_tags(root / "tags.csv")),
        "tag table, wide CSV": Kind(root / "wide.csv", lambda: fs.read_tags(root / "wide.csv")),
        "tag table, SQLite": Kind(corpus.tags_path, lambda: fs.read_tags(corpus.tags_path)),
        "catalogue": Kind(corpus.tracks_csv, lambda: fs.read_catalogue(corpus.tracks_csv)),
        "label space": Kind(root / "space.labels.json", lambda: fs.LabelSpace.read(root / "space.labels.json")),
        "split": Kind(root / "tracks.split.json", lambda: fs.Split.read(root / "tracks.split.json")),
        "word vectors": Kind(root / "vectors.txt", lambda: fs.read_vectors(root / "vectors.txt")),
        "dictionary pickle": Kind(root / "tags_dict_3.pkl", lambda: read_tag_dictionary(root / "tags_dict_3.pkl")),
        "genres.txt": Kind(root / "genres.txt", lambda: read_genres(root / "genres.txt")),
        "cleaning recipe": Kind(root / "recipe.toml", lambda: read_recipe(root / "recipe.toml")),
        "merges": Kind(root / "merges.tsv", lambda: read_merges(root / "merges.tsv")),
        "change log": Kind(root / "changes.json", lambda: ChangeLog.read(root / "changes.json")),
        "plan": Kind(root / "plan.toml", lambda: read_plan(root / "plan.toml")),
        "settings": Kind(root / "config.json", lambda: fs.Config.read(root / "config.json")),
        "manifest": Kind(shards / "manifest.json", lambda: ShardReader(shards).audio(0).tobytes(), hashed=True),
        "shard": Kind(shard, lambda: ShardReader(shards).audio(0).tobytes(), hashed=True),
        "index": Kind(Path(f"{shard}.index"), lambda: read_index(shard)),
        "run: labels": Kind(run / "labels.json", lambda: tagged(), hashed=True),
        "run: split": Kind(run / "split.json", lambda: fs.evaluate(run).macro_pr_auc, hashed=True),
        "run: config": Kind(run / "config.json", lambda: tagged(), hashed=True),
        "run: thresholds": Kind(run / "thresholds.json", lambda: tagged(), hashed=True),
        "run: checkpoint": Kind(run / "checkpoints" / "best.ckpt", lambda: tagged(), hashed=True),
        "run: last checkpoint": Kind(run / "checkpoints" / "last.ckpt", lambda: fs.resume(run).best_row(), hashed=True),
        "run: metrics": Kind(run / "metrics.jsonl", lambda: fs.Run.open(run).best_row()),
        "run: evaluation": Kind(run / "evaluation" / "test.json", partial(read_evaluation, run / "evaluation")),
        "run: scores": Kind(
            run / "evaluation" / "test.npz",
            lambda: ScoredTracks.read(run / "evaluation" / "test.npz").scores.tobytes(), hashed=True
        ),
        "exported model": Kind(exported / "config.json", lambda: fs.load_tagger(exported).labels, hashed=True),
        "exported ONNX": Kind(
            root / "tagger.onnx", lambda: fs.load_tagger(root / "tagger.onnx").tag(song), hashed=True
        ),
        "exported weights": Kind(sorted(exported.glob("*.safetensors"))[0], lambda: fs.load_tagger(exported).labels),
        **tables_of(root), **networks_of(root),
    }  # fmt: skip


def tables_of(root: Path) -> dict[str, Kind]:
    """Return the lists and tables with their readers."""
    readers: dict[str, Callable[[Path], Any]] = {
        "tags.parquet": fs.read_tags, "tags.csv.gz": fs.read_tags, "ragged.tsv": fs.read_tags,
        "artists.csv": read_artists, "facets.tsv": read_facets, "pairs.tsv": read_pairs, "truth.csv": read_truth,
        "remove.txt": read_remove_list, "ids.txt": read_track_ids, "mismatches.txt": read_mismatches,
        "duplicates.txt": read_duplicates, "track_metadata.db": read_track_list,
    }  # fmt: skip
    kinds = {name: Kind(root / name, partial(reader, root / name)) for name, reader in readers.items()}
    kinds["groups"] = Kind(root / "facets.tsv", lambda: read_tag_groups(root / "facets.tsv"))
    return {f"table: {name}": kind for name, kind in kinds.items()}


def networks_of(root: Path) -> dict[str, Kind]:
    """Return the files of numbers with their readers."""
    folder, data = root / "embeddings", "epoch3-1.data-00000-of-00001"

    def imported(name: str) -> Any:
        shutil.rmtree(root / "imported", ignore_errors=True)
        return import_embeddings(root / name, root / "imported").values.tobytes()

    def stored() -> Any:
        found = read_embeddings(folder)
        return found.track_ids, found.values.tobytes()

    def weights() -> Any:
        return sorted(
            (name, array.tobytes()) for name, array in read_tf_checkpoint(root / "epoch3-1").items()
        )

    return {
        **{f"import: {name}": Kind(root / name, partial(imported, name))
           for name in ("array.npy", "rows.npz", "rows.csv", "rows.arff", "rows.parquet")},
        "import: array.json": Kind(root / "array.json", partial(imported, "array.npy")),
        "embeddings: description": Kind(folder / "embeddings.json", stored, hashed=True),
        "embeddings: values": Kind(folder / VALUES_NAME, stored, hashed=True),
        "embeddings: ids": Kind(folder / IDS_NAME, stored, hashed=True),
        "vectors: word2vec": Kind(root / "vectors.bin", lambda: fs.read_vectors(root / "vectors.bin")),
        "network: Keras": Kind(root / "keras.h5", lambda: read_keras_weights(root / "keras.h5")),
        "network: TF index": Kind(root / "epoch3-1.index", weights),
        "network: TF data": Kind(root / data, weights, hashed=True),
        "network: ONNX": Kind(root / "net.onnx", lambda: OnnxExtractor(root / "net.onnx").space),
        "network: ONNX description": Kind(root / "net.toml", lambda: OnnxExtractor(root / "net.onnx").space),
        "experiment": Kind(root / "experiment" / "experiment.json", lambda: open_runs([root / "experiment"])),
    }  # fmt: skip


def main() -> int:
    """Fuzz every kind, one after another in a process of its own, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutations", type=int, default=2000)
    parser.add_argument("--only", nargs="+", default=(), metavar="KIND")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="Folder for the files that broke a rule.")
    parser.add_argument("--files", type=Path, help=argparse.SUPPRESS)  # of the parent; --only is exact then
    arguments = parser.parse_args()
    logging.getLogger("folksong").setLevel(logging.ERROR)
    if arguments.files is not None:
        kinds = kinds_of(arguments.files)
        answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # C libraries print where they like
        for name in arguments.only:
            print(json.dumps(fuzz(name, kinds[name], arguments)), file=answers, flush=True)
        return 0
    with tempfile.TemporaryDirectory(prefix="fuzz_") as folder:
        make_files(Path(folder))
        chosen = [
            name
            for name in kinds_of(Path(folder))
            if not arguments.only or any(word in name for word in arguments.only)
        ]
        return 1 if run_kinds(chosen, folder) else 0


def run_kinds(names: list[str], folder: str) -> int:
    """Fuzz these kinds in another process, a new one where it dies; return how often a rule was broken."""
    broken = 0
    while names:
        with subprocess.Popen(
            [sys.executable, __file__, *sys.argv[1:], "--only", *names, "--files", folder],
            stdout=subprocess.PIPE, text=True,
        ) as child:  # fmt: skip
            assert child.stdout is not None
            for line in child.stdout:
                broken += report(names.pop(0), *json.loads(line))
        if names:
            broken += report(names.pop(0), {f"DIED with {child.returncode}": 1}, {})
    return broken


def report(name: str, outcomes: dict[str, int], examples: dict[str, str]) -> int:
    """Print what came of one kind; return how often a rule was broken."""
    fine = ("read", "refused")
    bad = sum(count for outcome, count in outcomes.items() if outcome not in fine)
    counts = "  ".join(f"{outcome} {outcomes.get(outcome, 0):5}" for outcome in fine)
    print(f"{name:24} {counts}  broken {bad:4}")
    for outcome, count in sorted(outcomes.items()):
        if outcome not in fine:
            print(f"    {count:5} {outcome}\n{examples.get(outcome, '')}")
    sys.stdout.flush()
    return bad


if __name__ == "__main__":
    sys.exit(main())
