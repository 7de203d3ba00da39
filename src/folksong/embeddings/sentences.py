"""Vectors of whole tags from a local folder: of a sentence model, or of a TF-Hub SavedModel.

A sentence model is an ONNX network and its tokenizer: ``tokenizer.json`` and ``model.onnx`` (or ``onnx/model.onnx``, or
one single ``*.onnx`` file), as sentence-transformers models are published. The tokens' last hidden states are averaged
under the attention mask. Nothing is ever downloaded. A SavedModel (such as Wiki-words-250-with-normalization) needs
TensorFlow.
"""

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from folksong.embeddings.words import Embedded, Vectors, WordVectors
from folksong.errors import FileFormatError, FolksongError, needs_extra
from folksong.files import open_regular, sha256_file

BATCH_SIZE = 256
MAX_TOKENS = 128


class SentenceVectors(WordVectors):
    """A sentence model that embeds a tag as a whole (`takes_phrases`)."""

    takes_phrases = True

    def __init__(self, path: str | os.PathLike[str], *, progress: bool = False) -> None:
        path = Path(path)
        self._progress = progress
        with needs_extra(f"the sentence model {path}", "sentences"):
            import onnxruntime
            from tokenizers import Tokenizer
        network = _find_network(path)
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(path / "tokenizer.json"))
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1  # sums in another order with another number of threads
            self._session: Any = onnxruntime.InferenceSession(str(network), options, ["CPUExecutionProvider"])
        except Exception as error:  # both libraries raise bare Exception
            raise FileFormatError(f"{path}: cannot load this sentence model ({error})") from error
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding()
        self.source = path.resolve().name
        files = f"{sha256_file(network)}\n{sha256_file(path / 'tokenizer.json')}\n"
        self.sha256 = hashlib.sha256(files.encode()).hexdigest()
        self.dimension = int(self._run(["music"]).shape[1])

    def embed(self, words: Sequence[str]) -> Embedded:
        from tqdm import tqdm

        # Each length of text by itself, so that a vector does not depend on the padding its neighbours need.
        known = np.fromiter((bool(word.strip()) for word in words), bool, count=len(words))
        vectors = np.zeros((len(words), self.dimension), np.float32)
        lengths = np.zeros(len(words), np.int64)
        for start in range(0, len(words), BATCH_SIZE):
            batch_words = [word if word.strip() else "." for word in words[start : start + BATCH_SIZE]]
            encoded = self._tokenizer.encode_batch(batch_words)
            lengths[start : start + len(encoded)] = [sum(item.attention_mask) for item in encoded]
        bar_wanted = self._progress and len(words) > BATCH_SIZE
        with tqdm(total=int(known.sum()), desc=self.source, unit=" tags", disable=not bar_wanted) as bar:
            for length in np.unique(lengths):
                rows = np.flatnonzero(known & (lengths == length))
                for start in range(0, len(rows), BATCH_SIZE):
                    batch = rows[start : start + BATCH_SIZE]
                    vectors[batch] = self._run([words[row] for row in batch])
                    bar.update(len(batch))
        return Embedded(vectors, known)

    def _run(self, texts: Sequence[str]) -> Vectors:
        encoded = self._tokenizer.encode_batch(list(texts))
        mask = np.array([item.attention_mask for item in encoded], np.int64)
        available = {
            "input_ids": np.array([item.ids for item in encoded], np.int64),
            "attention_mask": mask,
            "token_type_ids": np.array([item.type_ids for item in encoded], np.int64),
        }
        wanted = [item.name for item in self._session.get_inputs()]
        if unknown := [name for name in wanted if name not in available]:
            raise FolksongError(f"{self.source}: the network asks for {', '.join(unknown)}, not only tokens")
        states = np.asarray(
            self._session.run(None, {name: available[name] for name in wanted})[0], np.float32
        )
        if states.ndim == 2:
            return states
        weights = mask[:, :, None].astype(np.float32)
        return np.asarray((states * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1), np.float32)


def _find_network(path: Path) -> Path:
    for candidate in (path / "model.onnx", path / "onnx" / "model.onnx"):
        if candidate.exists():
            return candidate
    found = sorted(path.rglob("*.onnx"))
    if len(found) == 1:
        return found[0]
    shown = f"{len(found)} of them" if found else "none"
    raise FileFormatError(
        f"{path}: needs one network in ONNX form, and there is {shown}; export the sentence model to "
        f"{path / 'model.onnx'}"
    )


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
