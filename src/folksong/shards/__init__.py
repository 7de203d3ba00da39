"""Audio and tags on disk: TFRecord shards, written and read without TensorFlow."""
