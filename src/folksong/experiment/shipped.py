"""The plans that ship in the package: data files below ``plans/``, named without their ending.

A plan may begin with ``extends = "NAME"``: it then says only what differs from that shipped plan.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from folksong.errors import FolksongError, nearest
from folksong.files import atomic_write

ENDING = ".toml"


@dataclass(frozen=True)
class ShippedPlan:
    """A plan in the package.

    Args:
        name: what `folksong experiment` calls it.
        text: its TOML.
    """

    name: str
    text: str

    @property
    def about(self) -> str:
        """Its first comment line."""
        return self.text.partition("\n")[0].lstrip("# ")

    @property
    def content(self) -> dict[str, Any]:
        """What it says, without what it extends."""
        return tomllib.loads(self.text)


def shipped_plans() -> dict[str, ShippedPlan]:
    """Return all shipped plans by name."""
    folder = files("folksong.experiment").joinpath("plans")
    names = sorted(
        entry.name.removesuffix(ENDING) for entry in folder.iterdir() if entry.name.endswith(ENDING)
    )
    return {name: ShippedPlan(name, folder.joinpath(name + ENDING).read_text("utf-8")) for name in names}


def shipped_plan(name: str) -> ShippedPlan:
    """Return one plan.

    Raises:
        FolksongError: no shipped plan is called so.
    """
    plans = shipped_plans()
    if name not in plans:
        raise FolksongError(
            f"no plan {name!r} ships with folksong{nearest(name, list(plans)) or '; known are ' + ', '.join(plans)}"
        )
    return plans[name]


def write_shipped_plan(name: str, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a copy of a shipped plan to edit; one that extends another says so in its first setting.

    Raises:
        FolksongError: no plan is called so, or the file is there already.
    """
    plan, file = shipped_plan(name), Path(path)
    if file.exists() and not overwrite:
        raise FolksongError(f"{file}: is there already; choose another name")
    with atomic_write(file, "w") as stream:
        stream.write(plan.text)
    return file
