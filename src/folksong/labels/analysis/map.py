"""Map of a label space: one self-contained HTML page with every tag in two dimensions, or files for a projector.

Points are placed by UMAP where it is installed (``folksong[map]``), else by the first two principal components;
coloured by label, sized by count. The page can be searched, moved and zoomed (Plotly, whose script it holds), and says
of a tag its count, its label and the tags nearest to it.
"""

import contextlib
import importlib.util
import logging
import os
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from folksong.drawing import fill_template, plotly_text
from folksong.embeddings.ppmi import ppmi_vectors
from folksong.embeddings.read_vectors import VectorSource, as_vectors
from folksong.embeddings.tags import TagVectors, embed_tags
from folksong.errors import FolksongError, needs_extra, some_of
from folksong.files import atomic_write
from folksong.labels.space import LabelSpace
from folksong.tags.sources.read_tags import Tags, as_table

logger = logging.getLogger(__name__)

Method = Literal["umap", "pca"]

DATA = files("folksong.labels") / "data"
NEAREST = 8
BLOCK_TAGS = 500
MOST_PIXELS = 24
MOST_NAMES = 40
"""So many labels, the most popular, have their name on the map: more would cover each other."""


def write_map(
    space: LabelSpace,
    tags: Tags,
    vectors: TagVectors,
    path: str | os.PathLike[str],
    *,
    method: Method | None = None,
    seed: int = 0,
    title: str = "Label map",
    progress: bool = False,
) -> Method:
    """Write the page and return how the points were placed.

    Args:
        space: the labels; tags without a vector or label are left out.
        tags: a tag table, or where to read it: the counts.
        vectors: vectors of the tags, for example from `vectors_of_space`.
        path: the HTML file.
        method: "umap" or "pca"; UMAP where it is installed by default.
        seed: of UMAP.
        title: heading of the page.
        progress: show how far UMAP is.

    Raises:
        FolksongError: fewer than 3 tags have a label and a vector, or UMAP is asked for and not installed.
    """
    counts = as_table(tags).counts_by_tag
    rows = [row for row, tag in enumerate(vectors.tags) if space.labels_of(tag)]
    rows.sort(key=lambda row: (-counts.get(vectors.tags[row], 0), vectors.tags[row]))
    if len(rows) < 3:
        raise FolksongError(f"a map needs at least 3 tags with a label and a vector, not {len(rows)}")
    points = np.asarray(vectors.vectors[rows], np.float32)
    used: Method = method or ("umap" if importlib.util.find_spec("umap") is not None else "pca")
    logger.info("placing %d tags by %s", len(rows), used)
    plane = _umap(points, seed, progress) if used == "umap" else _principal_components(points)
    names = [vectors.tags[row] for row in rows]
    plot = _plot(space, names, [counts.get(name, 0) for name in names], plane, _nearest(points))
    summary = (
        f"{len(rows):,} tags, {len(space):,} labels ({'UMAP' if used == 'umap' else 'principal components'})"
    )
    with atomic_write(path, "w") as stream:
        stream.write(fill_template(DATA / "map.html", title=title, summary=summary, plot=plot))
    return used


def vectors_of_space(space: LabelSpace, tags: Tags, vectors: VectorSource | None = None) -> TagVectors:
    """Return vectors of a space's tags: by meaning where word vectors are given, else by co-occurrence."""
    if vectors is not None:
        found = embed_tags(space.tags, as_vectors(vectors))
    else:
        table = as_table(tags)
        known = [tag for tag in space.tags if tag in table.tag_index]
        rows = ppmi_vectors(table, known)
        placed = np.flatnonzero(rows.any(axis=1))
        found = TagVectors(tuple(known[row] for row in placed), rows[placed])
    if absent := sorted(set(space.tags) - set(found.tags)):
        why = "share no track with others" if vectors is None else "have no word vector"
        logger.warning(
            "not on the map: %d of %d tags, which %s (%s)", len(absent), len(space.tags), why, some_of(absent)
        )
    return found


def write_projector(
    space: LabelSpace, tags: Tags, vectors: TagVectors, folder: str | os.PathLike[str]
) -> None:
    """Write the tags for TensorBoard's Embedding Projector, with their counts and labels.

    The folder then holds ``vectors.tsv``, ``metadata.tsv`` and ``projector_config.pbtxt``. Tabs and line breaks in
    tags become blanks.
    """
    if not len(vectors):
        raise FolksongError("there are no vectors to export; do the tags and the word vectors overlap?")
    counts = as_table(tags).counts_by_tag
    rows: list[Sequence[object]] = [("tag", "count", "label")]
    for tag in vectors.tags:
        label = space.labels[space.labels_of(tag)[0]].name if space.labels_of(tag) else ""
        rows.append((tag, counts.get(tag, 0), label))
    cells = [[" ".join(str(cell).split()) or "(blank)" for cell in row] for row in rows]
    values = [[format(value, ".6g") for value in row] for row in vectors.vectors.tolist()]
    for name, lines in (("vectors.tsv", values), ("metadata.tsv", cells)):
        with atomic_write(Path(folder, name), "w") as stream:
            stream.writelines("\t".join(line) + "\n" for line in lines)
    with atomic_write(Path(folder, "projector_config.pbtxt"), "w") as stream:
        stream.write(
            'embeddings {\n  tensor_name: "tags"\n  tensor_path: "vectors.tsv"\n'
            '  metadata_path: "metadata.tsv"\n}\n'
        )


