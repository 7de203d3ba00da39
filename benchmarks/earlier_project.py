"""Every file of the earlier project through the command meant for it, and its example commands, only paths changed.

    python benchmarks/earlier_project.py EARLIER OUT [--recordings DIR] [--only MODEL ... files]

EARLIER holds the earlier project's own files (``config/``, ``dictionary_clusters/``, ``genres.txt``, ...). In OUT, a
new folder, records are written as that project's preprocessing wrote them (float32 audio, ``tid``, tags as text; no
manifest), with tags drawn from ``top100.tsv`` and the dictionaries; a last.fm database and GloVe text likewise. Audio
comes from DIR's ``.ogg`` files, repeated to 16 s, or is noise. Trainings are cut to one epoch of one step on half of
eight tracks. Prints file or model, command and result, and exits with 1 if anything failed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import folksong as fs
from folksong.audio.decode import decode
from folksong.audio.log_mel import log_mel, read_preset
from folksong.labels.dictionary import read_legacy_space, read_tag_dictionary
from folksong.shards.format import encode_example, frame
from folksong.tags.sources.read_tags import write_tags

N_TRACKS, N_FILES, SECONDS, SAMPLE_RATE, N_MELS = 8, 2, 16, 16000, 128
RETAINED = "--save-PR OUT/figures --save-ROC OUT/figures --save-confusion-matrix OUT/figures"
TRAIN = "train FRONT --epochs 1 --steps-per-epoch 1 --split OUT/parts.split.json --tfrecords-dir OUT/FRONT"
TAGS, CLUSTERS = f"{TRAIN} --config OUT/Wconfig --lastfm OUT/lastfm.db", f"{TRAIN} --config OUT/WEconfig"
FILTER = "--filter --filter-path EARLIER"
WAVE, MEL = "waveform", "log-mel-spectrogram"
D = "EARLIER/dictionary_clusters"

WIKI = f"{D}/glove-wikipedia/100_models/tags_dict_100.pkl"

COMMANDS = {
    "1": (WAVE, f"{TAGS} --cuda 2"),
    "1, spectrograms": (MEL, f"{TAGS} --cuda 2 -v 2 --no-shuffle --save-tags-path OUT/figures"),
    "2": (WAVE, f"{TAGS} {FILTER} {RETAINED} --cuda 2"),
    "2, spectrograms": (
        MEL,
        f"{TAGS} --filter --filter-path EARLIER/tags_remove.txt --multi-tag --multi-db 1",
    ),
    "3.1": (WAVE, f"{CLUSTERS} --dictionary-dir {D}/embeddings_baseline --cuda 2"),
    "3.3": (MEL, f"{CLUSTERS} --dictionary-dir {WIKI} {FILTER} --save-coocurrence-matrix-path OUT/figures"),
    "3.4": (
        MEL,
        f"{CLUSTERS} --dictionary-dir {WIKI} --genre-path EARLIER {RETAINED} --multi-tag --cuda 0 1 2 3",
    ),
    "3.4 tags": (
        MEL,
        f"{CLUSTERS} --dictionary-dir {D}/comparison-genres {RETAINED} --multi-tag --cuda 0 1 2 3",
    ),
    "4.1": (MEL, f"{CLUSTERS} --dictionary-dir {D}/npmi {RETAINED} --multi-tag --cuda 0 1 2 3"),
    "4.2": (WAVE, f"{CLUSTERS} --dictionary-dir {D}/tag_embeddings --built-in"),
    "5": (MEL, f"{TAGS} {FILTER} --gamma 1 --custom-loss-embeddings-path OUT/glove.200d.txt"),
}
"""Model -> front-end and the words of its command."""


def draw_tags(earlier: Path, rng: np.random.Generator) -> tuple[list[list[str]], list[str]]:
    """Return each track's tags, about ten of the popular ones (by their counts) and three others, and all tags."""
    rows = [row.split("\t") for row in (earlier / "top100.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    popular, counts = [row[0] for row in rows], np.array([float(row[1]) for row in rows])
    files = sorted(earlier.rglob("tags_dict_*.pkl"))
    others = sorted(set().union(*(read_tag_dictionary(file) for file in files)) - set(popular))
    tracks = []
    for number in range(N_TRACKS):
        drawn = rng.choice(popular, 9, replace=False, p=counts / counts.sum()).tolist()
        tracks.append(
            [*dict.fromkeys([popular[number % len(popular)], *drawn]), *rng.choice(others, 3).tolist()]
        )
    return tracks, popular + others


def audio_of(recordings: list[Path], number: int, rng: np.random.Generator) -> np.ndarray:
    """Return 16 s of a recording, repeated, or of noise: (256000,) float32."""
    length = SECONDS * SAMPLE_RATE
    if not recordings:
        return rng.normal(0, 0.1, length).astype(np.float32)
    return np.resize(decode(recordings[number % len(recordings)], SAMPLE_RATE), length).astype(np.float32)


def write_corpus(earlier: Path, out: Path, recordings: list[Path]) -> None:
    """Write records, database, word vectors, and the settings with the paths of this machine."""
    rng = np.random.default_rng(0)
    tracks, tags = draw_tags(earlier, rng)
    preset = read_preset("urop2019")
    preset = type(preset).from_dict({**preset.to_dict(), "n_mels": N_MELS})
    for front_end in (WAVE, MEL):
        (out / front_end).mkdir(parents=True)
    for file in range(N_FILES):
        streams = {name: (out / name / f"{name}_{file + 1}.tfrecord").open("wb") for name in (WAVE, MEL)}
        for number in range(file, N_TRACKS, N_FILES):
            samples = audio_of(recordings, number, rng)
            known = {"tid": [f"TR{number:03d}".encode()], "tags": [tag.encode() for tag in tracks[number]]}
            for name, audio in ((WAVE, samples), (MEL, log_mel(samples, preset))):
                example = encode_example({"audio": audio.ravel().astype(np.float32), **known})
                streams[name].writelines(frame(example))
        for stream in streams.values():
            stream.close()
    ids = [f"TR{number:03d}" for number, drawn in enumerate(tracks) for _ in drawn]
    table = fs.TagTable.from_pairs(ids, [tag for drawn in tracks for tag in drawn], [100.0] * len(ids))
    write_tags(table, out / "lastfm.db")
    words = sorted({word for tag in tags for word in tag.lower().split()})
    lines = (" ".join([word, *(f"{x:.4f}" for x in rng.normal(size=200))]) for word in words)
    (out / "glove.200d.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (out / "figures").mkdir()
    fs.Split(*(tuple(f"TR{number:03d}" for number in part) for part in (range(4), (4, 5), (6, 7)))).write(
        out / "parts.split.json"
    )
    for name, folder in (("Wconfig", "config_tags"), ("WEconfig", "config_clusters")):
        text = (earlier / "config" / folder / "config.json").read_text(encoding="utf-8")
        (out / name).mkdir()
        (out / name / "config.json").write_text(text.replace("/home/carlos", str(out)), encoding="utf-8")


def run(words: list[str]) -> tuple[bool, str]:
    """Run folksong; return whether it succeeded, and the last line that it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "folksong", *words], capture_output=True, text=True, check=False
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()] or ["(nothing)"]
    return done.returncode == 0, said[-1][:150]


def run_commands(earlier: Path, out: Path, only: list[str]) -> list[tuple[str, str, str]]:
    """Run the commands; return model, command and result of each."""
    found = []
    for model, (front_end, words) in COMMANDS.items():
        if model not in only:
            continue
        shown = words.replace("FRONT", front_end)
        began = time.monotonic()
        done, said = run([w.replace("OUT", str(out)).replace("EARLIER", str(earlier)) for w in shown.split()])
        result = f"{'done' if done else 'FAILED'} in {time.monotonic() - began:.0f} s: {said.replace(str(out), 'OUT')}"
        print(f"Model {model}: {result}", file=sys.stderr, flush=True)
        found.append((f"Model {model}", shown, result))
    return found


def looked_up(file: Path, table: fs.TagTable) -> str:
    """Compare the labels of a dictionary with a plain lookup, track by track."""
    numbers = read_tag_dictionary(file)
    rank_of = {number: rank for rank, number in enumerate(sorted(set(numbers.values())))}
    encoded = read_legacy_space(file, table).encode(table).toarray()
    for row, track in enumerate(table.track_ids):
        expected = {rank_of[numbers[tag]] for tag, _ in table.tags_of(track) if tag in numbers}
        if expected != set(np.flatnonzero(encoded[row]).tolist()):
            return f"FAILED: labels of {track} differ from a lookup"
    return (
        f"{len(numbers)} tags, {len(rank_of)} labels (numbers to {max(numbers.values())}), equal to a lookup"
    )


def genres_looked_up(earlier: Path, table: fs.TagTable) -> str:
    """Compare the labels of genres.txt with a plain lookup: outputs in rising order, a pair in its first's place."""
    file = earlier / "dictionary_clusters/glove-wikipedia/100_models/tags_dict_100.pkl"
    numbers = read_tag_dictionary(file)
    ranks = {number: rank for rank, number in enumerate(sorted(set(numbers.values())))}
    first, second = (json.loads(line) for line in (earlier / "genres.txt").read_text().splitlines())
    place = {rank: rank for rank in sorted(first)}
    for one, other in second:
        if one in place and other in place:
            place[other] = place[one]
    outputs = {target: number for number, target in enumerate(sorted(set(place.values())))}
    encoded = read_legacy_space(file, table, genres=earlier).encode(table).toarray()
    for row, track in enumerate(table.track_ids):
        ranked = {ranks[numbers[tag]] for tag, _ in table.tags_of(track) if tag in numbers}
        expected = {outputs[place[rank]] for rank in ranked if rank in place}
        if expected != set(np.flatnonzero(encoded[row]).tolist()):
            return f"FAILED: labels of {track} differ from a lookup"
    return f"{len(outputs)} genre labels in the order of ranks, equal to a lookup"


def run_files(earlier: Path, out: Path) -> list[tuple[str, str, str]]:
    """Take every file through its command; return file, command and result."""
    table, db = fs.read_tags(out / "lastfm.db"), str(out / "lastfm.db")
    found: list[tuple[str, str, str]] = []

    def note(
        file: Path, words: list[str], check: Callable[[], str] | None = None, fails: bool = False
    ) -> None:
        done, said = run([str(word) for word in words])
        result = said if done == fails or check is None else check()
        verdict = "FAILED: " if done == fails else ""
        shown = " ".join(map(str, words)).replace(str(out), "OUT").replace(str(earlier), "EARLIER")
        found.append(
            (str(file.relative_to(earlier)), shown, verdict + result.replace(str(earlier), "EARLIER"))
        )

    for number, file in enumerate(sorted(earlier.rglob("*.pkl"))):
        target = out / f"{number}.labels.json"
        words = ["labels", "dictionary", file, db, target]
        if file.name.startswith("tags_dict_"):
            note(file, words, lambda file=file: looked_up(file, table))
        else:
            note(file, words, fails=True)
    wiki, remove = (
        earlier / "dictionary_clusters/glove-wikipedia/100_models/tags_dict_100.pkl",
        ["--filter-path", earlier],
    )
    genres = ["labels", "dictionary", wiki, db, out / "genres.labels.json", "--genre-path", earlier]
    note(earlier / "genres.txt", genres, lambda: genres_looked_up(earlier, table))
    clusters = ["labels", "dictionary", wiki, db, out / "kept.labels.json", "--filter", *remove]
    note(earlier / "tags_remove.txt", clusters)
    run(["labels", "top", db, str(out / "top.labels.json"), "-n", "100"])
    note(
        earlier / "tags_remove.txt",
        ["labels", "filter", out / "top.labels.json", out / "80.labels.json", *remove],
    )
    for trained in sorted((out / "saved_models").rglob("labels.json"))[:1]:
        report = ["report", trained.parent, "-o", out / "report.html", "--groups", earlier / "top100.tsv"]
        note(earlier / "top100.tsv", report)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("earlier", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--recordings", type=Path, metavar="DIR")
    parser.add_argument("--only", nargs="+", choices=[*COMMANDS, "files"], default=[*COMMANDS, "files"])
    given = parser.parse_args()
    earlier, out = given.earlier.resolve(), given.out.resolve()
    recordings = sorted(given.recordings.rglob("*.ogg")) if given.recordings else []
    if not out.exists():
        write_corpus(earlier, out, recordings)
        for front_end, words in ((WAVE, []), (MEL, ["--mels", str(N_MELS)])):
            print(
                run(["shards", "repair", str(out / front_end), "--format", front_end, *words])[1],
                file=sys.stderr,
            )
    rows = run_commands(earlier, out, given.only)
    rows += run_files(earlier, out) if "files" in given.only else []
    for row in rows:
        print("| " + " | ".join(row) + " |")
    if any("FAILED" in row[-1] for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
