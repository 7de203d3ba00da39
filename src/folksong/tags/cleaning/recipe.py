"""A cleaning recipe: one TOML file that says which steps, with which settings.

Paths in it are relative to the file. What a recipe promises is checked when it is read: unknown settings, merges in
a circle, a tag that is to be kept and dropped, a step that would undo another.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from folksong.audio.msd import read_duplicates, read_mismatches
from folksong.errors import FileFormatError, FolksongError, nearest
from folksong.files import read_text
from folksong.tags.cleaning.merges import read_merges, shipped_merges
from folksong.tags.cleaning.steps import (
    ADD_IMPLIED,
    DROP_IMPLIED,
    Context,
    DropTags,
    DropTracks,
    FoldCase,
    ImpliedTags,
    KeepTags,
    MergeTags,
    MergeVariants,
    MinimumCount,
    Normalise,
    Step,
    TextStep,
    form_of,
)
from folksong.tags.table import MERGED
from folksong.tags.tag_lists import read_tag_list, shipped_list


@dataclass(frozen=True)
class Recipe:
    """Steps in the order in which they are applied, and what merged weights become.

    Raises:
        FolksongError: merges in a circle, or a step that would undo another.
    """

    steps: tuple[Step, ...]
    weights: str = "maximum"

    def __post_init__(self) -> None:
        if self.weights not in MERGED:
            raise FolksongError(f"weights must be 'maximum' or 'sum', not {self.weights!r}")
        steps = _resolve_aliases(sorted(self.steps, key=lambda step: step.phase))
        object.__setattr__(self, "steps", tuple(steps))
        _refuse_undoing(steps, self.context)

    @property
    def context(self) -> Context:
        """What the steps need to know of each other."""
        merges = [step for step in self.steps if isinstance(step, MergeTags)]
        return Context(
            frozenset(target for step in merges for target in step.merges.values()),
            frozenset(tag for step in merges for tag in step.rejected),
            any(isinstance(step, MergeVariants) for step in self.steps),
        )


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Read a recipe.

    Raises:
        FolksongError: a file it names cannot be read.
        FileFormatError: it is no recipe; the message names the step and setting at fault.
    """
    return _parse(read_text(path), path, Path(path).parent)


def default_recipe_text() -> str:
    """Return the recipe that ships in the package, with comments that explain each step."""
    return files("folksong.tags").joinpath("lists", "recipe.toml").read_text(encoding="utf-8")


def default_recipe() -> Recipe:
    """Return the recipe that ships in the package."""
    return _parse(default_recipe_text(), "the shipped recipe", Path())


def _parse(text: str, path: str | os.PathLike[str], folder: Path) -> Recipe:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FileFormatError(f"{path}: not valid TOML ({error})") from error
    _known(content, ("weights", "step"), f"{path}")
    entries = content.get("step", [])
    if not isinstance(entries, list) or not entries:
        raise FileFormatError(f'{path}: no steps; a recipe has at least one [[step]] with do = "..."')
    steps: list[Step] = []
    for number, entry in enumerate(entries, 1):
        where = f"{path}: step {number}"
        kind = entry.get("do")
        if kind not in _BUILDERS:
            hint = nearest(str(kind), tuple(_BUILDERS))
            raise FileFormatError(f"{where}: do = {kind!r} is no step{hint} ({', '.join(_BUILDERS)})")
        settings, build = _BUILDERS[kind]
        _known(entry, ("do", *settings), f"{where} ({kind})")
        for name, value in entry.items():
            _require_type(name, value, f"{where} ({kind})")
        try:
            steps.append(build(entry, folder))
        except FolksongError as error:
            raise FileFormatError(f"{where} ({kind}): {error}") from error
    try:
        return Recipe(tuple(steps), content.get("weights", "maximum"))
    except FolksongError as error:
        raise FileFormatError(f"{path}: {error}") from error


