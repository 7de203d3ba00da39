"""The commands of the page on the published experiments run, in order, on a small folksonomy."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from folksong.cli import main
from folksong.demo.corpus import build_folksonomy
from folksong.demo.recipes import plan_pieces, read_recipes
from folksong.labels import LabelSpace
from folksong.labels.dictionary import read_tag_dictionary
from folksong.tags.sources.read_tags import write_tags

PAGE = Path(__file__).resolve().parents[2] / "docs" / "thesis.md"
SMALLER = {"--threshold 100 --n-clusters 100": "--threshold 4 --n-clusters 40"}


def test_the_pages_label_spaces_can_be_built_as_it_says(tmp_path, monkeypatch):
    recipes = read_recipes()
    table = build_folksonomy(recipes, plan_pieces(recipes, per_subgenre=4)).table
    write_tags(table, tmp_path / "lastfm_tags.db")
    rng = np.random.default_rng(0)
    words = sorted({word for tag in table.tags for word in tag.lower().split()})
    rows = [" ".join([word, *(f"{number:.3f}" for number in rng.normal(size=20))]) for word in words]
    (tmp_path / "glove.6B.200d.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    block = re.search(r"```console\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    commands = [line[2:] for line in block[1].replace("\\\n", " ").splitlines() if line.startswith("$ ")]
    assert len(commands) >= 11
    monkeypatch.chdir(tmp_path)
    for command in commands:
        for published, smaller in SMALLER.items():
            command = re.sub(r"\s+", " ", command).replace(published, smaller)
        result = CliRunner().invoke(main, shlex.split(command)[1:])
        assert result.exit_code == 0, f"{command}: {result.output}"
    space = LabelSpace.read("model41.labels.json")
    assert len(set(read_tag_dictionary("tags_dict_500.pkl").values())) == len(space)
    assert Path("together.html").stat().st_size > 0
