"""Plans read from TOML files: those that ship in the package, a person's own, and changes laid over them.

Paths in a plan are relative to its file. A plan may begin with ``extends = "NAME"`` and say only what differs from
that shipped plan. An unknown key is an error that names the nearest known.
"""

import os
import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from folksong.embeddings.store import EMBEDDINGS
from folksong.errors import FileFormatError, FolksongError, nearest
from folksong.experiment.plan import Data, Grid, Plan, Search, Training, at_key, check_names
from folksong.files import parse_toml, read_text

ENDING = ".toml"
HEAD_SEEDS = list(range(10))


def read_plan(
    path: str | os.PathLike[str], changes: Mapping[str, Any] | None = None, *, front_end: str | None = None
) -> Plan:
    """Read and check a plan.

    Args:
        path: a file, or the name of a plan that ships in the package.
        changes: tables laid over those of the file; paths in them, too, are relative to the plan's folder.
        front_end: in the place of those of the plan's grids; heads on embeddings get 10 seeds.

    Raises:
        FolksongError: the file cannot be read, and no shipped plan is called so.
        FileFormatError: it is not TOML, a key or value is wrong, or a name is used that nothing defines.
    """
    content, folder = read_content(path)
    content = lay_over(content, changes or {})
    if front_end is not None and isinstance(content.get("grid"), list):
        other = {"front_ends": [front_end], **({"seeds": HEAD_SEEDS} if front_end == EMBEDDINGS else {})}
        content["grid"] = [{**grid, **other} for grid in content["grid"]]
    return make_plan(content, folder, os.fspath(path))


def read_content(path: str | os.PathLike[str]) -> tuple[dict[str, Any], Path]:
    """Return what a plan says, laid over what it extends, and the folder where its paths start."""
    file = Path(path)
    # results may lie in a folder of the plan's name
    if not file.is_file() and os.fspath(path) in shipped_plans():
        content, folder = parse_toml(shipped_plan(os.fspath(path)), file), Path.cwd()
    elif not file.exists():
        raise FolksongError(
            f"{file}: no such file or folder; plans that ship with folksong are {', '.join(shipped_plans())}"
        )
    else:
        content, folder = parse_toml(read_text(file), file), file.absolute().parent
    base = content.pop("extends", None)
    if base is None:
        return content, folder
    try:
        shipped_plan(str(base))
        return lay_over(read_content(str(base))[0], content), folder
    except FolksongError as error:
        raise FileFormatError(f"{file}: extends: {error}") from error


def make_plan(content: Mapping[str, Any], folder: Path, source: str) -> Plan:
    """Check what a plan says; `source` is for messages.

    Raises:
        FileFormatError: a key or value is wrong, or a name is used that nothing defines.
    """
    if "folder" in content:
        raise FileFormatError(f"{source}: unknown key 'folder'; paths are relative to the file")
    try:
        plan = Plan.model_validate({**content, "folder": folder})
        check_names(plan)
    except ValidationError as error:
        raise FileFormatError(f"{source}: " + "; ".join(map(_explain, error.errors()))) from error
    except FolksongError as error:
        raise FileFormatError(f"{source}: {error}") from error
    return plan


def shipped_plans() -> dict[str, str]:
    """Return the TOML of all plans that ship in the package by name; its first line says what the plan is."""
    folder = files("folksong.experiment").joinpath("plans")
    entries = [entry for entry in folder.iterdir() if entry.name.endswith(ENDING)]
    return dict(sorted((entry.name.removesuffix(ENDING), entry.read_text("utf-8")) for entry in entries))


def shipped_plan(name: str) -> str:
    """Return the TOML of one plan; one that extends another says so in its first setting.

    Raises:
        FolksongError: no shipped plan is called so.
    """
    plans = shipped_plans()
    if name not in plans:
        known = nearest(name, list(plans)) or f"; known are {', '.join(plans)}"
        raise FolksongError(f"no plan {name!r} ships with folksong{known}")
    return plans[name]


def lay_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return `below` with the keys of `above` laid over it, table by table; other values are replaced.

    >>> lay_over({"a": {"x": 1, "y": 2}, "b": [1]}, {"a": {"y": 3}, "b": [2]})
    {'a': {'x': 1, 'y': 3}, 'b': [2]}
    """
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = lay_over(old, value) if both else value  # type: ignore[arg-type]
    return result


def read_settings(texts: Iterable[str]) -> dict[str, Any]:
    """Return settings written as ``KEY=VALUE`` as one table; a value that is no TOML is a word.

    >>> read_settings(["spaces.top.n=50", "data.tags=my tags.db"])
    {'spaces': {'top': {'n': 50}}, 'data': {'tags': 'my tags.db'}}

    Raises:
        FolksongError: a text has no ``=``, or its key is none.
    """
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise FolksongError(
                f"{text!r}: a setting is written as KEY=VALUE, for example spaces.model-1.n=50 or gamma=2"
            )
        found = lay_over(found, _read_setting(key.strip(), value.strip()))
    return found


def _read_setting(key: str, value: str) -> dict[str, Any]:
    try:
        found = tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        found = value
    return at_key(key, found)


def _explain(error: Any) -> str:
    where = [str(part) for part in error["loc"]]
    if error["type"] == "extra_forbidden":
        sections: dict[str, type[BaseModel]] = {
            "data": Data,
            "grid": Grid,
            "training": Training,
            "search": Search,
        }
        section = sections.get(where[0], Plan)
        known = [name for name in section.model_fields if name != "folder"]
        return (
            f"unknown key {'.'.join(where)!r}{nearest(where[-1], known) or '; known are ' + ', '.join(known)}"
        )
    return f"{'.'.join(where)}: {error['msg'].removeprefix('Value error, ')}"
