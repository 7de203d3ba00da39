"""TensorFlow's checkpoints: what is read, what is refused, and that damage is named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from folksong.errors import FileFormatError, FolksongError
from folksong.models.pretrained.weights import is_tf_checkpoint, read_tf_checkpoint

TENSORS = {
    "conv/bias": np.arange(3, dtype=np.float32),
    "conv/kernel": np.arange(24, dtype=np.float32).reshape(2, 1, 4, 3) - 7,
    "steps": np.array(17, np.int64),
    "wide": np.linspace(0, 1, 5),
}


def test_arrays_come_back_as_they_were(tmp_path, write_checkpoint):
    write_checkpoint(tmp_path / "epoch3-1", TENSORS)
    for name in ("epoch3-1", "epoch3-1.index"):
        assert is_tf_checkpoint(tmp_path / name)
        found = read_tf_checkpoint(tmp_path / name)
        assert set(found) == set(TENSORS)
        for key, array in TENSORS.items():
            assert found[key].dtype == array.dtype
            np.testing.assert_array_equal(found[key], array)


def test_variables_are_called_as_the_object_graph_calls_them(tmp_path, write_checkpoint):
    key = "model/layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE"
    write_checkpoint(tmp_path / "a", {key: np.ones(2, np.float32)}, {key: "conv0_wave/kernel"})
    assert list(read_tf_checkpoint(tmp_path / "a")) == ["conv0_wave/kernel"]
    both = {"one": np.zeros(1, np.float32), "two": np.ones(1, np.float32)}
    write_checkpoint(tmp_path / "b", both, dict.fromkeys(both, "Variable"))
    assert set(read_tf_checkpoint(tmp_path / "b")) == {"one", "two"}  # none takes another's place


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
@settings(deadline=None, max_examples=40)
@given(cut=st.integers(0, 10**6), flip=st.booleans())
def test_no_damage_goes_unseen(tmp_path_factory, write_checkpoint, suffix, cut, flip):
    folder = tmp_path_factory.mktemp("damaged")
    write_checkpoint(folder / "a", TENSORS)
    file = folder / f"a{suffix}"
    content = bytearray(file.read_bytes())
    place = cut % len(content)
    if suffix == ".index" and len(content) - 42 <= place < len(content) - 8:
        return  # the footer's padding behind its handles, which nothing reads
    if flip:
        content[place] ^= 0x40
        file.write_bytes(content)
    else:
        file.write_bytes(content[:place])
    with pytest.raises(FileFormatError, match=r"a\.(index|data)"):
        read_tf_checkpoint(folder / "a")


def test_a_missing_file_is_named(tmp_path, write_checkpoint):
    with pytest.raises(FolksongError, match=r"none\.index: no such file"):
        read_tf_checkpoint(tmp_path / "none")
    write_checkpoint(tmp_path / "a", TENSORS)
    (tmp_path / "a.data-00000-of-00001").unlink()
    with pytest.raises(FolksongError, match=r"a\.data-00000-of-00001: no such file"):
        read_tf_checkpoint(tmp_path / "a")


def test_any_other_file_is_refused(tmp_path):
    (tmp_path / "a.index").write_text("a list of contents, not an index of tensors\n" * 3)
    with pytest.raises(FileFormatError, match=r"a\.index: cut, damaged, or no TensorFlow checkpoint"):
        read_tf_checkpoint(tmp_path / "a")


def test_tensorflow_writes_what_we_read(tmp_path):
    tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    kernel = tf.Variable(np.arange(6, dtype=np.float32).reshape(2, 3), name="kernel")
    path = tf.train.Checkpoint(kernel=kernel, many=[tf.Variable(float(n)) for n in range(300)]).save(
        str(tmp_path / "epoch1")
    )
    found = read_tf_checkpoint(path)
    assert any(array.shape == (2, 3) and (array == kernel.numpy()).all() for array in found.values())
    assert len(found) == 302  # and the counter of savings
