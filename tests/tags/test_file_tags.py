"""Labels in files' own tags: read back by mutagen, the sound untouched, the file whole whatever happens."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import struct
import subprocess
import sys
import time
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
from folksong.prediction import load_tagger
from folksong.tags import file_tags
from folksong.tags.file_tags import FieldChange, read_record, restore_fields, write_labels

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
    assert change == FieldChange(str(sound), field, (), ("female vocalists", "60s", "日本"))
    assert values_in(sound, field) == ["female vocalists", "60s", "日本"]
    assert [values_in(sound, other) for other in FIELDS if other != field] == [[], []]
    np.testing.assert_array_equal(decode(sound, RATE), before)
    assert sound.stat().st_mode & 0o777 == 0o640
    assert list(sound.parent.iterdir()) == [sound]


def test_what_is_there_is_kept_unless_it_is_said_otherwise(sound):
    write_labels(sound, ["Jazz", "calm"])
    assert write_labels(sound, ["rock"]).after == ("Jazz", "calm")
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


def size_of(n_bytes, version):
    if version == 3:
        return struct.pack(">I", n_bytes)
    return bytes(n_bytes >> shift & 127 for shift in (21, 14, 7, 0))


def first_frame(data):
    return re.search(rb"\xff[\xf2\xf3\xfa\xfb]", data).start()


def write_id3(path, frames, version, flags=0, end=b""):
    """Put a tag of raw frames before the sound of an mp3 file."""
    data = path.read_bytes()
    body = b"".join(name + size_of(len(text), version) + b"\0\0" + text for name, text in frames)
    head = b"ID3" + bytes([version, 0, flags]) + size_of(len(body), 4)
    path.write_bytes(head + body + data[first_frame(data) :] + end)


def frames_in(path):
    """Return an mp3's ID3 version and its raw frames."""
    data = path.read_bytes()
    version, place, frames = data[3], 10, {}
    end = 10 + sum(byte << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
    while place < end and data[place]:
        raw, bits = data[place + 4 : place + 8], 8 if version == 3 else 7
        length = sum(byte << bits * (3 - position) for position, byte in enumerate(raw))
        frames.setdefault(data[place : place + 4], []).append(data[place + 10 : place + 10 + length])
        place += 10 + length
    return version, frames


ODD_FRAMES = [
    (b"TIT2", b"\0Song"),
    (b"TYER", b"\x001999"),
    (b"TDAT", b"\x003112"),
    (b"IPLS", b"\0producer\0Someone\0"),
    (b"RVAD", b"\x03\x10\x01\x00\x01\x00\x00\x00\x00\x00"),
    (b"EQUA", b"\x10\x80\x10\x00\x20"),
    (b"TSIZ", b"\x0012345"),
    (b"XSOP", b"\0Sort, Name"),
    (b"RGAD", b"\x3f\x80\0\0\x2c\1\x4c\1"),
    (b"NCON", b"\1\2\3" * 9),
    (b"XXYZ", b"\1private"),
    (b"PRIV", b"owner\0\1\2\3"),
    (b"APIC", b"\0image/jpeg\0\3\0" + bytes(range(256)) * 20),
    (b"TXXX", b"\0NOTE\0one"),
    (b"COMM", b"\0eng\0comment"),
]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("version", [3, 4])
def test_16_d5_id3_keeps_its_version_and_all_other_frames(sounds, tmp_path, version, field):
    file = Path(shutil.copy(sounds / "sound.mp3", tmp_path / "a.mp3"))
    write_id3(file, ODD_FRAMES, version, end=b"TAG" + b"Other title".ljust(124, b"\0") + bytes([17]))
    end, before = file.read_bytes()[-128:], decode(file, RATE)
    write_labels(file, ["rock", "日本"], field=field, existing="replace")  # ID3v1 names a genre
    now, frames = frames_in(file)
    own = {"genre": b"TCON", "grouping": b"TIT1", "mood": b"TMOO"}[field]
    assert now == version
    assert set(frames) - {own} == {name for name, _ in ODD_FRAMES}
    assert all(frames[name] == [text] for name, text in ODD_FRAMES)
    assert values_in(file, field) == ["rock", "日本"]
    assert file.read_bytes()[-128:] == end
    np.testing.assert_array_equal(decode(file, RATE), before)


def test_16_d5_unsynchronised_frames_stay_readable(sounds, tmp_path):
    """In a v2.4 tag whose header alone says so, kept frames must say it themselves."""
    file = Path(shutil.copy(sounds / "sound.mp3", tmp_path / "a.mp3"))
    write_id3(file, [(b"PRIV", b"owner\0\xff\x00\xe0\xff\x00")], 4, flags=0x80)
    before = mutagen.File(file).tags.getall("PRIV")[0].data
    write_labels(file, ["rock"])
    assert mutagen.File(file).tags.getall("PRIV")[0].data == before == b"\xff\xe0\xff"


def test_16_d5_old_id3v22_becomes_v23(sounds, tmp_path):
    file = Path(shutil.copy(sounds / "sound.mp3", tmp_path / "a.mp3"))
    data = file.read_bytes()
    body = b"TT2\0\0\5\0Song" + b"TP1\0\0\5\0Nina"
    file.write_bytes(b"ID3\2\0\0" + size_of(len(body), 4) + body + data[first_frame(data) :])
    write_labels(file, ["rock"])
    tags = mutagen.File(file).tags
    assert (tags["TIT2"].text, tags["TPE1"].text, tags["TIT1"].text) == (["Song"], ["Nina"], ["rock"])


def write_wav_with_genre(path):
    """Write a wav whose LIST INFO names a genre, as ffmpeg does."""
    soundfile.write(path, np.sin(np.arange(RATE) / 9) * 0.3, RATE)
    info = b"INFOIGNR" + struct.pack("<I", 5) + b"Jazz\0\0" + b"ISFT" + struct.pack("<I", 4) + b"Lavf"
    data = path.read_bytes() + b"LIST" + struct.pack("<I", len(info)) + info
    path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])


