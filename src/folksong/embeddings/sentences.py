"""Vectors of whole tags from a sentence model: an ONNX network and its tokenizer in a local folder.

The folder holds ``tokenizer.json`` and ``model.onnx`` (or ``onnx/model.onnx``, or one single ``*.onnx`` file), as
sentence-transformers models are published. The tokens' last hidden states are averaged under the attention mask.
Nothing is ever downloaded.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from folksong.embeddings.words import Embedded, Vectors, WordVectors
from folksong.errors import FileFormatError, FolksongError, needs_extra
from folksong.files import sha256_file

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
