"""The earlier project's dictionaries: honest pickles of every protocol, and hostile ones."""

import pickle
import pickletools
import struct

import numpy as np
import pytest

from folksong.errors import FileFormatError, FolksongError
from folksong.labels import dictionary as legacy
from folksong.labels.dictionary import read_legacy_space, read_tag_dictionary, space_of_dictionary
from folksong.tags.table import TagTable

NUMBERS = {
    "rock": 0,
    "métal": np.int32(1),
    "jazz": np.int64(1),
    "pop": 2.0,
    "soul": np.float32(2),
    "🎸": np.uint8(0),
}
PLAIN = {"rock": 0, "métal": 1, "jazz": 1, "pop": 2, "soul": 2, "🎸": 0}
TABLE = TagTable.from_pairs(["a", "b", "c", "a", "b", "c"], ["rock", "jazz", "jazz", "pop", "soul", "soul"])


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol(tmp_path, protocol):
    path = tmp_path / "tags_dict_100.pkl"
    path.write_bytes(pickle.dumps(NUMBERS, protocol=protocol))
    found = read_tag_dictionary(path)
    assert found == PLAIN
    assert all(type(number) is int for number in found.values())
    assert read_tag_dictionary(tmp_path) == PLAIN


def test_a_pickle_of_numpy_one_and_big_endian_numbers(tmp_path):
    data = pickle.dumps({"rock": np.int64(3)}, protocol=2)
    old = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert old != data
    (tmp_path / "a.pkl").write_bytes(old)
    assert read_tag_dictionary(tmp_path / "a.pkl") == {"rock": 3}
    big = np.array([7], ">i4")[0]
    (tmp_path / "b.pkl").write_bytes(pickle.dumps({"rock": big}))
    assert read_tag_dictionary(tmp_path / "b.pkl") == {"rock": 7}


class Harm:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def hostile_pickles(witness):
    import builtins
    import os
    import subprocess

    return {
        "os.system": (pickle.dumps({"rock": Harm(os.system, f"touch {witness}")}), r"system"),
        "eval": (pickle.dumps(Harm(builtins.eval, f"open({str(witness)!r}, 'w')")), r"builtins.eval"),
        "exec": (pickle.dumps(Harm(builtins.exec, "import os")), r"builtins.exec"),
        "subprocess": (pickle.dumps([Harm(subprocess.Popen, ["touch", str(witness)])]), r"subprocess.Popen"),
        "getattr": (pickle.dumps(Harm(getattr, 1, "real")), r"builtins.getattr"),
        "protocol 0": (b"cos\nsystem\n(S'touch " + str(witness).encode() + b"'\ntR.", r"os.system"),
        "inst": (b"(S'touch " + str(witness).encode() + b"'\nios\nsystem\n.", r"os.system"),
        "dotted": (b"\x80\x04\x8c\x05numpy\x8c\x12f2py.os.system.pid\x93.", r"numpy.f2py"),
        "set": (pickle.dumps({1, 2}, protocol=2), r"builtins.set|__builtin__.set"),
        "array": (pickle.dumps(np.arange(3)), r"_reconstruct"),
        "object dtype": (pickle.dumps({"a": np.dtype("O")}), r"numpy.dtype 'O8'"),
        "numpy load": (b"cnumpy\nload\n(S'x'\ntR.", r"numpy.load"),
        "path": (pickle.dumps(__import__("pathlib").Path("x")), r"pathlib"),
        "extension": (b"\x80\x02\x82\x01.", r"extension|unregistered"),
        "persistent": (b"Prock\n.", r"a persistent object"),
    }


