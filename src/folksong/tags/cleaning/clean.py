"""Cleaning a tag table by a recipe, with a log of what each tag became."""

import logging
import os
from dataclasses import dataclass, replace

from folksong.errors import counted
from folksong.tags.cleaning.change_log import ChangeLog, StepLog, changes_path
from folksong.tags.cleaning.recipe import Recipe, default_recipe, read_recipe
from folksong.tags.cleaning.spelling import Merge
from folksong.tags.sources.read_tags import Tags, as_table, write_tags
from folksong.tags.table import TagTable

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cleaned:
    """A cleaned table and how it came about; `left`: merges that only letters speak for, to review."""

    table: TagTable
    log: ChangeLog
    left: tuple[Merge, ...] = ()

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the table (SQLite, CSV, TSV or Parquet by the name's ending) and the log beside it."""
        write_tags(self.table, path)
        self.log.write(changes_path(path))


def clean(
    tags: Tags,
    recipe: Recipe | str | os.PathLike[str] | None = None,
    *,
    source: str | None = None,
    accept_proposals: bool = False,
    progress: bool = False,
) -> Cleaned:
    """Apply a recipe to a table.

    Steps are applied again until nothing changes (merging makes counts grow, and dropping makes words rarer, which can
    settle another merge), so that cleaning twice equals cleaning once. Merging never loses a (track, concept) pair.

    Args:
        tags: a tag table, or where to read it.
        recipe: the steps, or the file that has them; by default the recipe that ships in the package.
        source: where the tags came from, kept in the log; by default the path, if one is given.
        accept_proposals: merge spellings that nothing but their letters speaks for, too
            (`folksong.tags.cleaning.spelling`).
        progress: show progress bars.
    """
    table = as_table(tags)
    if not isinstance(recipe, Recipe):
        recipe = default_recipe() if recipe is None else read_recipe(recipe)
    if source is None:
        source = "" if isinstance(tags, TagTable) else os.fspath(tags)
    sha256, context = table.sha256(), recipe.context
    context = replace(context, accept_proposals=accept_proposals, progress=progress)
    logs: list[StepLog] = []
    left: list[Merge] = []
    changed = True
    while changed:
        changed = False
        left.clear()
        for step in recipe.steps:
            table, log = step.apply(table, context)
            left += log.left
            if log.tags or log.tracks or log.implied:
                changed = True
                logs.append(log)
                merged = sum(after is not None for after, _ in log.tags.values())
                done = (
                    (merged, "tag", "renamed or merged"),
                    (len(log.tags) - merged, "tag", "dropped"),
                    (len(log.tracks), "track", "left out"),
                    (len(log.implied), "tag", "given what they imply"),
                )
                told = ", ".join(f"{counted(number, noun)} {what}" for number, noun, what in done if number)
                logger.info("%s: %s; %s left", step.name, told, counted(table.n_tags, "tag"))
                if not table.n_counts:
                    logger.warning("%s: no tag is left; give another recipe", step.name)
    return Cleaned(table, ChangeLog(tuple(logs), source, sha256), tuple(left))
