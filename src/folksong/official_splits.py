"""The splits that data sets publish, read from their own files, so that figures compare with published ones.

| data set | files | source |
|---|---|---|
| MTG-Jamendo | ``data/splits/split-N/autotagging*-{train,validation,test}.tsv`` | Bogdanov et al., ML4MD 2019 |
| MagnaTagATune | ``annotations_final.csv``: clips in the folders 0 to b are for training, c for validation, d to f for the test | van den Oord et al., ISMIR 2014 |
| MagnaTagATune | ``{train,valid,test}_list_pub.cP``, or ``{train,valid,test}.npy`` | Lee et al., SMC 2017; Won et al., SMC 2020 |
| Million Song Dataset | ``filtered_list_{train,test}.cP``, the first 201,680 of the former for training | Choi et al., ISMIR 2016; Lee et al. |
| Million Song Dataset, by artist | ``ecals_track_split.json`` | Doh et al., ICASSP 2023 |
| GTZAN, without faults | ``{train,valid,test}_filtered.txt`` | Kereliuk et al., 2015 |

A file lists tracks by id or by path; whichever column fits most tracks of the tag source counts, paths with or without
their endings. Pickled lists (``.cP``) are read opcode by opcode: only text can come out of them.
"""  # noqa: E501

import csv
import logging
import os
import pickletools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from folksong.errors import FileFormatError, FolksongError
from folksong.files import described, open_regular, read_bytes, read_json, read_text, sha256_file
from folksong.labels.dictionary import OLD_TEXTS, TEXTS
from folksong.splits import PARTS, Split
from folksong.tags.sources.read_tags import Tags, as_table

logger = logging.getLogger(__name__)

Row = Sequence[str]

NAMES = {"training": r"train(ing)?", "validation": r"(in)?valid(ation)?|val|dev", "test": r"test(ing)?"}
N_TRAINING_MSD = (213_454, 201_680)
"""Tracks in the training list of the Million Song Dataset, and how many train."""
FOLDERS_MTT = dict.fromkeys("0123456789ab", "training") | {"c": "validation"} | dict.fromkeys("def", "test")
LISTS = {"PROTO", "FRAME", "MARK", "LIST", "EMPTY_LIST", "APPEND", "APPENDS", "STOP"}
MEMOS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET"}
PICKLES = {".cp", ".pkl", ".pickle"}
MOST_COLUMNS = 8
"""In which tracks are looked for; behind them, files list tags."""


def read_official_split(tags: Tags, *paths: str | os.PathLike[str]) -> Split:
    """Return the parts that a data set publishes, of the tracks of a tag source.

    Args:
        tags: the tag table, or its source.
        paths: the files of the parts, told apart by ``train``, ``valid`` and ``test`` in their names; a folder with
            just these; or a single file that holds all parts.

    Raises:
        FolksongError: a part has no file, or several; or no track of the source is in the parts.
        FileFormatError: a file is none of those above.
    """
    table = as_table(tags)
    files = [Path(path) for path in paths]
    if len(files) == 1 and files[0].is_dir():
        files = sorted(file for file in files[0].iterdir() if parts_named(file))
    listed = _read_all_parts(files[0]) if len(files) == 1 else _read_parts(files)
    key_of = _Keys(table.track_ids)
    found: dict[str, list[str]] = {part: key_of.tracks(rows) for part, rows in listed.items()}
    n_listed, n_found = sum(map(len, listed.values())), sum(map(len, found.values()))
    if not n_found:
        first = next((row for rows in listed.values() for row in rows), ())
        raise FolksongError(
            f"{files[0]}: none of its {n_listed:,} tracks is in the tag source; the file says "
            f"{', '.join(map(repr, first[:4])) or 'nothing'}, the source has {table.track_ids[0]!r}"
        )
    if n_found < n_listed:
        logger.warning("%d of the %d listed tracks are not in the tag source", n_listed - n_found, n_listed)
    if n_found < table.n_tracks:
        logger.warning("%d of %d tracks are in no part", table.n_tracks - n_found, table.n_tracks)
    provenance = {"official": {file.name: sha256_file(file) for file in files}}
    training, validation, test = (tuple(sorted(found[part])) for part in PARTS)
    return Split(training, validation, test, provenance=provenance)


class _Keys:
    """Finds the track that an entry means: its id, or its path with or without an ending."""

    def __init__(self, track_ids: Iterable[str]) -> None:
        self.exact = set(track_ids)
        self.bare: dict[str, list[str]] = {}
        for track in track_ids:
            self.bare.setdefault(_without_ending(track), []).append(track)

    def track(self, entry: str) -> str | None:
        if entry in self.exact:
            return entry
        same = self.bare.get(_without_ending(entry), [])
        return same[0] if len(same) == 1 else None

    def tracks(self, rows: Sequence[Row]) -> list[str]:
        """Return the tracks of the column that finds most of them, each once."""
        best: set[str] = set()
        for column in range(min(max(map(len, rows), default=0), MOST_COLUMNS)):
            tracks = (self.track(row[column]) for row in rows if column < len(row))
            best = max(best, {track for track in tracks if track is not None}, key=len)
        return list(best)


