"""Word vectors from a TF-Hub SavedModel folder, such as Wiki-words-250-with-normalization."""

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from folksong.embeddings.words import Embedded, WordVectors
from folksong.errors import FileFormatError, needs_extra
from folksong.files import open_regular, sha256_file

HARMFUL = re.compile(
    rb"(?:\x12.|op: ?\")((?:Eager)?PyFunc(?:Stateless)?|WriteFile|ReadFile|MatchingFiles|WholeFileReader(?:V2)?"
    rb"|(?:TextLine|TFRecord|FixedLengthRecord)Dataset(?:V2)?|DebugIdentity(?:V\d)?|Rpc\w*)(?!\w)",
    re.DOTALL,
)
"""A node of a graph (its field ``op``) that opens files, or calls out of the graph."""


class HubVectors(WordVectors):
    """A SavedModel that turns a batch of strings into vectors, one word at a time.

    A SavedModel is a program; one whose graph opens files or calls out of TensorFlow is refused, others are run.

    Such modules put words they do not know into hash buckets, whose vectors mean nothing. Where the module ships its
    vocabulary as a text asset (one word a line, as the published ones do), a word outside it counts as unknown;
    without one every word counts as known.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        path = Path(path)
        _refuse_harm(path)
        with needs_extra(f"the SavedModel {path}", "tfhub"):
            import tensorflow as tf
        self._tf = tf
        try:
            self._loaded: Any = tf.saved_model.load(str(path))
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise FileFormatError(f"{path}: TensorFlow cannot load this SavedModel ({error})") from error
        self.source = path.name
        self.sha256 = _sha256_folder(path)
        self._vocabulary = _read_vocabulary(path)
        self.dimension = int(self._run(["music"]).shape[1])

    def embed(self, words: Sequence[str]) -> Embedded:
        vectors = self._run(words) if words else np.zeros((0, self.dimension), np.float32)
        known = np.ones(len(words), bool)
        if self._vocabulary is not None:
            known = np.fromiter((word in self._vocabulary for word in words), bool, count=len(words))
        return Embedded(np.where(known[:, None], vectors, np.float32(0)), known)

    def _run(self, words: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        batch = self._tf.constant(list(words), dtype=self._tf.string)
        model = self._loaded
        if not callable(model):
            signatures = model.signatures
            names = [name for name in ("default", "serving_default") if name in signatures]
            if not names:
                raise FileFormatError(f"{self.source}: the SavedModel has no default signature to call")
            signature = signatures[names[0]]
            argument = next(iter(signature.structured_input_signature[1]))
            result = signature(**{argument: batch})
        else:
            result = model(batch)
        if isinstance(result, dict):
            result = result["default"] if "default" in result else next(iter(result.values()))
        vectors = np.asarray(result, np.float32)
        if vectors.ndim != 2 or len(vectors) != len(words):
            raise FileFormatError(f"{self.source}: gives shape {vectors.shape} for {len(words)} words")
        return vectors


def _read_vocabulary(path: Path) -> frozenset[str] | None:
    assets = sorted((path / "assets").glob("*")) if (path / "assets").is_dir() else []
    for asset in assets:
        try:
            words = asset.read_text(encoding="utf-8").split("\n")
        except UnicodeDecodeError:
            continue
        return frozenset(word for word in words if word)
    return None


def _sha256_folder(path: Path) -> str:
    """Return a hash of all files below a folder, names included, whatever order the system lists them in."""
    digest = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\n{sha256_file(file)}\n".encode())
    return digest.hexdigest()


def _refuse_harm(path: Path) -> None:
    """Refuse a SavedModel, which is a program, if its graph opens files or calls out: vectors of words need neither."""
    for file in sorted(path.glob("saved_model.pb*")):
        with open_regular(file) as stream:
            if found := HARMFUL.search(stream.read()):
                raise FileFormatError(
                    f"{file}: its graph holds a node {found[1].decode()}, which no word vectors need; it is not loaded"
                )
