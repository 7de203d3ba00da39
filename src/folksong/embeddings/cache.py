"""The cache of word-vector files: parsed once, memory-mapped ever after.

An entry is a folder named by a hash of the source's path, size and time of change: ``meta.json`` (written last),
``words.txt`` and ``vectors.f32``. It lies under ``$FOLKSONG_CACHE``, else ``$XDG_CACHE_HOME/folksong``, else
``~/.cache/folksong``: vector files are often on shared, read-only drives. Deleting it is always safe.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from folksong.embeddings.words import StoredVectors, Vectors
from folksong.errors import FolksongError
from folksong.files import cache_folder, describe_os_error, sha256_file

logger = logging.getLogger(__name__)

VERSION = 1


@dataclass(frozen=True)
class Block:
    """Some consecutive words of a file and their vectors, (n, dimension) float32."""

    words: list[str]
    vectors: Vectors


def entry_of(path: Path, member: str = "") -> Path:
    """Return the folder of a vector file's entry: another one as soon as the file's size or time changes.

    Args:
        path: the file.
        member: the name of the file inside it, where `path` is an archive.
    """
    status = path.stat()
    identity = f"{VERSION}\n{path.resolve()}\n{status.st_size}\n{status.st_mtime_ns}\n{member}"
    return cache_folder() / "vectors" / hashlib.sha256(identity.encode()).hexdigest()[:24]


def open_entry(entry: Path, source: str) -> StoredVectors | None:
    """Return the vectors of an entry, memory-mapped, or None where there is none (or a damaged one)."""
    try:
        meta = json.loads((entry / "meta.json").read_text(encoding="utf-8"))
        shape = (int(meta["n_words"]), int(meta["dimension"]))
        words = (entry / "words.txt").read_text(encoding="utf-8").split("\n")
        if len(words) != shape[0] or (entry / "vectors.f32").stat().st_size != 4 * shape[0] * shape[1]:
            return None
        vectors = np.memmap(entry / "vectors.f32", "<f4", mode="r", shape=shape)
        return StoredVectors(words, vectors, source, str(meta["sha256"]), trusted=True)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def store_entry(path: Path, blocks: Iterator[Block], source: str, member: str = "") -> StoredVectors:
    """Write the blocks of `path` as an entry and open it; of a word that occurs twice the first stays.

    A cache folder that cannot be written is no error: the vectors then stay in memory.
    """
    entry = entry_of(path, member)
    digest = sha256_file(path)
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".part-", dir=entry.parent))
    except OSError as error:
        logger.warning("no cache of the word vectors: %s", describe_os_error(error, entry.parent))
        return _in_memory(blocks, source, digest)
    try:
        _write(temporary, blocks, digest, source)
        if entry.exists():  # damaged, or made by another process meanwhile
            shutil.rmtree(entry)
        temporary.rename(entry)
    except OSError as error:
        raise FolksongError(describe_os_error(error, entry)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    opened = open_entry(entry, source)
    if opened is None:
        raise FolksongError(f"{entry}: the cache just written cannot be read; is the disk all right?")
    return opened


def _write(folder: Path, blocks: Iterator[Block], digest: str, source: str) -> None:
    n_words = dimension = 0
    with (
        (folder / "words.txt").open("w", encoding="utf-8", newline="\n") as words,
        (folder / "vectors.f32").open("wb") as vectors,
    ):
        for block in _without_repeats(blocks, source):
            words.write("\n".join(["", *block.words] if n_words else block.words))
            vectors.write(np.ascontiguousarray(block.vectors, "<f4").data)
            n_words += len(block.words)
            dimension = block.vectors.shape[1]
    meta: dict[str, Any] = {"n_words": n_words, "dimension": dimension, "sha256": digest, "source": source}
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


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


def _in_memory(blocks: Iterator[Block], source: str, digest: str) -> StoredVectors:
    kept = list(_without_repeats(blocks, source))
    words = [word for block in kept for word in block.words]
    return StoredVectors(words, np.concatenate([block.vectors for block in kept]), source, digest)
