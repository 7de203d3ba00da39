"""Was a file cut short? Told by what its container promises, since libsndfile takes what is there in silence."""

from __future__ import annotations

import os
from pathlib import Path

OGG_PAGE_BYTES_MAX = 27 + 255 + 255 * 255
OGG_LAST_PAGE = 0x04  # flag of the page that ends a stream


def describe_cut(file: Path, format: str) -> str | None:  # noqa: A002 - the word of `Recording.format`
    """Return what is missing at the end of a wav, aiff or ogg file, or None where nothing seems to be."""
    if format in ("wav", "aiff"):
        return _cut_chunk(file)
    return _cut_ogg(file) if format == "ogg" else None


def _cut_chunk(file: Path) -> str | None:
    """Compare the size in the head of a RIFF or FORM file with the size that the file has."""
    with file.open("rb") as stream:
        head = stream.read(8)
    order = {b"RIFF": "little", b"RIFX": "big", b"FORM": "big"}.get(head[:4])
    if order is None:
        return None
    promised = int.from_bytes(head[4:8], "little" if order == "little" else "big") + 8
    size = file.stat().st_size
    streamed = promised in (8, 0xFFFFFFFF + 8)  # a writer that could not seek back leaves 0 or all ones
    if streamed or promised <= size + 1:  # an odd last chunk may lack its padding byte
        return None
    return f"holds {size} of the {promised} bytes that it promises"


def _cut_ogg(file: Path) -> str | None:
    """Look at the last page: it must be whole and marked as the end of its stream."""
    with file.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(0, stream.tell() - OGG_PAGE_BYTES_MAX))
        tail = stream.read()
    start = tail.rfind(b"OggS\x00")
    if start < 0 or len(tail) - start < 27:
        return "cut: it ends without a last page"
    lengths = tail[start + 27 : start + 27 + tail[start + 26]]
    end = start + 27 + len(lengths) + sum(lengths)
    if len(lengths) < tail[start + 26] or end > len(tail):
        return "cut in the middle of a page"
    if not tail[start + 5] & OGG_LAST_PAGE:
        return "cut: its last page is not the end of the stream"
    return None
