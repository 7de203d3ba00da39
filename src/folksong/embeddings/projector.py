"""Export to the TensorFlow Embedding Projector, which TensorBoard opens: vectors, names and a configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from folksong.errors import FolksongError
from folksong.files import atomic_write


def write_projector(
    folder: str | os.PathLike[str],
    tags: Sequence[str],
    vectors: npt.NDArray[np.float32],
    columns: Mapping[str, Sequence[object]] | None = None,
    *,
    name: str = "tags",
) -> None:
    """Write ``vectors.tsv``, ``metadata.tsv`` and ``projector_config.pbtxt`` into a folder.

    ``tensorboard --logdir FOLDER`` then shows them under Projector. Tabs and line breaks in names become blanks.

    Args:
        folder: where to; made if missing.
        tags: (n,) names of the points.
        vectors: (n, d).
        columns: further columns of metadata, each (n,), such as counts and labels.
        name: of the embedding.

    Raises:
        FolksongError: lengths differ, or there is nothing to show.
    """
    columns = dict(columns or {})
    if len(tags) != len(vectors) or any(len(values) != len(tags) for values in columns.values()):
        raise FolksongError("tags, vectors and columns must have the same length")
    if not len(tags):
        raise FolksongError("there are no vectors to export; do the tags and the word vectors overlap?")
    folder = Path(folder)
    with atomic_write(folder / "vectors.tsv", "w") as stream:
        for row in vectors:
            stream.write("\t".join(format(value, ".6g") for value in row.tolist()) + "\n")
    with atomic_write(folder / "metadata.tsv", "w") as stream:
        stream.write("\t".join(["tag", *columns]) + "\n")
        for position, tag in enumerate(tags):
            cells = [tag, *(values[position] for values in columns.values())]
            stream.write("\t".join(_cell(cell) for cell in cells) + "\n")
    with atomic_write(folder / "projector_config.pbtxt", "w") as stream:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        stream.write(
            f'embeddings {{\n  tensor_name: "{quoted}"\n  tensor_path: "vectors.tsv"\n'
            '  metadata_path: "metadata.tsv"\n}\n'
        )


def _cell(value: object) -> str:
    text = " ".join(str(value).split())
    return text or "(blank)"