def _known(content: Mapping[str, Any], names: Sequence[str], where: str) -> None:
    for name in content:
        if name not in names:
            raise FileFormatError(f"{where}: unknown setting {name!r}{nearest(name, tuple(names))}")


_TYPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "do": ("a text", lambda value: isinstance(value, str)),
    "count": ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "min_count": ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "threshold": ("a share", lambda value: isinstance(value, float | int) and 0 < value <= 1),
    "mistyped": ("true or false", lambda value: isinstance(value, bool)),
    "ignore_case": ("true or false", lambda value: isinstance(value, bool)),
    "duplicates": ("a file name", lambda value: isinstance(value, str)),
    "mismatches": ("a file name", lambda value: isinstance(value, str)),
    **dict.fromkeys(
        ("merges", "implies"),
        (
            'a table of tags ("r&b" = "rnb")',
            lambda value: (
                isinstance(value, dict) and all(isinstance(target, str) for target in value.values())
            ),
        ),
    ),
}


def _require_type(name: str, value: Any, where: str) -> None:
    texts = (
        "a list of texts",
        lambda value: isinstance(value, list) and all(isinstance(v, str) for v in value),
    )
    what, right = _TYPES.get(name, texts)
    if not right(value):
        raise FileFormatError(f"{where}: {name} must be {what}, not {value!r}")


def _merge_step(entry: dict[str, Any], folder: Path) -> Step:
    accepted: dict[str, str] = {}
    rejected: set[str] = set()
    reviewed = [shipped_merges(name) for name in entry.get("shipped", ())]
    reviewed += [read_merges(folder / name) for name in entry.get("files", ())]
    for part in reviewed:
        rejected |= part.rejected
    # What the recipe itself says is the last word, and a later file's over an earlier one's.
    for part in reviewed:
        accepted.update(part.accepted)
    accepted.update(entry.get("merges", {}))
    rejected -= entry.get("merges", {}).keys()
    return MergeTags(
        {
            source: target
            for source, target in accepted.items()
            if source != target and source not in rejected
        },
        frozenset(rejected),
    )


def _listed(entry: dict[str, Any], folder: Path) -> frozenset[str]:
    tags = set(entry.get("tags", ()))
    for name in entry.get("files", ()):
        tags.update(read_tag_list(folder / name))
    for name in entry.get("shipped", ()):
        tags.update(shipped_list(name))
    if not tags:
        raise FolksongError("no tags are listed; give tags = [...] or files = [...]")
    return frozenset(tags)


def _track_step(entry: dict[str, Any], folder: Path) -> Step:
    if not {"duplicates", "mismatches"} & entry.keys():
        raise FolksongError('give duplicates = "FILE" or mismatches = "FILE"')
    mismatches = read_mismatches(folder / entry["mismatches"]) if "mismatches" in entry else ()
    groups = read_duplicates(folder / entry["duplicates"]) if "duplicates" in entry else ()
    return DropTracks(dict.fromkeys(mismatches, "listed as a mismatch"), groups)


def _implied_step(entry: dict[str, Any], folder: Path) -> Step:
    pairs = list(entry.get("implies", {}).items())
    for name in entry.get("files", ()):
        pairs += read_merges(folder / name).accepted.items()
    threshold = entry.get("threshold", None if pairs else 0.9)
    return ImpliedTags(entry["do"] == ADD_IMPLIED, tuple(pairs), threshold, entry.get("min_count", 10))


