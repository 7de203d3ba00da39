"""How many files of the library a training, a prediction and a tag on its way to a target run through.

    python benchmarks/traced_files.py [--files]

Three ways over a tiny corpus of the demo, in one process without GPUs: ``folksong train log-mel-spectrogram`` for two
epochs, to weights on disk; ``folksong predict`` of that run for one mp3 file; and the tags of a last.fm database, read
with a fresh copy beside it, as labels and, with shards that nobody opened before, as the targets of a training. A
profile function (`sys.setprofile`, of threads too) sees each call from the moment of the command on, in the folksong
that Python imports. A file is entered when a function of it is called, not when it is imported. Functions are those
with a name of their own, and lambdas; comprehensions belong to the function around them. A hop is a pair of functions
in two files, one of which called the other, directly or through another library. ``--files`` lists the files, with the
number of functions entered in each.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import io
import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the same way on every machine; before torch is imported

from tabulate import tabulate

import folksong
from folksong.audio.catalogue import read_catalogue
from folksong.cli import main as folksong_command
from folksong.demo.corpus import Corpus, CorpusSettings, write_corpus
from folksong.files import write_json
from folksong.labels import top
from folksong.shards.writer import write_shards
from folksong.tags.sources.read_tags import read_tags
from folksong.training.config import Config
from folksong.training.data import open_records, prepare, read_record_tags

SOURCE = Path(folksong.__file__).parent
PREFIX = f"{SOURCE}{os.sep}"
FRONT_END = "log-mel-spectrogram"
CORPUS = CorpusSettings(per_subgenre=3, seconds=3.0, genres=("rock", "electronic"))
SETTINGS = {
    "model-training": {"batch_size": 4, "window_length": 2.0, "split": [60, 20, 20]},
    "tags": {"top": 10},
}
LIMITS = {"train": 30, "predict": 15, "tag to target": 14}  # files
COMPREHENSIONS = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")


class Trace:
    """The functions of the library that are called within a ``with`` block, and the calls between its files."""

    def __init__(self) -> None:
        self.functions: set[CodeType] = set()
        self.hops: set[tuple[CodeType, CodeType]] = set()

    def __enter__(self) -> Trace:
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        if event != "call" or not is_function(frame.f_code):
            return
        self.functions.add(frame.f_code)
        caller = frame.f_back
        while caller is not None and not is_function(caller.f_code):
            caller = caller.f_back
        if caller is not None and caller.f_code.co_filename != frame.f_code.co_filename:
            self.hops.add((caller.f_code, frame.f_code))

    def files(self) -> Counter[str]:
        """Return each file with the number of its functions."""
        return Counter(Path(code.co_filename).relative_to(SOURCE).as_posix() for code in self.functions)


def is_function(code: CodeType) -> bool:
    """Say whether this is a function of the library: no module, class body or comprehension."""
    return (
        code.co_filename.startswith(PREFIX)
        and bool(code.co_flags & inspect.CO_OPTIMIZED)
        and code.co_name not in COMPREHENSIONS
    )


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Hold back what is said, unless it fails. No progress bar is drawn then, on a terminal neither."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            yield
    except BaseException:
        sys.stderr.write(said.getvalue())
        raise


def command(*words: object) -> Trace:
    """Run a command of the command line."""
    texts = [str(word) for word in words]
    with silence(), Trace() as trace:
        folksong_command(texts, standalone_mode=False)
    return trace


def tag_to_target(corpus: Corpus, folder: Path) -> Trace:
    """Take tags from the database to the targets, as a training with these labels does."""
    tags = folder / "fresh.db"
    tags.write_bytes(corpus.tags_path.read_bytes())
    with silence(), Trace() as trace:
        space = top(read_tags(tags, cache=True), SETTINGS["tags"]["top"])
        settings = Config.read(folder / "config.json")
        reader = open_records(folder / "shards", FRONT_END, settings.data)
        data = prepare(reader, read_record_tags(reader, tags), settings, labels=space)
        targets = data.targets_of("training")
    assert targets.nnz, "no record has a label"
    return trace


def measure(folder: Path) -> dict[str, Trace]:
    """Return what each way entered."""
    corpus = write_corpus(folder / "corpus", CORPUS, jobs=1)
    write_shards(
        read_catalogue(corpus.tracks_csv),
        folder / "shards",
        read_tags(corpus.tags_path),
        audio_format=FRONT_END,
        jobs=1,
    )
    write_json(folder / "config.json", SETTINGS)
    run, tags, clip = folder / "run", corpus.tags_path, corpus.unseen[0]
    words = ("--tfrecords-dir", folder / "shards", "--lastfm", tags, "--config", folder / "config.json")
    tag = tag_to_target(corpus, folder)  # first: no command has set up a log or opened the shards yet
    train = command("train", FRONT_END, *words, "--epochs", 2, "--out", run)
    assert any(run.rglob("*.ckpt")), "no weights on disk"
    return {"train": train, "predict": command("predict", run, clip), "tag to target": tag}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--files", action="store_true", help="list the files, with the functions entered in each"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        traces = measure(Path(folder))
    rows = [
        (name, len(trace.files()), LIMITS[name], len(trace.functions), len(trace.hops))
        for name, trace in traces.items()
    ]
    print(tabulate(rows, headers=("", "files", "limit", "functions", "hops")))
    if given.files:
        for name, trace in traces.items():
            print(f"\n{name}")
            for file, number in sorted(trace.files().items()):
                print(f"{number:5}  {file}")


if __name__ == "__main__":
    main()
