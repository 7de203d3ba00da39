"""Labels in files' own tags: read back by mutagen, the sound untouched, the file whole whatever happens."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import av
import mutagen
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from folksong.audio.decode import decode
from folksong.cli import main
from folksong.errors import AudioError, FolksongError
from folksong.prediction import file_tags, load_tagger
from folksong.prediction.file_tags import FieldChange, write_labels

RATE = 16_000
ENDINGS = (".mp3", ".flac", ".ogg", ".m4a", ".wav", ".opus")
FIELDS = ("genre", "grouping", "mood")


def write_sound(path):
    sound = (0.3 * np.sin(np.arange(2 * RATE) / 9)).astype(np.float32)
    if path.suffix != ".m4a":
        kind = {".opus": {"format": "OGG", "subtype": "OPUS"}}.get(path.suffix, {})
        soundfile.write(path, sound, RATE, **kind)
        return
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        for start in range(0, len(sound), 1024):
            frame = av.AudioFrame.from_ndarray(sound[None, start : start + 1024], "fltp", "mono")
            frame.sample_rate = RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def values_in(path, field):
    """Read a field independently of what wrote it."""
    file = mutagen.File(path)
    key = {
        ".mp3": {"genre": "TCON", "grouping": "TIT1", "mood": "TMOO"},
        ".wav": {"genre": "TCON", "grouping": "TIT1", "mood": "TMOO"},
        ".m4a": {"genre": "\xa9gen", "grouping": "\xa9grp", "mood": "----:com.apple.iTunes:MOOD"},
    }.get(path.suffix, {name: name for name in FIELDS})[field]
    value = (file.tags or {}).get(key, [])
    return [one.decode() if isinstance(one, bytes) else str(one) for one in getattr(value, "text", value)]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    for ending in ENDINGS:
        write_sound(folder / f"sound{ending}")
    return folder


@pytest.fixture(params=ENDINGS)
def sound(request, sounds, tmp_path):
    return shutil.copy(sounds / f"sound{request.param}", tmp_path / f"my sound{request.param}")


@pytest.mark.parametrize("field", FIELDS)
def test_labels_can_be_read_back_and_the_sound_is_the_same(sound, field):
    before = decode(sound, RATE)
    sound.chmod(0o640)
    change = write_labels(sound, ["female vocalists", "60s", "日本"], field=field)
    assert change == FieldChange(str(sound), (), ("female vocalists", "60s", "日本"))
    assert values_in(sound, field) == ["female vocalists", "60s", "日本"]
    assert [values_in(sound, other) for other in FIELDS if other != field] == [[], []]
    np.testing.assert_array_equal(decode(sound, RATE), before)
    assert sound.stat().st_mode & 0o777 == 0o640
    assert list(sound.parent.iterdir()) == [sound]


def test_what_is_there_is_kept_unless_it_is_said_otherwise(sound):
    write_labels(sound, ["Jazz", "calm"])
    with pytest.raises(AudioError, match=r"its grouping says 'Jazz', 'calm' already; --append adds"):
        write_labels(sound, ["rock"])
    assert values_in(sound, "grouping") == ["Jazz", "calm"]
    assert write_labels(sound, ["jazz", "rock"], existing="append").after == ("Jazz", "calm", "rock")
    assert values_in(sound, "grouping") == ["Jazz", "calm", "rock"]
    assert write_labels(sound, ["pop"], existing="replace").before == ("Jazz", "calm", "rock")
    assert values_in(sound, "grouping") == ["pop"]


def test_nothing_to_change_changes_no_byte(sound):
    write_labels(sound, ["pop"])
    before = sound.read_bytes(), sound.stat().st_mtime_ns
    write_labels(sound, ["pop"])
    write_labels(sound, ["POP"], existing="append")
    write_labels(sound, [], existing="replace")
    write_labels(sound, ["rock"], existing="replace", dry_run=True)
    assert (sound.read_bytes(), sound.stat().st_mtime_ns) == before


def test_other_tags_stay(sounds, tmp_path):
    file = shutil.copy(sounds / "sound.mp3", tmp_path / "a.mp3")
    tagged = mutagen.File(file)
    tagged.add_tags()
    tagged.tags.add(mutagen.id3.TPE1(encoding=3, text=["Nina"]))
    tagged.tags.add(mutagen.id3.APIC(encoding=3, mime="image/png", type=3, desc="", data=b"picture"))
    tagged.tags.add(mutagen.id3.TCON(encoding=3, text=["(8)"]))
    tagged.save()
    assert write_labels(file, ["soul"], field="genre", existing="append").before == ("Jazz",)  # number 8
    tags = mutagen.File(file).tags
    assert tags["TPE1"].text == ["Nina"]
    assert tags.getall("APIC")[0].data == b"picture"
    assert tags["TCON"].text == ["Jazz", "soul"]


def test_a_failure_while_writing_leaves_the_old_file(sound, monkeypatch):
    before = sound.read_bytes()

    def half(path, *given):
        path.write_bytes(path.read_bytes()[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(file_tags, "_set", half)
    with pytest.raises(FolksongError, match="the disk is full"):
        write_labels(sound, ["pop"])
    assert sound.read_bytes() == before
    monkeypatch.setattr(file_tags, "_set", lambda *given: None)
    with pytest.raises(AudioError, match="did not take the labels; the file is as it was"):
        write_labels(sound, ["pop"])
    assert list(sound.parent.iterdir()) == [sound]


def test_a_link_stays_one(sounds, tmp_path):
    file = shutil.copy(sounds / "sound.flac", tmp_path / "a.flac")
    (tmp_path / "link.flac").symlink_to(file)
    write_labels(tmp_path / "link.flac", ["pop"])
    assert (tmp_path / "link.flac").is_symlink()
    assert values_in(file, "grouping") == ["pop"]


def test_files_without_such_tags_are_named(tmp_path):
    for name, content in (("a.mp3", b"text"), ("b.flac", b""), ("c.ogg", b"OggS" + bytes(200))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(AudioError, match=name):
            write_labels(tmp_path / name, ["pop"])
        assert (tmp_path / name).read_bytes() == content


def predict(*words):
    return CliRunner().invoke(main, ["predict", *map(str, words)], catch_exceptions=False)


def test_the_command_writes_what_it_predicts(tiny_run, sounds, tmp_path):
    files = [Path(shutil.copy(sounds / f"sound{ending}", tmp_path)) for ending in (".mp3", ".flac")]
    tagger = load_tagger(tiny_run.folder)
    expected, other = ([label for label, _ in tagger.tag(file, top=2)] for file in files)
    options = ["--write-tags", "--top", 2, "--field", "mood"]
    result = predict(tiny_run.folder, tmp_path, *options, "--dry-run")
    assert f"sound.mp3: {'; '.join(expected)} (was empty)" in result.stderr
    assert values_in(files[0], "mood") == []
    assert predict(tiny_run.folder, tmp_path, *options).exit_code == 0
    assert [values_in(file, "mood") for file in files] == [expected, other]
    write_labels(files[1], ["mine"], field="mood", existing="replace")
    result = predict(tiny_run.folder, tmp_path, *options)
    assert result.exit_code == 1
    assert "sound.flac: its mood says 'mine' already" in result.stderr
    assert "sound.mp3" in result.stderr
    assert "1 of 2 could not be tagged and written" in result.stderr
    assert predict(tiny_run.folder, tmp_path, *options, "--append").exit_code == 0
    assert values_in(files[1], "mood") == ["mine", *other]
    assert predict(tiny_run.folder, tmp_path, *options, "--replace").exit_code == 0
    assert values_in(files[1], "mood") == other


def test_the_command_wants_to_know_which_labels(tiny_run, sounds, monkeypatch):
    file = sounds / "sound.mp3"
    result = predict(tiny_run.folder, file, "--write-tags")
    assert (result.exit_code, "give --threshold or --top" in result.stderr) == (2, True)
    result = predict(tiny_run.folder, file, "--append")
    assert (result.exit_code, "are for --write-tags" in result.stderr) == (2, True)
    monkeypatch.setitem(sys.modules, "mutagen", None)
    result = predict(tiny_run.folder, file, "--write-tags", "--top", 1)
    assert result.exit_code == 1
    assert "needs mutagen: pip install 'folksong[library]'" in result.stderr
