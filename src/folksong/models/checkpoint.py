"""Weights on disk: ``*.ckpt`` files that PyTorch reads without running code from them (``weights_only``)."""

from __future__ import annotations

import os
import pickletools
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from zipfile import ZIP_STORED, BadZipFile, ZipFile, is_zipfile

import torch
from torch import nn

from folksong.embeddings.store import EMBEDDINGS
from folksong.errors import FileFormatError, FolksongError, first_line
from folksong.files import atomic_write, reading
from folksong.labels.space import LabelSpace
from folksong.models.heads import EmbeddingHead
from folksong.models.pretrained.network_with_head import NetworkWithHead
from folksong.models.tagger import Tagger

if TYPE_CHECKING:
    from folksong.runs import Run

FORMAT = "folksong.checkpoint"
MOST_ITEMS = 1000  # of a tuple and those in it; a tensor's is of about 20
NETWORK = "network"  # key of the settings of a network that others trained


def write_checkpoint(path: str | os.PathLike[str], content: dict[str, Any]) -> None:
    """Write tensors and plain values, whole or not at all. ``content["tagger"]`` is the tagger's state dict."""
    with atomic_write(path) as stream:  # of a name, PyTorch would write it into the archive
        torch.save({"format": FORMAT, **content}, stream)


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what `write_checkpoint` wrote, onto the CPU."""
    if not Path(path).is_file():
        raise FolksongError(f"{path}: no such checkpoint; the training did not get as far as to write it")
    if not is_zipfile(path):  # what torch.save writes is one; anything else would be tried as an old format
        raise FileFormatError(f"{path}: cut or damaged (not what torch.save writes)")
    try:
        with ZipFile(path) as archive:
            members = archive.infolist()
            if any(member.compress_type != ZIP_STORED for member in members):
                raise BadZipFile("a compressed archive")
            if len({member.filename for member in members}) < len(members):
                raise BadZipFile("two parts have one name")
            if (damaged := archive.testzip()) is not None:  # which torch.load does not look at
                raise BadZipFile(f"the CRC of {damaged} is wrong")
            for member in members:
                if member.filename.endswith(".pkl"):
                    _check_pickle(archive.read(member))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # PyTorch's reader fails in many ways on what it does not expect
        raise FileFormatError(f"{path}: cut or damaged ({first_line(error, 100)})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise FileFormatError(f"{path}: not a checkpoint of folksong")
    return content


def _check_pickle(data: bytes) -> None:
    """Refuse what PyTorch's reader of plain values does not: tuples in tuples that take endless time or stack to hash.

    The values are counted, never made: each stands on the stack as its number of items, those of its tuples included.
    """
    stack: list[int] = []  # 0 is a mark
    memo: dict[object, int] = {}
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif opcode.name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        else:
            before, items = opcode.stack_before, 1
            if pickletools.markobject in before:
                before = before[: before.index(pickletools.markobject)]
                while top := stack.pop():
                    items += top
            items += sum(stack.pop() for _ in before)
            if not opcode.name.startswith("TUPLE"):
                items = 1
            if items > MOST_ITEMS:
                raise ValueError("tuples within tuples, which no checkpoint has")
            stack += [int(one is not pickletools.markobject) and items for one in opcode.stack_after]


def load_model(run: Run, *, checkpoint: str | os.PathLike[str] | None = None) -> Tagger:
    """Return a run's tagger with its best weights, or those of another checkpoint, in evaluation mode, on the CPU."""
    if run.front_end == EMBEDDINGS:
        raise FolksongError(
            f"{run.path}: learned from embeddings and has a head, not a network that hears audio"
        )
    with reading(run.config_path):
        tagger = tagger_from_settings(run.network_settings, run.labels)
    _load_weights(tagger, run.best_checkpoint if checkpoint is None else checkpoint)
    return tagger.eval()


def tagger_from_settings(settings: dict[str, Any], labels: LabelSpace) -> Tagger:
    """Build the network that a run's or an exported model's settings describe, with random weights."""
    if NETWORK not in settings:
        return Tagger.from_settings(settings, labels)
    return cast(Tagger, NetworkWithHead.from_settings(settings, labels))  # all of it that is called


def load_head(run: Run) -> EmbeddingHead:
    """Return the head of a run on embeddings, in evaluation mode; see `load_model`."""
    with reading(run.config_path):
        head = EmbeddingHead.from_settings(run.network_settings, run.labels)
    _load_weights(head, run.best_checkpoint)
    return head.eval()


def _load_weights(network: nn.Module, path: str | os.PathLike[str]) -> None:
    try:
        network.load_state_dict(read_checkpoint(path)["tagger"])
    except (AttributeError, KeyError, RuntimeError, TypeError) as error:
        raise FileFormatError(
            f"{path}: the weights are not of the network that config.json describes; where another version of folksong "
            "trained it, train it again"
        ) from error
