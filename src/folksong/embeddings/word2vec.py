"""Word vectors in binary files: word2vec's format and fastText models (with their subwords), read by gensim."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from folksong.embeddings.words import (
    Block,
    Embedded,
    WordVectors,
    open_cached,
    store_vectors,
)
from folksong.errors import FileFormatError, FolksongError, needs_extra
from folksong.files import describe_os_error, open_regular, sha256_file

logger = logging.getLogger(__name__)

FASTTEXT_MAGIC = (793_712_314).to_bytes(4, "little")


class SubwordVectors(WordVectors):
    """A fastText model: a word it never saw gets the mean of its character n-grams' vectors."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        path = Path(path)
        self.source = path.name
        try:
            self._model = _gensim("fasttext").load_facebook_vectors(str(path))
        except (
            EOFError,
            AssertionError,
            ValueError,
            NotImplementedError,
            UnicodeDecodeError,
            MemoryError,
        ) as error:
            raise FileFormatError(f"{path}: not a whole fastText model ({error})") from error
        self.sha256 = sha256_file(path)
        self.dimension = int(self._model.vector_size)

    def embed(self, words: Sequence[str]) -> Embedded:
        vectors = np.zeros((len(words), self.dimension), np.float32)
        known = np.zeros(len(words), bool)
        for row, word in enumerate(words):
            try:
                vectors[row] = self._model[word]
                known[row] = True
            except KeyError:  # too short for any of its n-grams
                continue
        return Embedded(vectors, known)


def read_binary_vectors(path: str | os.PathLike[str], *, progress: bool = False) -> WordVectors:
    """Read a word2vec binary file (cached like text files) or a fastText ``.bin`` model.

    Raises:
        FolksongError: the file is missing, or gensim is (the message has the command that installs it).
        FileFormatError: it is neither.
    """
    path = Path(path)
    try:
        with open_regular(path) as stream:
            head = stream.read(4096)
        if head[:4] == FASTTEXT_MAGIC:
            return SubwordVectors(path)
        cached = open_cached(path, path.name)
        if cached is not None:
            return cached
        _check_header(path, head)
        if progress:
            logger.info("%s: reading for the first time", path.name)
        return store_vectors(path, iter([_read_word2vec(path)]), path.name)
    except OSError as error:
        raise FolksongError(describe_os_error(error, path)) from error


def _read_word2vec(path: Path) -> Block:
    keyed_vectors = _gensim("keyedvectors").KeyedVectors
    try:
        model = keyed_vectors.load_word2vec_format(str(path), binary=True)
    except (EOFError, ValueError, MemoryError) as error:
        raise FileFormatError(f"{path}: not a whole word2vec binary file ({error})") from error
    names = model.index_to_key[: len(model.key_to_index)]  # of a word that comes twice the first counts
    finite = np.isfinite(model.vectors[: len(names)]).all(axis=1) & np.array(["\n" not in w for w in names])
    if not finite.all():
        logger.warning("%s: %d words without a finite vector passed over", path.name, int((~finite).sum()))
    words = [word for word, good in zip(names, finite, strict=True) if good]
    return Block(words, np.asarray(model.vectors[: len(names)][finite], np.float32))


def _check_header(path: Path, head: bytes) -> None:
    fields = head.split(b"\n", 1)[0].split()
    if len(fields) != 2 or not all(field.isdigit() for field in fields):
        raise FileFormatError(f"{path}: neither a word2vec binary file nor a fastText model")
    n_words, dimension = map(int, fields)
    if n_words * (4 * dimension + 2) > path.stat().st_size:
        raise FileFormatError(f"{path}: not a whole word2vec binary file (it promises {n_words} words)")


def _gensim(module: str) -> Any:
    from importlib import import_module

    with needs_extra("reading binary word2vec and fastText files", "word2vec"):
        found: Any = import_module(f"gensim.models.{module}")
    return found
