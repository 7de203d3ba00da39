"""The plugin and the lists for lastgenre, by real `beet` processes with libraries of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

import folksong as fs
from folksong.cli import main

pytest.importorskip("beets")
mediafile = pytest.importorskip("mediafile")

GENRES = {"tone": "jazz", "chirp": "techno", "noise": "metal", "clicks": "folk"}


@pytest.fixture(scope="module")
def model(tmp_path_factory, sound) -> Path:
    """An exported head that tells four sounds apart by the names of genres, and hears one as a mood too."""
    place = tmp_path_factory.mktemp("model")
    pairs = []
    for kind, genre in GENRES.items():
        for number in range(10):
            soundfile.write(place / f"{kind}{number}.wav", sound(kind, number, 1.0), 16_000)
            pairs += [(f"{kind}{number}", genre)] + [(f"{kind}{number}", "happy")] * (kind == "tone")
    fs.embed_audio(place, place / "features", "statistics", jobs=1)
    tags = fs.TagTable.from_pairs(*zip(*pairs, strict=True))
    run = fs.train("embeddings", place / "features", tags=tags, out=place / "run", fractions=(60, 20, 20))
    from folksong.export.folder import export_folder

    return export_folder(run, place / "exported")


@pytest.fixture
def beet(tmp_path, model, sound):
    """Return a function that runs beet with a library of its own, and the music to import."""
    music = tmp_path / "music"
    music.mkdir()
    for kind, genre in (("tone", ""), ("noise", "polka"), ("clicks", "")):
        samples = sound(kind, 99, 1.0)
        soundfile.write(music / f"{kind}.flac", samples, 16_000)
        tags = mediafile.MediaFile(music / f"{kind}.flac")
        tags.update(
            {"title": kind, "artist": "nobody", "album": "sounds", **({"genre": genre} if genre else {})}
        )
        tags.save()
    (music / "broken.mp3").write_bytes(b"ID3" + bytes(5000))

    def run(*words: str, **settings: object) -> subprocess.CompletedProcess[str]:
        config = tmp_path / "config.yaml"
        lines = [
            f"    {name}: {value}\n"
            for name, value in {"model": model, "threshold": 0.22, **settings}.items()
        ]
        config.write_text(
            f"directory: {tmp_path / 'sorted'}\nlibrary: {tmp_path / 'library.db'}\nplugins: folksong\n"
            f"import:\n    copy: no\nfolksong:\n{''.join(lines)}"
        )
        done = subprocess.run(
            [sys.executable, "-m", "beets", "-c", str(config), *words], capture_output=True, text=True, check=False,
            env={**os.environ, "BEETSDIR": str(tmp_path)}, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run, music


def fields(music: Path, name: str) -> tuple[list[str], str | None]:
    found = mediafile.MediaFile(music / f"{name}.flac")
    import mutagen

    mood = mutagen.File(music / f"{name}.flac").get("mood")
    return list(found.genres or []), None if mood is None else mood[0]


def test_import_and_command(beet):
    run, music = beet
    run("import", "-q", "-A", str(music))
    assert "jazz" in run("list", "-f", "$genres", "title:tone").stdout
    run("write")  # without a match beets leaves files as they are
    assert fields(music, "tone") == (["jazz"], "happy")
    assert fields(music, "noise") == (["polka"], None)  # what is there stays
    assert fields(music, "clicks") == (["folk"], None)

    said = run("folksong", "--force", "--pretend", "title:noise").stdout
    assert "metal" in said
    assert fields(music, "noise") == (["polka"], None)
    run("folksong", "--force", "--keep-existing", "title:noise")
    assert fields(music, "noise") == (["polka", "metal"], None)
    run("folksong", "--force", "title:noise")
    assert fields(music, "noise")[0] == ["metal"]


def test_whitelist_and_fields(beet, tmp_path):
    run, music = beet
    (tmp_path / "allowed.txt").write_text("# mine\nFolk\n")
    run("import", "-q", "-A", str(music), whitelist=tmp_path / "allowed.txt")
    run("write")
    assert fields(music, "tone") == ([], None)
    assert fields(music, "clicks") == (["folk"], None)


def test_a_missing_model_is_one_line(beet, tmp_path):
    run, music = beet
    run("import", "-q", "-A", str(music), auto="no")
    with pytest.raises(AssertionError, match=r"error: folksong: .*nowhere: no such folder"):
        run("folksong", "-m", str(tmp_path / "nowhere"))


def test_lastgenre_reads_what_is_written_for_it(tmp_path, monkeypatch):
    from click.testing import CliRunner

    labels = (
        fs.labels.Label("rock", ("rock", "Hard Rock", 'a "quoted": tag', "#1 hits"), (), "genre"),
        fs.labels.Label("Hip-Hop", ("Hip-Hop", "rap"), (), "genre"),
        fs.labels.Label("sad", ("sad",), (), "mood"),
    )
    space = fs.LabelSpace(labels, {"hip hop": "Hip-Hop", "h.i.p": "Hip-Hop", "sadness": "sad"})
    space.write(tmp_path / "space.labels.json")
    monkeypatch.chdir(tmp_path)
    words = ["labels", "lastgenre", "space.labels.json", "genres.txt", "tree.yaml", "lastgenre.yaml"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    code = (
        "import beets, json, sys\n"
        "beets.config.set_file('lastgenre.yaml')\n"
        "from beetsplug.lastgenre import LastGenrePlugin\n"
        "plugin = LastGenrePlugin()\n"
        "beets.config['lastgenre']['count'] = 5\n"
        "tags = ['hard rock', 'a \"quoted\": tag', '#1 hits', 'RAP', 'hip hop', 'h.i.p', 'hxixp', 'sad']\n"
        "from beetsplug.lastgenre.utils import normalize_genre\n"
        "known = [normalize_genre(plugin._log, plugin.alias_patterns, tag.lower()) for tag in tags]\n"
        "print(json.dumps([sorted(plugin.whitelist), [plugin._resolve_genres([tag]) for tag in known]]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=100,
        env={**os.environ, "BEETSDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    whitelist, resolved = json.loads(done.stdout)
    assert whitelist == ["hip-hop", "rock"]
    assert resolved == [["rock"], ["rock"], ["rock"], ["hip-hop"], ["hip-hop"], ["hip-hop"], [], []]
    refused = CliRunner().invoke(main, [*words[:-1], "space.labels.json"])
    assert refused.exit_code != 0


def test_facets_are_those_of_the_tags_command_and_misspelt_settings_are_named(beet):
    from beetsplug.folksong import FolksongPlugin, ui

    beet, _ = beet
    plugin = FolksongPlugin()
    plugin.tagger = type("Tagger", (), {"labels": ["Violin or fiddle", "rock", "happy"]})()
    try:
        plugin.config.set({"genres": ["genre", "instruments"]})
        with pytest.raises(ui.UserError, match="no facet instruments; they are genre, instrument"):
            _ = plugin.fields
        plugin.config.set({"genres": ["genre", "instrument"]})
        assert plugin.fields == {"Violin or fiddle": "genres", "rock": "genres", "happy": "mood"}
    finally:
        plugin.config.set({"genres": ["genre"]})
    result = beet("folksong", "--pretend", cuont=1)
    assert "there is no setting cuont; they are model, count" in result.stdout + result.stderr
