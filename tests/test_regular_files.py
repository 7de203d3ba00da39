"""A pipe where a file belongs is refused by every reader; none may wait for its other end."""

from __future__ import annotations

import os
import signal

import pytest

import folksong as fs
from folksong.evaluation.analyses import read_truth
from folksong.experiment import read_plan
from folksong.export.keras_file import read_keras_weights
from folksong.labels.dictionary import read_tag_dictionary
from folksong.tags.cleaning.merges import read_merges
from folksong.tags.cleaning.recipe import read_recipe

READERS = {
    "x.csv": fs.read_tags,
    "x.db": fs.read_tags,
    "tracks.csv": fs.read_catalogue,
    "x.labels.json": fs.LabelSpace.read,
    "x.split.json": fs.Split.read,
    "vectors.txt": fs.read_vectors,
    "vectors.bin": fs.read_vectors,
    "config.json": fs.Config.read,
    "plan.toml": read_plan,
    "recipe.toml": read_recipe,
    "merges.tsv": read_merges,
    "genres.txt": fs.labels.read_genres,
    "tags_dict_3.pkl": read_tag_dictionary,
    "truth.csv": read_truth,
    "model.h5": read_keras_weights,
}


@pytest.mark.parametrize("name", READERS)
def test_c2_a_pipe_is_refused(name, tmp_path):
    os.mkfifo(tmp_path / name)
    signal.alarm(20)  # a reader that waits is ended, and the test with it
    try:
        with pytest.raises(fs.FolksongError, match=name):
            READERS[name](tmp_path / name)
    finally:
        signal.alarm(0)
