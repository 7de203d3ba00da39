"""The earlier project's dictionaries: honest pickles of every protocol, and hostile ones."""

import pickle
import pickletools
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from folksong.errors import FileFormatError, FolksongError
from folksong.labels import dictionary as legacy
from folksong.labels.dictionary import (
    read_legacy_space,
    read_tag_dictionary,
    space_of_dictionary,
    write_tag_dictionary,
)
from folksong.labels.genres import keep_genres, read_genres
from folksong.labels.space import Label, LabelSpace
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
        "subprocess": (pickle.dumps({"a": Harm(subprocess.Popen, "touch")}), r"subprocess.Popen"),
        "list": (pickle.dumps([1, 2]), r"opcode EMPTY_LIST"),
        "list of clusters": (pickle.dumps({"rock": [0]}), r"opcode EMPTY_LIST"),
        "tuple as key": (pickle.dumps({("rock",): 0}), r"containers within containers"),
        "dict in dict": (pickle.dumps({"rock": {}}), r"containers within containers"),
        "nested tuples": (
            b"\x80\x02}K\x00" + b"\x85" * 1_000_000 + b"K\x00s.",
            r"containers within containers",
        ),
        "doubled tuples": (b"\x80\x02}K\x01" + b"2\x86" * 60 + b"K\x00s.", r"opcode DUP"),
        "doubled by memo": (b"\x80\x02}K\x01" + b"q\x00h\x00\x86" * 60 + b"K\x00s.", r"containers within"),
        "large number": (pickle.dumps({"rock": 1 << 70}), r"more than 64 bits"),
        "frozen dtype": (pickle.dumps(np.float64(3)).replace(b"f8", b"O8"), r"numpy.dtype 'O8'"),
        "getattr": (pickle.dumps(Harm(getattr, 1, "real")), r"builtins.getattr"),
        "protocol 0": (b"cos\nsystem\n(S'touch " + str(witness).encode() + b"'\ntR.", r"os.system"),
        "inst": (b"(S'touch " + str(witness).encode() + b"'\nios\nsystem\n.", r"os.system"),
        "dotted": (b"\x80\x04\x8c\x05numpy\x8c\x12f2py.os.system.pid\x93.", r"numpy.f2py"),
        "set": (pickle.dumps({1, 2}, protocol=2), r"builtins.set|__builtin__.set"),
        "array": (pickle.dumps(np.arange(3)), r"_reconstruct"),
        "object dtype": (pickle.dumps({"a": np.dtype("O")}), r"numpy.dtype 'O8'"),
        "numpy load": (b"cnumpy\nload\n(S'x'\ntR.", r"numpy.load"),
        "path": (pickle.dumps(__import__("pathlib").Path("x")), r"pathlib"),
        "extension": (b"\x80\x02\x82\x01.", r"opcode EXT1"),
        "persistent": (b"Prock\n.", r"a persistent object"),
    }


@pytest.mark.parametrize("name", list(hostile_pickles("x")))
def test_16_c4_hostile_pickles_are_refused_by_name(tmp_path, name):
    witness = tmp_path / "witness"
    data, message = hostile_pickles(witness)[name]
    (tmp_path / "a.pkl").write_bytes(data)
    with pytest.raises(FileFormatError, match=message):
        read_tag_dictionary(tmp_path / "a.pkl")
    assert not witness.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("rock", "holds a str, not a dict"),
        (("rock", 1), "holds a tuple, not a dict"),
        ({}, "holds no tags"),
        ({1: 2}, "1 -> 2 is not a tag and its cluster number"),
        ({"rock": "1"}, "'rock' -> '1' is not"),
        ({"rock": -1}, "'rock' -> -1 is not"),
        ({"rock": 0.5}, "'rock' -> 0.5 is not"),
        ({"rock": True}, "'rock' -> True is not"),
        ({"rock": float("inf")}, "is not"),
        ({"r" * 1_000_000: "x" * 1_000_000}, "'r{60}'… -> 'x{60}'… is not a tag and its cluster number"),
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


def test_16_c4_no_promise_of_a_pickle_takes_memory_or_time(tmp_path):
    memo = b"\x80\x02}r\xff\xff\xff\xff."  # a memo of four thousand million places
    long_text = b"\x80\x04\x8d" + struct.pack("<Q", 1 << 33) + b"rock"
    unhashable = b"\x80\x02})K\x00s."
    deep = b"(" * 300_000
    for data, message in (
        (memo, "holds no tags"), (long_text, "not a whole pickle"), (unhashable, "containers"), (deep, "not a whole"),
    ):  # fmt: skip
        (tmp_path / "a.pkl").write_bytes(data)
        tracemalloc.start()
        with pytest.raises(FileFormatError, match=message) as raised:
            read_tag_dictionary(tmp_path / "a.pkl")
        assert len(str(raised.value)) < 400
        assert tracemalloc.get_traced_memory()[1] < 10e6
        tracemalloc.stop()


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
    (tmp_path / "kmeans_500.pkl").write_bytes(b"another pickle")
    with pytest.raises(FolksongError, match=r"holds no tags_dict_\*.pkl"):
        read_tag_dictionary(tmp_path)
    (tmp_path / "tags_dict_500.pkl").write_bytes(pickle.dumps(NUMBERS))
    assert read_tag_dictionary(tmp_path) == PLAIN
    with pytest.raises(FolksongError, match="no such file"):
        read_tag_dictionary(tmp_path / "absent.pkl")
    (tmp_path / "tags_dict_x.pkl").write_bytes(pickle.dumps(NUMBERS))
    with pytest.raises(FolksongError, match=r"holds 2 dictionaries \(tags_dict_500.pkl, tags_dict_x.pkl\)"):
        read_tag_dictionary(tmp_path)
    monkeypatch.setattr(legacy, "MOST_BYTES", 10)
    with pytest.raises(FileFormatError, match="larger than any dictionary"):
        read_tag_dictionary(tmp_path / "tags_dict_x.pkl")