def test_16_d5_wherever_a_value_stands_the_field_is_filled(sounds, tmp_path):
    """TXXX frames, APEv2 beside ID3 and LIST INFO of a wav count; replaced, they all say the same."""
    from mutagen import apev2, id3

    mood, ape, wav = tmp_path / "mood.mp3", tmp_path / "ape.mp3", tmp_path / "info.wav"
    for file in (mood, ape):
        shutil.copy(sounds / "sound.mp3", file)
    tagged = id3.ID3()
    tagged.add(id3.TXXX(encoding=3, desc="MOOD", text=["dark"]))
    tagged.add(id3.TXXX(encoding=3, desc="Grouping", text=["study"]))
    tagged.save(mood, v2_version=3)
    tags = apev2.APEv2()
    tags["Genre"] = ["Rock", "Folk"]
    tags.save(ape)
    write_wav_with_genre(wav)
    for file, field, before in (
        (mood, "mood", ("dark",)),
        (mood, "grouping", ("study",)),
        (ape, "genre", ("Rock", "Folk")),
        (wav, "genre", ("Jazz",)),
    ):
        assert write_labels(file, ["happy"], field=field).after == before
        assert write_labels(file, ["happy"], field=field, existing="append").before == before
        assert write_labels(file, ["calm"], field=field, existing="replace").before == (*before, "happy")
        assert write_labels(file, ["calm"], field=field).before == ("calm",)
    assert id3.ID3(mood).getall("TXXX:MOOD")[0].text == ["calm"]
    assert list(apev2.APEv2(ape)["Genre"]) == ["calm"]
    assert mutagen.File(ape).tags["TCON"].text == ["calm"]
    assert b"Lavf" in wav.read_bytes()
    assert b"IGNR" not in wav.read_bytes()


@pytest.mark.parametrize("label", ["80", "(500) days", "(8)", "((x", "7 seconds", "(RX) deluxe", "CR"])
@pytest.mark.parametrize("field", ["genre", "grouping"])
def test_23_6_labels_of_digits_and_parentheses(sound, label, field):
    if sound.suffix == ".mp3":
        write_id3(sound, [(b"TIT2", b"\0Song")], 3)
    change = write_labels(sound, ["pop", label], field=field)
    assert change.after == ("pop", label)
    assert write_labels(sound, ["pop", label], field=field).after == change.after or field == "genre"
    assert mutagen.File(sound).tags is not None


