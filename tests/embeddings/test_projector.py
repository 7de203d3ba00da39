import numpy as np
import pytest

from folksong.embeddings.projector import write_projector
from folksong.errors import FolksongError


def test_files_that_tensorboards_own_parser_accepts(tmp_path):
    tags = ["rock", "tab\tand\nline", ""]
    vectors = np.arange(6, dtype=np.float32).reshape(3, 2) / 7
    write_projector(tmp_path, tags, vectors, {"count": [3, 2, 1], "label": ["rock", "x", "y"]})
    lines = (tmp_path / "metadata.tsv").read_text().splitlines()
    assert lines == ["tag\tcount\tlabel", "rock\t3\trock", "tab and line\t2\tx", "(blank)\t1\ty"]
    np.testing.assert_allclose(np.loadtxt(tmp_path / "vectors.tsv", delimiter="\t"), vectors, rtol=1e-5)
    text_format = pytest.importorskip("google.protobuf.text_format")
    plugin = pytest.importorskip("tensorboard.plugins.projector.projector_config_pb2")
    config = text_format.Parse((tmp_path / "projector_config.pbtxt").read_text(), plugin.ProjectorConfig())
    assert config.embeddings[0].tensor_path == "vectors.tsv"
    assert config.embeddings[0].metadata_path == "metadata.tsv"


def test_what_does_not_fit(tmp_path):
    with pytest.raises(FolksongError, match="same length"):
        write_projector(tmp_path, ["a"], np.zeros((2, 2), np.float32))
    with pytest.raises(FolksongError, match="no vectors to export"):
        write_projector(tmp_path, [], np.zeros((0, 2), np.float32))