def _plot(
    space: LabelSpace,
    tags: Sequence[str],
    counts: Sequence[int],
    plane: npt.NDArray[np.float64],
    nearest: Sequence[Sequence[int]],
) -> str:
    """Return the plot as an HTML element, with Plotly's script in it."""
    from plotly import graph_objects

    labels = [space.labels_of(tag)[0] for tag in tags]
    names = [space.labels[number].name for number in labels]
    most = max(*counts, 1)
    texts = [
        f"<b>{plotly_text(tag)}</b><br>{count:,} tracks, label {plotly_text(name)}<br>near: "
        + "<br>".join(plotly_text(tags[other]) for other in near)
        for tag, count, name, near in zip(tags, counts, names, nearest, strict=True)
    ]
    # One colour a label, a golden angle apart: neighbours in number are far apart in hue.
    colours = [
        f"hsl({number * 137.508 % 360:.0f}, {60 + number % 3 * 15}%, {38 + number % 4 * 7}%)"
        for number in labels
    ]
    x, y = plane.round(4).T.tolist()
    sizes = [4 + MOST_PIXELS * (count / most) ** 0.5 for count in counts]
    points = graph_objects.Scattergl(
        x=x,
        y=y,
        mode="markers",
        marker={"color": colours, "size": sizes, "opacity": 0.75, "line": {"width": 0}},
        customdata=[f"{tag}\n{name}" for tag, name in zip(tags, names, strict=True)],
        text=texts,
        hoverinfo="text",
        unselected={"marker": {"opacity": 0.06}},
    )
    first = sorted({number: row for row, number in reversed(list(enumerate(labels)))}.values())[:MOST_NAMES]
    captions = graph_objects.Scatter(  # WebGL would show the signs that keep "R&B" from being HTML
        x=[x[row] for row in first],
        y=[y[row] for row in first],
        mode="text",
        text=[plotly_text(names[row]) for row in first],
        hoverinfo="skip",
    )
    look = {"dragmode": "pan", "plot_bgcolor": "white", "hoverlabel": {"align": "left"}, "showlegend": False}
    look |= {"xaxis": {"visible": False}, "yaxis": {"visible": False}}
    figure = graph_objects.Figure([points, captions], {**look, "margin": {"l": 0, "r": 0, "t": 0, "b": 0}})
    config = {"responsive": True, "scrollZoom": True, "displaylogo": False}
    search = (DATA / "map.js").read_text(encoding="utf-8")
    return Markup(
        figure.to_html(config, include_plotlyjs=True, full_html=False, div_id="map", post_script=search)
    )


def _nearest(points: npt.NDArray[np.float32]) -> list[list[int]]:
    found: list[list[int]] = []
    for start in range(0, len(points), BLOCK_TAGS):
        nearness = points[start : start + BLOCK_TAGS] @ points.T
        nearness[np.arange(len(nearness)), np.arange(start, start + len(nearness))] = -np.inf
        order = np.argsort(-nearness, axis=1, kind="stable")
        found += order[:, : min(NEAREST, len(points) - 1)].tolist()
    return found


def _umap(points: npt.NDArray[np.float32], seed: int, progress: bool) -> npt.NDArray[np.float64]:
    with needs_extra("a map by UMAP, not pca,", "map"):
        from umap import UMAP
    neighbours = min(15, len(points) - 1)
    start = "spectral" if len(points) > 20 else "random"
    model = UMAP(
        metric="cosine", n_neighbors=neighbours, random_state=seed, n_jobs=1, init=start, verbose=progress
    )
    with contextlib.redirect_stdout(sys.stderr):
        return np.asarray(model.fit_transform(points), np.float64)


def _principal_components(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    centred = points.astype(np.float64) - points.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    plane = centred @ axes[:, ::-1][:, :2]
    if plane.shape[1] == 1:
        plane = np.hstack([plane, np.zeros_like(plane)])
    return np.asarray(plane * np.where(plane[np.abs(plane).argmax(axis=0), [0, 1]] < 0, -1, 1))