def _without_ending(path: str) -> str:
    return re.sub(r"\.[A-Za-z0-9]{2,5}$", "", path.removeprefix("./").replace("\\", "/"))


def parts_named(file: Path) -> list[str]:
    """Return the parts whose names are words of a file's name: ``autotagging-train.tsv`` is of the training part."""
    words = re.split(r"[^a-z]+", file.name.lower())
    return [part for part, name in NAMES.items() if any(re.fullmatch(name, word) for word in words)]


def _read_parts(files: Sequence[Path]) -> dict[str, list[Row]]:
    of_part: dict[str, list[Path]] = {part: [] for part in PARTS}
    for file in files:
        parts = parts_named(file)
        if len(parts) != 1:
            raise FolksongError(f"{file}: its name must say train, valid or test, one of them")
        of_part[parts[0]].append(file)
    for part, named in of_part.items():
        if len(named) > 1:
            raise FolksongError(
                f"{' and '.join(file.name for file in named[:3])} are both for {part}; name the files of one split"
            )
    rows = {part: read_list(named[0]) if named else [] for part, named in of_part.items()}
    for part in ("training", "test"):
        if not rows[part]:
            raise FolksongError(f"no file for {part}: give one whose name says {part.removesuffix('ing')}")
    n_listed, n_training = N_TRAINING_MSD
    if not rows["validation"] and len(rows["training"]) == n_listed:
        rows["training"], rows["validation"] = rows["training"][:n_training], rows["training"][n_training:]
    return rows


def _read_all_parts(file: Path) -> dict[str, list[Row]]:
    """Return the rows of each part that one file holds: JSON of lists, or MagnaTagATune's annotations."""
    rows: dict[str, list[Row]] = {part: [] for part in PARTS}
    if file.suffix.lower() == ".json":
        content = read_json(file)
        for name, entries in content.items() if isinstance(content, dict) else ():
            parts = parts_named(Path(name))
            if len(parts) == 1 and isinstance(entries, list):
                rows[parts[0]] += [[str(entry)] for entry in entries]
    else:
        listed = read_list(file)
        column = next((n for n, name in enumerate(listed[0]) if name == "mp3_path"), None) if listed else None
        for row in listed[1:] if column is not None else ():
            if column is not None and len(row) > column and row[column][:1] in FOLDERS_MTT:
                rows[FOLDERS_MTT[row[column][0]]].append([row[0], row[column]])
    if not rows["training"] or not rows["test"]:
        raise FileFormatError(
            f"{file}: holds no training and test part; give a file for each part, a JSON object with a list for "
            "each, or MagnaTagATune's annotations_final.csv"
        )
    return rows


def read_list(file: Path) -> list[Row]:
    """Return the rows of a list of tracks: text, CSV, TSV, a NumPy array of texts, or a pickled list of texts.

    Raises:
        FileFormatError: it is none of these.
    """
    ending = file.suffix.lower()
    if ending == ".npy":
        with described(file), open_regular(file) as stream:
            try:
                entries = np.load(stream, allow_pickle=False)
            except (ValueError, EOFError) as error:
                raise FileFormatError(
                    f"{file}: no array of texts ({error}); save the names as text, a line each"
                ) from error
        if entries.ndim != 1 or entries.dtype.kind not in "USiu":
            raise FileFormatError(
                f"{file}: must be a list of texts, not {entries.dtype} of shape {entries.shape}"
            )
        texts = [
            entry.decode("utf-8", "replace") if isinstance(entry, bytes) else str(entry) for entry in entries
        ]
    elif ending in PICKLES:
        texts = _read_pickled(file)
    else:
        texts = read_text(file).splitlines()
    if ending == ".csv" and not any("\t" in text for text in texts[:1]):
        return [row for row in csv.reader(texts) if row]
    # As published, MagnaTagATune's annotations are separated by tabs and quoted.
    return [[cell.strip('"') for cell in text.split("\t")] for text in texts if text.strip()]


def _read_pickled(file: Path) -> list[str]:
    """Return the texts of a pickled list, in order, each once, without unpickling it."""
    content = read_bytes(file)
    try:
        listed = [(opcode.name, argument) for opcode, argument, _ in pickletools.genops(content)]
    except (ValueError, EOFError) as error:
        raise FileFormatError(f"{file}: damaged, no pickled list of texts ({error})") from error
    texts = TEXTS | OLD_TEXTS
    other = next((name for name, _ in listed if name not in texts | LISTS | MEMOS), None)
    if other is not None:
        raise FileFormatError(f"{file}: refused, more than a list of texts ({other})")
    return [str(argument) for name, argument in listed if name in texts]
