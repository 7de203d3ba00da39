"""Vectors from networks: a TF-Hub SavedModel and a sentence model, both made here."""

import json

import numpy as np
import pytest

from folksong.embeddings.read_vectors import read_vectors
from folksong.embeddings.tags import embed_tags
from folksong.errors import FileFormatError, FolksongError


def save_hub_module(tf, folder):
    vocabulary = folder.parent / "tokens.txt"
    vocabulary.write_text("rock\njazz\n1960s\n", encoding="utf-8")

    class Module(tf.Module):
        def __init__(self):
            super().__init__()
            self.asset = tf.saved_model.Asset(str(vocabulary))
            initializer = tf.lookup.TextFileInitializer(
                self.asset,
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
            )
            self.table = tf.lookup.StaticHashTable(initializer, 3)
            self.vectors = tf.constant([[1.0, 0], [0, 2], [3, 4], [9, 9]])

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def __call__(self, words):
            return tf.gather(self.vectors, self.table.lookup(words))

    tf.saved_model.save(Module(), str(folder))


def test_a_saved_model(tmp_path):
    tf = pytest.importorskip("tensorflow")
    folder = tmp_path / "words-2d"
    save_hub_module(tf, folder)
    vectors = read_vectors(folder)
    assert vectors.dimension == 2
    assert vectors.sha256 == read_vectors(folder).sha256
    embedded = vectors.embed(["jazz", "unheard", "rock"])
    np.testing.assert_array_equal(embedded.vectors, [[0, 2], [0, 0], [1, 0]])
    assert embedded.known.tolist() == [True, False, True]
    tags = embed_tags(["jazz rock", "60s", "unheard"], vectors)
    assert tags.tags == ("jazz rock", "60s")
    np.testing.assert_allclose(tags.vectors, [[0.5**0.5, 0.5**0.5], [0.6, 0.8]], atol=1e-6)


def test_a_damaged_saved_model(tmp_path):
    pytest.importorskip("tensorflow")
    (tmp_path / "saved_model.pb").write_bytes(b"not a graph")
    with pytest.raises(FileFormatError, match="cannot load this SavedModel"):
        read_vectors(tmp_path)


def test_a_saved_model_without_tensorflow(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorflow", None)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(FolksongError, match=r'pip install "folksong\[tfhub\]"'):
        read_vectors(tmp_path)


TOKENS = {"[UNK]": 0, "[PAD]": 1, "rock": 2, "hip": 3, "hop": 4, "1960s": 5, "music": 6}
TABLE = np.arange(14, dtype=np.float32).reshape(7, 2)


def save_sentence_model(folder):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(TOKENS, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    ids = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, ["batch", "length"])
        for name in ("input_ids", "attention_mask")
    ]
    states = onnx.helper.make_tensor_value_info("states", onnx.TensorProto.FLOAT, ["batch", "length", 2])
    node = onnx.helper.make_node("Gather", ["table", "input_ids"], ["states"])
    table = onnx.numpy_helper.from_array(TABLE, "table")
    graph = onnx.helper.make_graph([node], "embed", ids, [states], [table])
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), str(folder / "model.onnx"))


def test_a_sentence_model_takes_whole_tags_and_ignores_padding(tmp_path):
    save_sentence_model(tmp_path / "tiny")
    vectors = read_vectors(tmp_path / "tiny")
    assert vectors.takes_phrases
    assert vectors.dimension == 2
    embedded = vectors.embed(["hip hop", "rock", " "])
    np.testing.assert_allclose(embedded.vectors, [(TABLE[3] + TABLE[4]) / 2, TABLE[2], [0, 0]])
    assert embedded.known.tolist() == [True, True, False]
    tags = embed_tags(["Hip hop!", "60s", "!"], vectors)
    expected = (TABLE[3] + TABLE[4]) / np.linalg.norm(TABLE[3] + TABLE[4])
    np.testing.assert_allclose(tags.vectors[0], expected, atol=1e-6)
    np.testing.assert_allclose(tags.vectors[1], TABLE[5] / np.linalg.norm(TABLE[5]), atol=1e-6)
    assert tags.missing == ("!",)


def test_damaged_sentence_models(tmp_path):
    save_sentence_model(tmp_path / "tiny")
    (tmp_path / "tiny" / "model.onnx").write_bytes(b"cut")
    with pytest.raises(FileFormatError, match="cannot load this sentence model"):
        read_vectors(tmp_path / "tiny")
    (tmp_path / "tiny" / "model.onnx").unlink()
    with pytest.raises(FileFormatError, match="needs one network in ONNX form, and there is none"):
        read_vectors(tmp_path / "tiny")
    (tmp_path / "tiny" / "tokenizer.json").write_text(json.dumps({}))
    with pytest.raises(FileFormatError, match="ONNX"):
        read_vectors(tmp_path / "tiny")


@pytest.mark.parametrize(
    "content", [b"\n\x04evil\x12\x09WriteFile\x1a\x01x", b'node { name: "evil" op: "PyFunc" }']
)
def test_16_c9_a_saved_model_that_opens_files_or_calls_out_is_not_loaded(tmp_path, content):
    name = "saved_model.pb" if content[:1] == b"\n" else "saved_model.pbtxt"
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileFormatError, match=r"saved_model\.pb.*its graph holds a node (WriteFile|PyFunc)"):
        read_vectors(tmp_path)
