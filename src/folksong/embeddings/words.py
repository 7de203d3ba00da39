"""Word vectors: one interface for every source, and the table of words that files of vectors are read into.

A file is parsed once and memory-mapped from the user's cache folder ever after: vector files are often on shared,
read-only drives.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from folksong.array_cache import read_arrays, status_key, write_arrays
from folksong.errors import FolksongError
from folksong.files import cache_folder, sha256_file

logger = logging.getLogger(__name__)

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Embedded:
    """Vectors of some texts: (n, dimension) float32, rows of zeros where `known` (n,) is False."""

    vectors: Vectors
    known: npt.NDArray[np.bool_]


class WordVectors(ABC):
    """Something that gives vectors for words.

    Attributes:
        source: where it came from: a file's name or a package's, without folders.
        sha256: hash of the content, for the provenance of what is built from it.
        dimension: length of a vector.
        takes_phrases: True for models that embed a whole tag at once, so that its words are not summed.
    """

    source: str
    sha256: str
    dimension: int
    takes_phrases: bool = False

    @abstractmethod
    def embed(self, words: Sequence[str]) -> Embedded:
        """Return the words' vectors, as the source holds them (not scaled)."""

    def __contains__(self, word: str) -> bool:
        return bool(self.embed([word]).known[0])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.source}, {self.dimension} dimensions)"


class StoredVectors(WordVectors):
    """A table of words and their vectors, usually memory-mapped.

    Args:
        words: unique words.
        vectors: (n_words, dimension) float32.
        source: a name for messages and provenance.
        sha256: hash of the file they came from; of words and vectors when left out.
        trusted: the words are known to be unique (they come from the cache): do not look again.

    Raises:
        FolksongError: shapes do not match or a word occurs twice.
    """

    def __init__(
        self,
        words: Sequence[str],
        vectors: Vectors,
        source: str,
        sha256: str | None = None,
        *,
        trusted: bool = False,
    ) -> None:
        if vectors.ndim != 2 or len(words) != len(vectors):
            raise FolksongError(f"{len(words)} words do not match vectors of shape {vectors.shape}")
        self.words = tuple(words)
        self.vectors = vectors
        self.source = source
        self.dimension = int(vectors.shape[1])
        self.sha256 = sha256 if sha256 is not None else _sha256_of(self.words, vectors)
        if not trusted and len(self.index) != len(self.words):
            raise FolksongError(f"{source}: a word occurs twice")

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self.index

    @cached_property
    def index(self) -> dict[str, int]:
        """Word -> row."""
        return dict(zip(self.words, range(len(self.words)), strict=True))

    def embed(self, words: Sequence[str]) -> Embedded:
        rows = np.fromiter((self.index.get(word, -1) for word in words), np.int64, count=len(words))
        known = rows >= 0
        vectors = np.zeros((len(words), self.dimension), np.float32)
        vectors[known] = self.vectors[rows[known]]
        return Embedded(vectors, known)


@dataclass(frozen=True)
class Block:
    """Some consecutive words of a file and their vectors, (n, dimension) float32."""

    words: list[str]
    vectors: Vectors


def cached_path(path: Path, member: str = "") -> Path:
    """Return where the vectors of a file (or of a member of an archive) are cached; it changes with the file."""
    return cache_folder() / "vectors" / f"{status_key(path, member)}.folksong"


def open_cached(path: Path, source: str, member: str = "") -> StoredVectors | None:
    """Return the vectors of a file from the cache, memory-mapped, or None where they are not (or damaged)."""
    cached = cached_path(path, member)
    found = read_arrays(cached, cached.stem, mapped=True)
    if found is None:
        return None
    words = found.strings("words")
    return StoredVectors(words, found.arrays["vectors"], source, str(found.notes["sha256"]), trusted=True)


def store_vectors(path: Path, blocks: Iterator[Block], source: str, member: str = "") -> StoredVectors:
    """Write the blocks of a file into the cache and open it; of a word that occurs twice the first stays.

    A cache folder that cannot be written is no error: the vectors then stay in memory.
    """
    cached, digest = cached_path(path, member), sha256_file(path)
    words: list[str] = []

    def rows() -> Iterator[Vectors]:
        for block in _without_repeats(blocks, source):
            words.extend(block.words)
            yield np.ascontiguousarray(block.vectors, "<f4")

    try:
        with write_arrays(cached, cached.stem) as writer:
            writer.add("vectors", rows())
            writer.add_strings("words", words)
            writer.notes |= {"sha256": digest, "source": source}
    except FolksongError as error:
        if words:  # the file is at fault, or the disk is full
            raise
        logger.warning("no cache of the word vectors: %s", error)
        vectors = np.concatenate(list(rows()))
        return StoredVectors(words, vectors, source, digest, trusted=True)
    opened = open_cached(path, source, member)
    if opened is None:
        raise FolksongError(f"{cached}: the cache just written cannot be read; is the disk all right?")
    return opened


def _without_repeats(blocks: Iterator[Block], source: str) -> Iterator[Block]:
    seen: set[str] = set()
    n_repeats = 0
    example = ""
    for block in blocks:
        fresh = np.ones(len(block.words), bool)
        for row, word in enumerate(block.words):
            if word in seen:
                fresh[row] = False
                n_repeats, example = n_repeats + 1, example or word
            seen.add(word)
        if fresh.all():
            yield block
        elif fresh.any():
            yield Block([w for w, new in zip(block.words, fresh, strict=True) if new], block.vectors[fresh])
    if n_repeats:
        logger.warning(
            "%s: %d lines repeat a word (%r first); the first one stays", source, n_repeats, example
        )


def _sha256_of(words: Sequence[str], vectors: Vectors) -> str:
    import hashlib

    digest = hashlib.sha256("\n".join(words).encode("utf-8", "surrogatepass"))
    digest.update(np.ascontiguousarray(vectors, "<f4").tobytes())
    return digest.hexdigest()
