"""The label spaces of a plan, built from the tags of the training part only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from folksong import labels
from folksong.embeddings.read_vectors import read_vectors
from folksong.errors import FolksongError
from folksong.experiment.plan import Plan, Space
from folksong.labels.space import LabelSpace
from folksong.tags.table import TagTable


def build_spaces(
    plan: Plan, table: TagTable, split_sha256: str, *, also: Iterable[str] = ()
) -> dict[str, LabelSpace]:
    """Build all label spaces that the plan's grids use, and those they start from.

    Args:
        plan: the plan.
        table: the tags of the training part.
        split_sha256: kept in the spaces' provenance, so that `train` knows that no test track took part.
        also: names of further spaces to build.

    Raises:
        FolksongError: a builder's argument is unknown or out of range; the message names the space.
    """
    built: dict[str, LabelSpace] = {}
    vectors: list[Any] = []

    def word_vectors() -> Any:
        if not vectors:
            if plan.data.vectors is None:
                raise FolksongError("needs word vectors; name them in the plan (data.vectors)")
            beside = plan.place(plan.data.vectors)
            vectors.append(read_vectors(beside if beside.exists() else plan.data.vectors))
        return vectors[0]

    def build(name: str) -> LabelSpace:
        if name not in built:
            space = plan.spaces[name]
            start = None if space.of is None else build(space.of)
            try:
                built[name] = _build(plan, space, start, table, word_vectors, {"split_sha256": split_sha256})
            except (FolksongError, TypeError) as error:
                raise FolksongError(f"spaces.{name}: {error}") from error
        return built[name]

    for grid in plan.grid:
        for name in grid.spaces:
            build(name)
    for name in also:
        build(name)
    return built


def _build(
    plan: Plan,
    space: Space,
    start: LabelSpace | None,
    table: TagTable,
    vectors: Callable[[], Any],
    provenance: dict[str, Any],
) -> LabelSpace:
    more = space.arguments
    if space.builder == "file":
        if space.path is None:
            raise FolksongError("a space from a file needs its path")
        return LabelSpace.read(plan.place(space.path))
    if space.builder == "top":
        return labels.top(table, provenance=provenance, **more)
    if space.builder == "kmeans":
        return labels.kmeans(table, vectors(), keep_with=start, provenance=provenance, **more)
    if space.builder == "hybrid":
        given = None if plan.data.vectors is None else vectors()
        return labels.hybrid(table, given, provenance=provenance, **more)
    if start is None:
        raise FolksongError(f"the builder {space.builder} starts from another space; name it with of = ...")
    if space.builder == "drop":
        return labels.drop(start, more.pop("tags", labels.SUBJECTIVE_TAGS), **more)
    if space.builder == "genres":
        choice = labels.propose_genres(start, table, **more).choice
        return labels.keep_genres(start, choice, table, provenance=provenance)
    builder = labels.npmi if space.builder == "npmi" else labels.skipgram
    return builder(table, start, provenance=provenance, **more)
