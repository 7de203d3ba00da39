"""Change every kind of file that folksong reads, thousands of times: no traceback, no hang, no lie.

    python benchmarks/fuzz_files.py [--mutations 2000] [--only KIND ...] [--seed 0] [--keep FOLDER]

A tiny corpus, its shards and a tiny run are made first. Then each of their files is changed by Hypothesis: values of
JSON replaced by others, keys lost or doubled; bytes of any file flipped, cut, repeated, inserted. After each change the
file is read as its command reads it. What may come of it is a `FolksongError`, or a result; where the run or the folder
holds a hash of the file, the result must be the unchanged one. Each kind runs in a process of its own with a limit of
1 GiB of memory above its start and 10 s a reading. Exit code 1 if anything broke the rules.
"""

from __future__ import annotations

import argparse
import json
import logging
import pickle
import resource
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import folksong as fs
from folksong.demo.corpus import Corpus, CorpusSettings, write_corpus
from folksong.experiment import read_plan, shipped_plan
from folksong.export.folder import export_folder
from folksong.labels.dictionary import read_tag_dictionary
from folksong.labels.genres import read_genres
from folksong.shards.index import read_index
from folksong.shards.reader import ShardReader
from folksong.tags.cleaning.change_log import ChangeLog
from folksong.tags.cleaning.merges import read_merges, write_merges
from folksong.tags.cleaning.recipe import default_recipe_text, read_recipe
from folksong.tags.cleaning.spelling import variants

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
    original = kind.path.read_bytes()
    right = kind.read()
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + LIMIT_BYTES, resource.RLIM_INFINITY))
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
        signal.alarm(LIMIT_SECONDS)
        try:
            result = kind.read()
            wrong = kind.hashed and result != right
            outcome = "LIE: another result, though a hash could tell" if wrong else "read"
        except fs.FolksongError:
            outcome = "refused"
        except OverTimeError:
            outcome = "HANG"
        except MemoryError:
            outcome = "MEMORY"
        except Exception as error:
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
    export_folder(make_run(root, root / "shards", space), root / "exported")
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
        "run: split": Kind(run / "split.json", lambda: fs.evaluate(run).part, hashed=False),
        "run: config": Kind(run / "config.json", lambda: tagged()),
        "run: thresholds": Kind(run / "thresholds.json", lambda: tagged()),
        "run: checkpoint": Kind(sorted(run.glob("checkpoints/*"))[0], lambda: tagged(), hashed=True),
        "exported model": Kind(exported / "model.json", lambda: fs.load_tagger(exported).labels, hashed=True),
        "exported weights": Kind(sorted(exported.glob("*.safetensors"))[0], lambda: fs.load_tagger(exported).labels),
    }  # fmt: skip


def main() -> int:
    """Fuzz every kind, each in a process of its own, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutations", type=int, default=2000)
    parser.add_argument("--only", nargs="+", default=(), metavar="KIND")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="Folder for the files that broke a rule.")
    parser.add_argument(
        "--files", type=Path, help=argparse.SUPPRESS
    )  # of the parent; then --only is one kind
    arguments = parser.parse_args()
    logging.getLogger("folksong").setLevel(logging.ERROR)
    if arguments.files is not None:
        (name,) = arguments.only
        print(json.dumps(fuzz(name, kinds_of(arguments.files)[name], arguments)))
        return 0
    broken = 0
    with tempfile.TemporaryDirectory(prefix="fuzz_") as folder:
        make_files(Path(folder))
        for name in kinds_of(Path(folder)):
            if not arguments.only or any(word in name for word in arguments.only):
                broken += run_kind(name, folder)
    return 1 if broken else 0


def run_kind(name: str, folder: str) -> int:
    """Fuzz one kind in a process of its own; return how often a rule was broken."""
    child = subprocess.run(
        [sys.executable, __file__, *sys.argv[1:], "--only", name, "--files", folder],
        stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    try:
        outcomes, examples = json.loads(child.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        outcomes, examples = {f"DIED with {child.returncode}": 1}, {}
    fine = ("read", "refused")
    bad = sum(count for outcome, count in outcomes.items() if outcome not in fine)
    print(
        f"{name:22} " + "  ".join(f"{kind} {outcomes.get(kind, 0):5}" for kind in fine) + f"  broken {bad:4}"
    )
    for outcome, count in sorted(outcomes.items()):
        if outcome not in fine:
            print(f"    {count:5} {outcome}\n{examples.get(outcome, '')}", flush=True)
    sys.stdout.flush()
    return bad


if __name__ == "__main__":
    sys.exit(main())
