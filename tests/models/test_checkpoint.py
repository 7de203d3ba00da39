"""A checkpoint that was changed anywhere is refused: weights that are a little wrong would tag a little wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from folksong.errors import FileFormatError
from folksong.models.checkpoint import read_checkpoint, write_checkpoint


def test_c6_a_flipped_bit_among_the_weights_is_found(tmp_path):
    path = tmp_path / "best.ckpt"
    write_checkpoint(path, {"tagger": {"weight": torch.arange(4096.0)}})
    assert read_checkpoint(path)["tagger"]["weight"][7] == 7
    content = bytearray(path.read_bytes())
    content[content.index(np.arange(100, 164, dtype=np.float32).tobytes()) + 5] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(FileFormatError, match=r"best.ckpt: cut or damaged \(the CRC of"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" + bytes(100), b"\x80\x02."])
def test_c6_what_is_no_checkpoint_is_said(tmp_path, content):
    (tmp_path / "x.ckpt").write_bytes(content)
    with pytest.raises(FileFormatError, match="cut or damaged"):
        read_checkpoint(tmp_path / "x.ckpt")
