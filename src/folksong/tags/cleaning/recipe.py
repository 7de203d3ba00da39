"""A cleaning recipe: one TOML file that says which steps, with which settings.

Paths in it are relative to the file. What a recipe promises is checked when it is read: unknown settings, merges in
a circle, a tag that is to be kept and dropped, a step that would undo another.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from pydantic import Field, ValidationError, validate_call

from folksong.audio.msd import read_duplicates, read_mismatches
from folksong.errors import FileFormatError, FolksongError, nearest
from folksong.files import parse_toml, read_text
from folksong.tags.cleaning.change_log import ADD_IMPLIED
from folksong.tags.cleaning.merges import read_merges, shipped_merges
from folksong.tags.cleaning.steps import (
    DROP_IMPLIED,
    Context,
    DropTags,
    DropTracks,
    FoldCase,
    ImpliedTags,
    KeepTags,
    ListedTags,
    MergeTags,
    MergeVariants,
    MinimumCount,
    Normalise,
    Step,
    TextStep,
)
from folksong.tags.table import MERGED
from folksong.tags.tag_lists import read_tag_list, shipped_list, shipped_text


@dataclass(frozen=True)
class Recipe:
    """Steps in the order in which they are applied, and what merged weights become."""

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
            self.weights,
        )


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Read a recipe."""
    return _parse(read_text(path), path, Path(path).parent)


def default_recipe_text() -> str:
    """Return the recipe that ships in the package, with comments that explain each step."""
    return shipped_text("recipe.toml")


def default_recipe() -> Recipe:
    """Return the recipe that ships in the package."""
    return _parse(default_recipe_text(), "the shipped recipe", Path())


def _parse(text: str, path: str | os.PathLike[str], folder: Path) -> Recipe:
    content = parse_toml(text, path)
    unknown = [name for name in content if name not in ("weights", "step")]
    if unknown:
        raise FileFormatError(
            f"{path}: unknown setting {unknown[0]!r}{nearest(unknown[0], ('weights', 'step'))}"
        )
    entries = content.get("step")
    if not isinstance(entries, list) or not entries:
        raise FileFormatError(f'{path}: no steps; a recipe has at least one [[step]] with do = "..."')
    steps = [_step(entry, folder, f"{path}: step {number}") for number, entry in enumerate(entries, 1)]
    try:
        return Recipe(tuple(steps), content.get("weights", "maximum"))
    except FolksongError as error:
        raise FileFormatError(f"{path}: {error}") from error


def _step(entry: Any, folder: Path, where: str) -> Step:
    """Build a step of the settings that its builder's parameters name and check."""
    settings = dict(entry) if isinstance(entry, dict) else {}
    kind = str(settings.pop("do", None))
    if kind not in _BUILDERS:
        raise FileFormatError(
            f"{where}: do = {kind!r} is no step{nearest(kind, tuple(_BUILDERS))} ({', '.join(_BUILDERS)})"
        )
    known = get_type_hints(_BUILDERS[kind])
    for name in ("do", "folder", "return"):
        del known[name]
    try:
        return validate_call(config={"strict": True})(_BUILDERS[kind])(kind, folder, **settings)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        message = f"unknown setting {name!r}{nearest(name, tuple(known))}"
        if name not in settings:
            message = "give the least number of tracks: count = 10"
        elif name in known:
            message = f"{name} must be {_MEANING[known[name]]}, not {settings[name]!r}"
        raise FileFormatError(f"{where} ({kind}): {message}") from error
    except FolksongError as error:
        raise FileFormatError(f"{where} ({kind}): {error}") from error


Texts = Sequence[str]
Pairs = Mapping[str, str] | None
Share = Annotated[float, Field(gt=0, le=1)] | None
_MEANING: dict[Any, str] = {
    int: "a whole number",
    bool: "true or false",
    float | None: "a share",
    str | None: "a file name",
    Texts: "a list of texts",
    Pairs: 'a table of tags ("r&b" = "rnb")',
}


def _merge(do: str, folder: Path, merges: Pairs = None, files: Texts = (), shipped: Texts = ()) -> Step:
    reviewed = [*map(shipped_merges, shipped), *(read_merges(folder / name) for name in files)]
    # What the recipe itself says is the last word, and a later file's over an earlier one's.
    accepted = {tag: to for part in reviewed for tag, to in part.accepted.items()} | dict(merges or {})
    rejected = {tag for part in reviewed for tag in part.rejected} - (merges or {}).keys()
    kept = {tag: to for tag, to in accepted.items() if tag != to and tag not in rejected}
    own = {tag for part in reviewed[len(shipped) :] for tag in part.accepted} | (merges or {}).keys()
    return MergeTags(kept, frozenset(rejected), frozenset(kept.keys() - own))