_BUILDERS: dict[str, tuple[tuple[str, ...], Callable[[dict[str, Any], Path], Step]]] = {
    "drop-tracks": (("duplicates", "mismatches"), _track_step),
    "normalise": ((), lambda entry, folder: Normalise()),
    "fold-case": ((), lambda entry, folder: FoldCase()),
    "merge": (("merges", "files", "shipped"), _merge_step),
    "merge-variants": (
        ("min_count", "mistyped"),
        lambda entry, folder: MergeVariants(entry.get("min_count", 1), entry.get("mistyped", True)),
    ),
    ADD_IMPLIED: (("implies", "files", "threshold", "min_count"), _implied_step),
    DROP_IMPLIED: (("implies", "files", "threshold", "min_count"), _implied_step),
    "minimum-count": (("count",), lambda entry, folder: MinimumCount(_count(entry))),
    "drop": (
        ("tags", "files", "shipped", "ignore_case"),
        lambda entry, folder: DropTags(_listed(entry, folder), entry.get("ignore_case", False)),
    ),
    "keep": (
        ("tags", "files", "shipped", "ignore_case"),
        lambda entry, folder: KeepTags(_listed(entry, folder), entry.get("ignore_case", False)),
    ),
}


def _count(entry: dict[str, Any]) -> int:
    if "count" not in entry:
        raise FolksongError("give the least number of tracks: count = 10")
    return int(entry["count"])


def _resolve_aliases(steps: list[Step]) -> list[Step]:
    """Write every alias out to its end (a -> b and b -> c make a -> c), in the text form of the steps before.

    Raises:
        FolksongError: aliases that go in a circle, or disagree.
    """
    texts = [step for step in steps if isinstance(step, TextStep)]

    def plain(tag: str) -> str:
        for step in texts:
            tag = step.text(tag)
        return tag

    merged: dict[str, str] = {}
    for step in steps:
        if isinstance(step, MergeTags):
            for source, target in ((plain(tag), plain(to)) for tag, to in step.merges.items()):
                if source != target and merged.setdefault(source, target) != target:
                    raise FolksongError(
                        f"{source!r} is merged into {merged[source]!r} and into {target!r}; decide on one"
                    )
    ends = {source: _end(source, merged) for source in merged}
    return [
        MergeTags(
            {name: ends[name] for source in step.merges if (name := plain(source)) in ends},
            frozenset(plain(tag) for tag in step.rejected),
        )
        if isinstance(step, MergeTags)
        else step
        for step in steps
    ]


def _end(source: str, merged: Mapping[str, str]) -> str:
    seen = [source]
    while (following := merged.get(seen[-1])) is not None:
        if following in seen:
            circle = " -> ".join(map(repr, [*seen[seen.index(following) :], following]))
            raise FolksongError(f"merges go in a circle: {circle}; take one of them out")
        seen.append(following)
    return seen[-1]


def _refuse_undoing(steps: Sequence[Step], context: Context) -> None:
    """Raise if one step throws away what another was told to make or keep."""
    if {ADD_IMPLIED, DROP_IMPLIED} <= {step.name for step in steps}:
        raise FolksongError("implied tags are added or dropped, not both; take one of the steps out")
    keeps = [step for step in steps if isinstance(step, KeepTags)]
    made = {target for step in steps if isinstance(step, MergeTags) for target in step.merges.values()}
    for drop in (step for step in steps if isinstance(step, DropTags)):
        form = form_of(context, drop.ignore_case)
        dropped = {form(tag) for tag in drop.tags}
        for tag in sorted(made):
            if form(tag) in dropped:
                raise FolksongError(
                    f"the step 'drop' would undo the step 'merge': {tag!r} is what other tags are merged into, and is "
                    "listed to be dropped; take it out of one of them"
                )
        for keep in keeps:
            both = sorted(tag for tag in keep.tags if form(tag) in dropped)
            if both:
                raise FolksongError(
                    f"{both[0]!r} is listed to be kept and to be dropped; take it out of one list"
                )
    for step in steps:
        if isinstance(step, (KeepTags, DropTags)):
            aliases = {
                tag: to for merge in steps if isinstance(merge, MergeTags) for tag, to in merge.merges.items()
            }
            gone = sorted(tag for tag in step.tags if tag in aliases)
            if gone:
                raise FolksongError(
                    f"the step {step.name!r} lists {gone[0]!r}, which the step 'merge' turns into {aliases[gone[0]]!r} "
                    "before; list that instead"
                )
