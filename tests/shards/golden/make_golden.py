"""Make the golden TFRecord files with TensorFlow itself (2.21.0 made those committed): ``python make_golden.py``.

`strings.tfrecord` holds records as folksong writes them; `one_hot.tfrecord` and `one_hot_multi.tfrecord` the earlier
project's layout, in which tags are an int64 one-hot over the rows of the tag database.
"""

from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
TRACKS = (
    ("TRAAA", 40, ["rock", "hip hop", "été \N{ROCKET}"], [100.0, 7.0, 0.0]),
    ("TRAAB", 25, [], []),
    ("TRAAC", 60, ["rock"], [3.0]),
)
ONE_HOTS = ([0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1])


def audio(track: int, n_samples: int) -> np.ndarray:
    return (np.sin(np.arange(n_samples) * (track + 1)) * 0.5).astype(np.float32)


def main() -> None:
    import tensorflow as tf

    def floats(values: object) -> tf.train.Feature:
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    def texts(values: list[str]) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode() for value in values]))

    def integers(values: list[int]) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    def write(name: str, rows: list[dict[str, tf.train.Feature]]) -> None:
        with tf.io.TFRecordWriter(str(HERE / name)) as writer:
            for row in rows:
                example = tf.train.Example(features=tf.train.Features(feature=row))
                writer.write(example.SerializeToString(deterministic=True))

    sounds = [{"audio": floats(audio(i, n)), "tid": texts([tid])} for i, (tid, n, _, _) in enumerate(TRACKS)]
    tags = [{"tags": texts(names), "tags_weight": floats(weights)} for _, _, names, weights in TRACKS]
    write("strings.tfrecord", [{**sound, **tag} for sound, tag in zip(sounds, tags, strict=True)])
    write("one_hot.tfrecord", [{**s, "tags": integers(row)} for s, row in zip(sounds, ONE_HOTS, strict=True)])
    several = [{"tags_0": integers(row), "tags_1": integers(row[::-1])} for row in ONE_HOTS]
    write("one_hot_multi.tfrecord", [{**s, **tag} for s, tag in zip(sounds, several, strict=True)])


if __name__ == "__main__":
    main()
