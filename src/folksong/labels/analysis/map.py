"""A map of a label space: one self-contained HTML page with every tag in two dimensions.

Points are placed by UMAP where it is installed (``folksong[map]``), else by the first two principal components;
coloured by label, sized by count; the page can be searched, moved and zoomed, and says of a tag its count, its label
and the tags nearest to it.
"""

from __future__ import annotations

import json
import logging
import os
from importlib import resources
from typing import Literal

import numpy as np
import numpy.typing as npt

from folksong.embeddings.tags import TagVectors
from folksong.errors import FolksongError
from folksong.files import atomic_write
from folksong.labels.space import LabelSpace
from folksong.tags.table import TagTable

logger = logging.getLogger(__name__)

Method = Literal["umap", "pca"]
NEAREST = 8


def write_map(
    space: LabelSpace,
    table: TagTable,
    vectors: TagVectors,
    path: str | os.PathLike[str],
    *,
    method: Method | None = None,
    seed: int = 0,
    title: str = "Label map",
) -> Method:
    """Write the page and return how the points were placed.

    Args:
        space: the labels; tags without a vector or label are left out.
        table: counts of the tags.
        vectors: tag vectors, by meaning or by company.
        path: the HTML file.
        method: "umap" or "pca"; UMAP where it is installed by default.
        seed: of UMAP.
        title: heading of the page.

    Raises:
        FolksongError: fewer than 3 tags have a label and a vector, or UMAP is asked for and not installed.
    """
    counts = dict(zip(table.tags, table.counts.tolist(), strict=True))
    rows = [row for row, tag in enumerate(vectors.tags) if space.labels_of(tag)]
    rows.sort(key=lambda row: (-counts.get(vectors.tags[row], 0), vectors.tags[row]))
    if len(rows) < 3:
        raise FolksongError(f"a map needs at least 3 tags with a label and a vector, not {len(rows)}")
    tags = [vectors.tags[row] for row in rows]
    points = np.asarray(vectors.vectors[rows], np.float32)
    used = method or ("umap" if _has_umap() else "pca")
    plane = _umap(points, seed) if used == "umap" else _principal_components(points)
    nearness = points @ points.T
    np.fill_diagonal(nearness, -np.inf)
    nearest = np.argsort(-nearness, axis=1, kind="stable")[:, : min(NEAREST, len(tags) - 1)]
    content = {
        "title": title,
        "method": {"umap": "UMAP", "pca": "principal components"}[used],
        "tags": tags,
        "counts": [int(counts.get(tag, 0)) for tag in tags],
        "label": [space.labels_of(tag)[0] for tag in tags],
        "labels": list(space.names),
        "sizes": [len(label.tags) for label in space.labels],
        "x": plane[:, 0].round(4).tolist(),
        "y": plane[:, 1].round(4).tolist(),
        "nearest": nearest.tolist(),
    }
    # "<" is written as an escape, so that no tag can close the script element.
    data = json.dumps(content, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    page = resources.files("folksong.labels").joinpath("data/map.html").read_text(encoding="utf-8")
    with atomic_write(path, "w") as stream:
        stream.write(page.replace("__DATA__", data.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")))
    return used


def _has_umap() -> bool:
    import importlib.util

    return importlib.util.find_spec("umap") is not None


def _umap(points: npt.NDArray[np.float32], seed: int) -> npt.NDArray[np.float64]:
    try:
        from umap import UMAP
    except ModuleNotFoundError as error:
        raise FolksongError('UMAP is not installed: pip install "folksong[map]", or choose pca') from error
    neighbours = min(15, len(points) - 1)
    start = "spectral" if len(points) > 20 else "random"
    model = UMAP(metric="cosine", n_neighbors=neighbours, random_state=seed, n_jobs=1, init=start)
    return _centred(np.asarray(model.fit_transform(points), np.float64))


def _principal_components(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    centred = points.astype(np.float64) - points.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    plane = centred @ axes[:, ::-1][:, :2]
    if plane.shape[1] == 1:
        plane = np.hstack([plane, np.zeros_like(plane)])
    return _centred(plane * np.where(plane[np.abs(plane).argmax(axis=0), [0, 1]] < 0, -1, 1))


def _centred(plane: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the points around (0, 0), the farthest coordinate 1."""
    plane = plane - (plane.max(axis=0) + plane.min(axis=0)) / 2
    return np.asarray(plane / max(float(np.abs(plane).max()), 1e-12))