def _list(
    do: str,
    folder: Path,
    tags: Texts = (),
    files: Texts = (),
    shipped: Texts = (),
    ignore_case: bool = False,
) -> Step:
    lists = [tags, *(read_tag_list(folder / name) for name in files), *map(shipped_list, shipped)]
    if not any(lists):
        raise FolksongError("no tags are listed; give tags = [...] or files = [...]")
    listed = frozenset(tag for part in lists for tag in part)
    return (KeepTags if do == "keep" else DropTags)(listed, ignore_case)


def _tracks(do: str, folder: Path, duplicates: str | None = None, mismatches: str | None = None) -> Step:
    if duplicates is None and mismatches is None:
        raise FolksongError('give duplicates = "FILE" or mismatches = "FILE"')
    listed = () if mismatches is None else read_mismatches(folder / mismatches)
    groups = () if duplicates is None else read_duplicates(folder / duplicates)
    return DropTracks(dict.fromkeys(listed, "listed as a mismatch"), groups)


def _implied(
    do: str,
    folder: Path,
    implies: Pairs = None,
    files: Texts = (),
    threshold: Share = None,
    min_count: int = 10,
) -> Step:
    listed = [implies or {}, *(read_merges(folder / name).accepted for name in files)]
    pairs = tuple(pair for part in listed for pair in part.items())
    return ImpliedTags(do == ADD_IMPLIED, pairs, threshold if threshold or pairs else 0.9, min_count)


def _variants(do: str, folder: Path, min_count: int = 1, mistyped: bool = True) -> Step:
    return MergeVariants(min_count, mistyped)


def _count(do: str, folder: Path, count: int) -> Step:
    return MinimumCount(count)


def _text(do: str, folder: Path) -> Step:
    return FoldCase() if do == "fold-case" else Normalise()


_BUILDERS: dict[str, Callable[..., Step]] = {
    "drop-tracks": _tracks, "normalise": _text, "fold-case": _text, "merge": _merge, "merge-variants": _variants,
    ADD_IMPLIED: _implied, DROP_IMPLIED: _implied, "minimum-count": _count, "drop": _list, "keep": _list,
}  # fmt: skip
"""Step -> what builds it; the parameters after `do` and `folder` are the step's settings."""


def _resolve_aliases(steps: list[Step]) -> list[Step]:
    """Write every alias out to its end (a -> b and b -> c make a -> c), in the text form of the steps before."""

    def plain(tag: str) -> str:
        for step in steps:
            tag = step.text(tag) if isinstance(step, TextStep) else tag
        return tag

    merged: dict[str, str] = {}
    for step in steps:
        for source, target in step.merges.items() if isinstance(step, MergeTags) else ():
            source, target = plain(source), plain(target)
            if source != target and merged.setdefault(source, target) != target:
                raise FolksongError(
                    f"{source!r} is merged into {merged[source]!r} and into {target!r}; decide on one"
                )
    ends = {source: _end(source, merged) for source in merged}
    return [
        MergeTags(
            {name: ends[name] for source in step.merges if (name := plain(source)) in ends},
            frozenset(map(plain, step.rejected)),
            frozenset(map(plain, step.shipped)),
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
    merges = {tag: to for step in steps if isinstance(step, MergeTags) for tag, to in step.merges.items()}
    kept = {tag for step in steps if isinstance(step, KeepTags) for tag in step.tags}
    for step in steps:
        if not isinstance(step, ListedTags):
            continue
        gone = sorted(step.tags & merges.keys())
        if isinstance(step, DropTags):
            if undone := step.listed(sorted(merges.values()), context):
                raise FolksongError(
                    f"the step 'drop' would undo the step 'merge': {undone[0]!r} is what other tags are merged into, "
                    "and is listed to be dropped; take it out of one of them"
                )
            if both := step.listed(sorted(kept), context):
                raise FolksongError(
                    f"{both[0]!r} is listed to be kept and to be dropped; take it out of one list"
                )
        if gone:
            raise FolksongError(
                f"the step {step.name!r} lists {gone[0]!r}, which the step 'merge' turns into {merges[gone[0]]!r} "
                "before; list that instead"
            )