def test_labels_are_in_the_order_of_cluster_numbers():
    space = space_of_dictionary(PLAIN, TABLE)
    assert space.names == ("rock", "jazz", "soul")
    assert space.labels[2].tags == ("soul", "pop")


def test_outputs_are_the_ranks_of_numbers_with_gaps(tmp_path):
    gaps = {"rock": 7, "métal": 30, "jazz": 30, "pop": 98, "soul": 98, "🎸": 7}
    space = space_of_dictionary(gaps, TABLE)
    assert space.labels == space_of_dictionary(PLAIN, TABLE).labels
    assert space.provenance["cluster_numbers"] == [[7], [30], [98]]
    (tmp_path / "tags_dict_9.pkl").write_bytes(pickle.dumps(gaps))
    (tmp_path / "genres.txt").write_text("[2, 0]\n[[0, 1], [0, 2]]\n")  # of ranks; 1 is no genre
    for genres in (tmp_path, tmp_path / "genres.txt"):
        space = read_legacy_space(tmp_path, TABLE, genres=genres)
        assert [set(label.tags) for label in space.labels] == [{"rock", "🎸", "pop", "soul"}]
        assert space.provenance["cluster_numbers"] == [[7, 98]]
    filtered = read_legacy_space(tmp_path, TABLE, remove=["rock"])
    assert filtered.provenance["cluster_numbers"] == [[30], [98]]


def test_a_space_written_as_a_dictionary_is_read_back(tmp_path):
    labels = (Label("rock", ("rock", "métal"), ("jazz",)), Label("jazz", ("jazz",), ("rock",)))
    space = LabelSpace(labels, {"Rock!": "rock"})
    written = write_tag_dictionary(space, tmp_path / "tags_dict_2.pkl")
    assert written == {"rock": 0, "métal": 0, "jazz": 1, "Rock!": 0}
    data = (tmp_path / "tags_dict_2.pkl").read_bytes()
    assert pickle.loads(data) == written  # noqa: S301
    assert data[:2] == b"\x80\x04"
    assert read_tag_dictionary(tmp_path) == written


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


def test_genres_are_in_the_order_of_ranks_as_the_outputs_are(tmp_path):
    clusters = {"rare": 2, "rarer": 2, "pop": 7, "rock": 9, "jazz": 30, "soul": 31}
    (tmp_path / "tags_dict_100.pkl").write_bytes(pickle.dumps(clusters))
    (tmp_path / "genres.txt").write_text("[4,0,3,2]\r\n[[0, 3], [1, 2]]")
    table = TagTable.from_pairs(["a", "b", "b", "b", "c"], ["rare", "rock", "jazz", "soul", "rock"])
    space = read_legacy_space(tmp_path, table, genres=tmp_path)
    assert [set(label.tags) for label in space.labels] == [{"rare", "rarer", "jazz"}, {"rock"}, {"soul"}]
    assert space.provenance["cluster_numbers"] == [[2, 30], [9], [31]]


EARLIER = Path(__file__).resolve().parents[3] / "shared" / "data" / "earlier-project"
DICTIONARIES = [str(file.relative_to(EARLIER)) for file in sorted(EARLIER.rglob("tags_dict_*.pkl"))]
needs_earlier = pytest.mark.skipif(
    not EARLIER.is_dir(), reason=f"{EARLIER} (the earlier project's own files) is not here"
)


@needs_earlier
@pytest.mark.parametrize("name", DICTIONARIES or ["none"])
def test_the_earlier_projects_dictionaries_equal_a_plain_lookup(name):
    numbers = read_tag_dictionary(EARLIER / name)
    rows = (EARLIER / "top100.tsv").read_text(encoding="utf-8").splitlines()[1:]
    names = [row.split("\t")[0] for row in rows] + sorted(numbers)[::40]
    rng = np.random.default_rng(0)
    pairs = sorted({(f"t{rng.integers(300)}", names[int(rng.integers(len(names)))]) for _ in range(3000)})
    table = TagTable.from_pairs(*zip(*pairs, strict=True))
    space = read_legacy_space(EARLIER / name, table)
    ranks = {number: rank for rank, number in enumerate(sorted(set(numbers.values())))}
    assert len(space) == len(ranks)
    encoded = space.encode(table).toarray()
    for row, track in enumerate(table.track_ids):
        expected = np.zeros(len(ranks))
        expected[[ranks[numbers[tag]] for tag, _ in table.tags_of(track) if tag in numbers]] = 1
        np.testing.assert_array_equal(encoded[row], expected)


@needs_earlier
def test_the_earlier_projects_genres_count_ranks():
    folder = EARLIER / "dictionary_clusters/glove-wikipedia/100_models"
    numbers = read_tag_dictionary(folder / "tags_dict_100.pkl")
    table = TagTable.from_pairs(["a"] * len(numbers), sorted(numbers))
    space = keep_genres(space_of_dictionary(numbers, table), read_genres(EARLIER), table)
    ranked = sorted(set(numbers.values()))

    def tags_of(*ranks):
        return frozenset(tag for tag, number in numbers.items() if number in [ranked[rank] for rank in ranks])

    # As the file says; it would also merge 14 and 18 with 24, but these are no genres.
    expected = {tags_of(rank) for rank in (34, 24, 25, 13, 27, 22, 23, 3, 38, 1)} | {tags_of(6, 37)}
    assert {frozenset(label.tags) for label in space.labels} == expected
    with pytest.raises(FileFormatError, match="refused, it asks for"):
        read_tag_dictionary(folder / "kmeans_100.pkl")
