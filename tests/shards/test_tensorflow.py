"""TensorFlow's own readers read our shards. Runs where TensorFlow is installed; it is no dependency of folksong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from folksong.shards.format import encode_example, frame

tf: Any = pytest.importorskip("tensorflow", reason="TensorFlow is not installed: its readers are not tried")

GOLDEN = Path(__file__).parent / "golden"
TAGS = [[b"rock", "été \N{ROCKET}".encode()], [], [b"x" * 10_000]]
WEIGHTS = [[100.0, 0.0], [], [7.0]]


def sounds() -> list[npt.NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(np.float32) for shape in (5000, 1, (96, 40))]


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "waveform_1.tfrecord"
    with path.open("wb") as stream:
        for number, (audio, tags, weights) in enumerate(zip(sounds(), TAGS, WEIGHTS, strict=True)):
            example = encode_example(
                {
                    "audio": audio,
                    "tags": tags,
                    "tags_weight": np.array(weights, np.float32),
                    "tid": [f"TR{number}".encode()],
                }
            )
            stream.writelines(frame(example))
    return path


def test_tf_data_reads_a_shard(shard: Path) -> None:
    """The parsing code of TensorFlow's TFRecord tutorial."""
    description = {
        "audio": tf.io.VarLenFeature(tf.float32),
        "tid": tf.io.FixedLenFeature([], tf.string),
        "tags": tf.io.VarLenFeature(tf.string),
        "tags_weight": tf.io.VarLenFeature(tf.float32),
    }
    raw = tf.data.TFRecordDataset([str(shard)])
    parsed = list(raw.map(lambda record: tf.io.parse_single_example(record, description)))
    assert len(parsed) == 3
    for number, (row, audio) in enumerate(zip(parsed, sounds(), strict=True)):
        np.testing.assert_array_equal(tf.sparse.to_dense(row["audio"]).numpy(), audio.ravel())
        assert row["tid"].numpy() == f"TR{number}".encode()
        assert tf.sparse.to_dense(row["tags"]).numpy().tolist() == TAGS[number]
        assert tf.sparse.to_dense(row["tags_weight"]).numpy().tolist() == WEIGHTS[number]


def test_the_message_class_reads_a_record(shard: Path) -> None:
    for number, record in enumerate(tf.data.TFRecordDataset([str(shard)])):
        example = tf.train.Example.FromString(record.numpy())
        assert list(example.features.feature["tags"].bytes_list.value) == TAGS[number]
        assert example.features.feature["audio"].float_list.value == sounds()[number].ravel().tolist()


def test_tensorflow_finds_our_damage(shard: Path) -> None:
    content = bytearray(shard.read_bytes())
    content[9000] ^= 1
    shard.write_bytes(bytes(content))
    with pytest.raises(tf.errors.DataLossError):
        list(tf.data.TFRecordDataset([str(shard)]))


def test_the_golden_files_are_what_tensorflow_writes(tmp_path: Path) -> None:
    import runpy

    names = ("strings.tfrecord", "one_hot.tfrecord", "one_hot_multi.tfrecord")
    script = runpy.run_path(str(GOLDEN / "make_golden.py"))
    script["main"].__globals__["HERE"] = tmp_path
    script["main"]()
    for name in names:
        assert (tmp_path / name).read_bytes() == (GOLDEN / name).read_bytes()
