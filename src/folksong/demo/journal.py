"""What a demo has done so far: ``demo.json`` in its folder, so that a second call goes on where the first one ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from folksong.errors import FolksongError
from folksong.files import read_json, write_json

FORMAT = "folksong.demo"
NAME = "demo.json"


@dataclass(frozen=True)
class Stage:
    """One finished stage.

    Attributes:
        name: a word or two.
        detail: what came out, one line.
        seconds: how long it took, interrupted attempts included.
        skipped: an earlier call had finished it.
    """

    name: str
    detail: str
    seconds: float
    skipped: bool


class Journal:
    """Finished stages of a demo, with what each found out.

    Args:
        folder: of the demo.
        settings: as JSON values; a folder that was begun with others is refused.
        on_stage: called with every stage that is finished.

    Raises:
        FolksongError: the folder was begun with other settings, or holds something else.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        on_stage: Callable[[Stage], None] | None = None,
    ) -> None:
        self.stages: list[Stage] = []
        self._path = folder / NAME
        self._on_stage = on_stage
        self._content: dict[str, Any] = {"format": FORMAT, "settings": dict(settings), "stages": {}}
        if self._path.exists():
            found = read_json(self._path)
            if not isinstance(found, dict) or found.get("settings") != self._content["settings"]:
                raise FolksongError(
                    f"{folder}: holds a demo made with other settings, or by another version; to start over, delete "
                    "that folder or choose another one"
                )
            self._content = found
        elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise FolksongError(f"{folder}: is not an empty folder and no demo; choose another folder")
        else:
            write_json(self._path, self._content)

    def found(self, name: str) -> dict[str, Any] | None:
        """Return what a stage found out if it is finished; it is then reported as skipped."""
        entry: dict[str, Any] = self._content["stages"].get(name, {})
        if "detail" not in entry:
            return None
        self._report(Stage(name, entry["detail"], entry["seconds"], skipped=True))
        return dict(entry["found"])

    @contextmanager
    def stage(self, name: str) -> Iterator[dict[str, Any]]:
        """Time a stage. The block fills in ``detail`` (one line) and whatever later stages need, as JSON values.

        If the block fails or is interrupted, its time is kept and added to that of the next attempt.
        """
        found: dict[str, Any] = {}
        began = time.monotonic()
        finished = False
        try:
            yield found
            finished = True
        finally:
            entry = self._content["stages"].setdefault(name, {"seconds": 0.0})
            entry["seconds"] = round(entry["seconds"] + time.monotonic() - began, 2)
            if finished:
                entry["detail"] = found.pop("detail")
                entry["found"] = found
            write_json(self._path, self._content)
        self._report(Stage(name, entry["detail"], entry["seconds"], skipped=False))

    def _report(self, stage: Stage) -> None:
        self.stages.append(stage)
        if self._on_stage is not None:
            self._on_stage(stage)