@pytest.mark.parametrize("existing", ["append", "replace"])
def test_16_d5_a_wav_of_unknown_length_does_not_end_the_batch(
    tiny_run, sounds, tmp_path, existing, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    wav = bytearray((sounds / "sound.wav").read_bytes())
    place = wav.index(b"data") + 4
    wav[4:8] = wav[place : place + 4] = b"\xff\xff\xff\xff"
    (tmp_path / "a.wav").write_bytes(wav)
    shutil.copy(sounds / "sound.mp3", tmp_path / "b.mp3")
    result = predict(tiny_run.folder, tmp_path, "--write-tags", "--top", 1, f"--{existing}")
    assert isinstance(result.exception, SystemExit | None)
    assert len(values_in(tmp_path / "b.mp3", "grouping")) == 1
    whole = (tmp_path / "a.wav").read_bytes()
    assert whole == wav or (values_in(tmp_path / "a.wav", "grouping") and len(whole) > len(wav))


def test_16_d5_long_names_in_scripts_of_three_bytes(sounds, tmp_path):
    file = Path(shutil.copy(sounds / "sound.flac", tmp_path / ("日" * 80 + ".flac")))
    write_labels(file, ["rock"])
    assert values_in(file, "grouping") == ["rock"]


def test_23_6_owner_mode_and_attributes_stay_and_links_are_warned_of(sounds, tmp_path, caplog):
    file = Path(shutil.copy(sounds / "sound.mp3", tmp_path / "a.mp3"))
    (tmp_path / "hard.mp3").hardlink_to(file)
    if os.geteuid() == 0:
        os.chown(file, 1234, 2345)
    file.chmod(0o640)
    with contextlib.suppress(OSError):
        os.setxattr(file, "user.note", b"x")
    os.utime(file, (1, 1))
    found, attributes = file.stat(), os.listxattr(file)
    write_labels(file, ["rock"])
    now = file.stat()
    assert (now.st_uid, now.st_gid, now.st_mode) == (found.st_uid, found.st_gid, found.st_mode)
    assert os.listxattr(file) == attributes
    assert now.st_mtime_ns > found.st_mtime_ns
    assert "a.mp3: has 2 names (hard links)" in caplog.text
    assert values_in(tmp_path / "hard.mp3", "grouping") == []


KILLED = """
import sys
from folksong.tags import file_tags
print("ready", flush=True)
sys.stdin.readline()
for number in range(10000):
    file_tags.write_labels(sys.argv[1], [f"label {number}"], existing="replace")
    if number == 0:
        print("wrote", flush=True)
"""


def test_16_c9_fifty_kills_leave_the_old_file_or_the_new_one(sounds, tmp_path):
    file = Path(shutil.copy(sounds / "sound.mp3", tmp_path / "a.mp3"))
    sound = decode(file, RATE)
    rng = np.random.default_rng(0)
    waiting: list[subprocess.Popen[bytes]] = []
    for _ in range(50):
        while len(waiting) < 2:
            words = [sys.executable, "-c", KILLED, str(file)]
            waiting.append(subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        process = waiting.pop(0)
        with process:
            process.stdout.readline()
            process.stdin.write(b"go\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"wrote\n"
            time.sleep(rng.uniform(0, 0.05))
            process.kill()
        (value,) = values_in(file, "grouping")
        assert value.startswith("label ")
        np.testing.assert_array_equal(decode(file, RATE), sound)
    for process in waiting:
        with process:
            process.kill()


def predict(*words):
    return CliRunner().invoke(main, ["predict", *map(str, words)], catch_exceptions=False)


def test_16_b4_the_command_writes_what_it_predicts(tiny_run, sounds, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    files = [Path(shutil.copy(sounds / f"sound{ending}", tmp_path)) for ending in (".mp3", ".flac")]
    tagger = load_tagger(tiny_run.folder)
    expected, other = ([label for label, _ in tagger.tag(file, top=2)] for file in files)
    options = ["--write-tags", "--top", 2, "--field", "mood"]
    result = predict(tiny_run.folder, tmp_path, *options, "--dry-run")
    assert f"sound.mp3: mood would be {'; '.join(expected)} (was empty)" in result.stderr
    assert "dry run: nothing was written; mood would change in 2 of 2 files" in result.stderr
    assert values_in(files[0], "mood") == []
    result = predict(tiny_run.folder, tmp_path, *options)
    assert result.exit_code == 0
    assert f"sound.mp3: mood is now {'; '.join(expected)} (was empty)" in result.stderr
    assert "mood was written into 2 of 2 files" in result.stderr
    assert [values_in(file, "mood") for file in files] == [expected, other]
    write_labels(files[1], ["mine"], field="mood", existing="replace")
    result = predict(tiny_run.folder, tmp_path, *options)
    assert result.exit_code == 0
    assert "sound.flac: mood stays mine" in result.stderr
    assert f"sound.mp3: mood stays {'; '.join(expected)}" in result.stderr
    assert "mood was written into 0 of 2 files" in result.stderr
    assert "2 left alone: mood says something; --append adds to that, --replace replaces it" in result.stderr
    assert "puts it back" not in result.stderr
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
    assert 'mutagen, which is not installed: pip install "folksong[library]"' in result.stderr


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("held", [[], ["Jazz", "80"]])
def test_16_b4_what_a_field_held_is_put_back(sound, field, held, tmp_path):
    record, heard = tmp_path / "record.jsonl", decode(sound, RATE)
    write_labels(sound, held, field=field)
    before = list(write_labels(sound, [], field=field).before)
    write_labels(sound, ["rock"], field=field, existing="append", record=record)
    write_labels(sound, ["calm", "pop"], field=field, existing="replace", record=record)
    write_labels(sound, ["calm", "pop"], field=field, existing="replace", record=record)  # changes nothing
    assert [change.after for change in read_record(record)] == [(*before, "rock"), ("calm", "pop")]
    assert len(list(restore_fields(record, dry_run=True, on_error=lambda *_: None))) == 1
    assert values_in(sound, field) == ["calm", "pop"]
    assert [list(change.after) for change in restore_fields(record)] == [[*before, "rock"], before]
    assert list(write_labels(sound, [], field=field).before) == before
    np.testing.assert_array_equal(decode(sound, RATE), heard)


def test_16_b4_every_tag_that_bears_a_field_is_put_back_and_the_others_stay(sounds, tmp_path):
    file = Path(shutil.copy(sounds / "sound.mp3", tmp_path / "a.mp3"))
    frames = mutagen.id3.ID3()
    for frame in ("TXXX:GROUPING", "TXXX:MOOD"):
        frames.add(mutagen.id3.TXXX(encoding=3, desc=frame[5:], text=["study"]))
    frames.add(mutagen.id3.TIT2(encoding=3, text=["Song"]))
    frames.save(file, v2_version=3)
    record = tmp_path / "record.jsonl"
    for field in FIELDS:
        write_labels(file, ["rock"], field=field, existing="replace", record=record)
    assert len(list(restore_fields(record))) == 3
    found = mutagen.id3.ID3(file)
    assert [found.getall(f"TXXX:{name}")[0].text for name in ("MOOD", "GROUPING")] == [["study"], ["study"]]
    assert (str(found["TIT2"]), "TCON" in found) == ("Song", False)


def test_16_b4_what_others_changed_since_is_left_alone(sounds, tmp_path):
    files = [Path(shutil.copy(sounds / "sound.mp3", tmp_path / name)) for name in ("a.mp3", "b.mp3", "c.mp3")]
    record = tmp_path / "record.jsonl"
    for file in files:
        write_labels(file, ["rock"], record=record)
    write_labels(files[0], ["mine"], existing="replace")
    files[1].unlink()
    with record.open("a") as stream:
        stream.write('{"file": "cut off by a ki')
    result = CliRunner().invoke(main, ["tags", "restore", str(record)])
    assert result.exit_code == 1
    assert "a.mp3: its grouping was changed since and says 'mine'; left as it is" in result.stderr
    assert "2 could not be put back" in result.stderr
    assert "1 field put back" in result.stdout
    assert [values_in(files[0], "grouping"), values_in(files[2], "grouping")] == [["mine"], []]
    for content in ("{}\n", '{"file": 5}\n', "notes\n"):
        record.write_text(content)
        with pytest.raises(FolksongError, match=r"record\.jsonl"):
            list(restore_fields(record))


def test_16_b4_the_command_leaves_a_record_and_adds_to_no_other_file(tiny_run, sounds, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    name = os.fsdecode(b"na\xefve.mp3") if os.name == "posix" else "naïve.mp3"
    files = [Path(shutil.copy(sounds / "sound.mp3", tmp_path / one)) for one in (name, "日本.mp3")]
    options = [*files, "--write-tags", "--top", 1]
    assert predict(tiny_run.folder, *options).exit_code == 0
    (record,) = Path().iterdir()
    assert record.match("written-tags-*.jsonl")
    first = record.read_bytes()
    assert predict(tiny_run.folder, *options, "--append", "--top", 2, "--record", record).exit_code == 0
    assert record.read_bytes().startswith(first)
    assert len(read_record(record)) == 4
    result = predict(tiny_run.folder, *options, "--record", files[1])
    assert (result.exit_code, "is not JSON" in result.stderr) == (1, True)
    result = CliRunner().invoke(main, ["tags", "restore", str(record)])
    assert (result.exit_code, "4 fields put back" in result.stdout) == (0, True)
    assert [values_in(file, "grouping") for file in files] == [[], []]


def test_16_b4_ctrl_c_says_how_many_files_were_written(tiny_run, sounds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp3", "b.mp3", "c.mp3"):
        shutil.copy(sounds / "sound.mp3", tmp_path / name)
    write = file_tags.write_labels

    def interrupted(file, *words, **options):
        if Path(file).name == "b.mp3":
            raise KeyboardInterrupt
        return write(file, *words, **options)

    monkeypatch.setattr(file_tags, "write_labels", interrupted)
    result = predict(tiny_run.folder, tmp_path, "--write-tags", "--top", 1)
    assert result.exit_code == 130
    assert "grouping was written into 1 of 3 files" in result.stderr
    assert "puts it back" in result.stderr
    assert len(list(tmp_path.glob("written-tags-*.jsonl"))) == 1
