"""Networks that others trained, in prediction: no run is needed, and the README shows what they say."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import folksong as fs
from folksong.cli import main
from folksong.models.pretrained import weights
from folksong.models.pretrained.musicnn import PRESET, WINDOW_SECONDS, read_tags_of

ROOT = Path(__file__).parents[2]
RECORDINGS = ROOT.parent / "shared/data/audio/cc"


@pytest.fixture
def fetched(wheel, monkeypatch):
    monkeypatch.setattr(weights, "kept_wheel", lambda: wheel)


def test_a_network_is_a_tagger(fetched, caplog):
    with caplog.at_level(logging.INFO):
        tagger = fs.load_tagger("musicnn-msd")
    assert caplog.text.count("about 200,000 songs of the Million Song Dataset") == 1
    assert tagger.labels == read_tags_of("musicnn-msd")
    assert tagger.audio.preset == PRESET
    assert tagger.window_steps == 187 == int(WINDOW_SECONDS * 16_000 / 256)
    samples = (0.1 * np.random.default_rng(0).standard_normal(4 * 16_000)).astype(np.float32)
    scores = tagger.scores(samples)
    assert scores.shape == (50,)
    assert 0 < scores.min() < scores.max() < 1
    np.testing.assert_array_equal(scores, tagger.scores(samples))


def test_other_precisions_are_refused(fetched):
    with pytest.raises(fs.FolksongError, match="computes in 32 bits only, not in bf16"):
        fs.load_tagger("vgg-mtt", precision="bf16")


def test_missing_weights_are_told_with_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("FOLKSONG_CACHE", str(tmp_path))
    result = CliRunner().invoke(main, ["predict", "musicnn-mtt", "song.mp3"])
    assert result.exit_code == 1
    assert "This gets them: folksong models fetch musicnn" in result.output


def test_the_readme_shows_the_true_output(fetched):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    command, name = re.search(r"^folksong (predict musicnn-msd (\S+))$", text, re.MULTILINE).groups()
    if not (RECORDINGS / name).is_file():
        pytest.skip(f"the recording {name} of ../shared/data is not here")
    shown = re.search(rf"```text\n({re.escape(name)} .*?)```", text, re.DOTALL)[1]
    result = CliRunner().invoke(main, [*command.split()[:-1], str(RECORDINGS / name)])
    assert shown in result.output.replace(f"{RECORDINGS}/", "")