@pytest.mark.parametrize("name", list(hostile_pickles("x")))
def test_hostile_pickles_are_refused_by_name(tmp_path, name):
    witness = tmp_path / "witness"
    data, message = hostile_pickles(witness)[name]
    (tmp_path / "a.pkl").write_bytes(data)
    with pytest.raises(FileFormatError, match=message):
        read_tag_dictionary(tmp_path / "a.pkl")
    assert not witness.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list, not a dict"),
        ({}, "holds no tags"),
        ({1: 2}, "1 -> 2 is not a tag and its cluster number"),
        ({"rock": "1"}, "'rock' -> '1' is not"),
        ({"rock": -1}, "'rock' -> -1 is not"),
        ({"rock": 0.5}, "'rock' -> 0.5 is not"),
        ({"rock": True}, "'rock' -> True is not"),
        ({"rock": float("inf")}, "is not"),
        ({"rock": [0]}, "is not a tag and its cluster number"),
    ],
)
def test_other_content(tmp_path, content, message):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(FileFormatError, match=message):
        read_tag_dictionary(tmp_path / "a.pkl")


def test_damaged_pickles(tmp_path):
    whole = pickle.dumps(NUMBERS)
    path = tmp_path / "a.pkl"
    for data in (b"", whole[:20], whole[:-1], b"not a pickle", b"\x80\x04" + struct.pack("<Q", 1 << 40)):
        path.write_bytes(data)
        with pytest.raises(FileFormatError, match=r"a.pkl: (not a whole pickle|refused)"):
            read_tag_dictionary(path)


def test_any_cut_or_flip_is_an_error_or_a_dictionary(tmp_path):
    whole = pickle.dumps(NUMBERS, protocol=4)
    path = tmp_path / "a.pkl"
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(whole), 150):
        data = bytearray(whole)
        data[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(data))
        try:
            found = read_tag_dictionary(path)
        except FolksongError:
            continue
        assert all(type(tag) is str and type(number) is int for tag, number in found.items())
    assert sum(1 for _ in pickletools.genops(whole)) > 20  # the flips did hit a real pickle


def test_folders_with_no_or_several_dictionaries(tmp_path, monkeypatch):
    with pytest.raises(FolksongError, match=r"holds no .pkl file"):
        read_tag_dictionary(tmp_path)
    with pytest.raises(FolksongError, match="no such file"):
        read_tag_dictionary(tmp_path / "absent.pkl")
    for name in ("a.pkl", "b.pkl"):
        (tmp_path / name).write_bytes(pickle.dumps(NUMBERS))
    with pytest.raises(FolksongError, match=r"holds 2 .pkl files \(a.pkl, b.pkl\)"):
        read_tag_dictionary(tmp_path)
    monkeypatch.setattr(legacy, "MOST_BYTES", 10)
    with pytest.raises(FileFormatError, match="larger than any dictionary"):
        read_tag_dictionary(tmp_path / "a.pkl")


def test_labels_are_in_the_order_of_cluster_numbers():
    space = space_of_dictionary(PLAIN, TABLE)
    assert space.names == ("rock", "jazz", "soul")
    assert space.labels[2].tags == ("soul", "pop")
    with pytest.raises(FolksongError, match="has 2 clusters, but none has the number 1"):
        space_of_dictionary({"a": 0, "b": 2}, TABLE)


def test_genres_and_filter(tmp_path):
    (tmp_path / "tags_dict_3.pkl").write_bytes(pickle.dumps(NUMBERS))
    (tmp_path / "genres.txt").write_text("[0, 1]\n[[0, 1]]\n")
    genres = read_legacy_space(tmp_path, TABLE, genres=tmp_path / "genres.txt")
    assert genres.names == ("jazz",)
    assert set(genres.labels[0].tags) == {"rock", "métal", "jazz", "🎸"}
    filtered = read_legacy_space(tmp_path, TABLE, remove=["rock", "pop"])
    assert filtered.names == (
        "jazz",
        "soul",
    )  # cluster 0 holds only rock of the popular tags, and rock is removed
    assert len(read_legacy_space(tmp_path, TABLE)) == 3
    assert len(legacy.filtered_legacy_space(tmp_path, TABLE)) == 3
