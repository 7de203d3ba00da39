"""What the code computes is what it computed when the golden file was written; see golden/make_golden.py."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parent / "golden" / "make_golden.py"
CONTENT = json.loads(SCRIPT.with_name("house.json").read_text(encoding="utf-8"))
ENTRIES: dict[str, dict[str, Any]] = CONTENT["entries"]
Found = Callable[[str], dict[str, dict[str, Any]]]


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("folksong_make_golden", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def golden() -> ModuleType:
    return load_script()


@pytest.fixture(scope="module")
def found(golden: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Return a function that gives a group's entries, computed once: a group that fails leaves the others alone."""
    house = golden.House(tmp_path_factory.mktemp("golden"))
    results: dict[str, dict[str, Any] | Exception] = {}

    def entries_of(group: str) -> dict[str, dict[str, Any]]:
        if group not in results:
            try:
                results[group] = golden.compute(group, house)
            except Exception as error:
                results[group] = error
        result = results[group]
        if isinstance(result, golden.NotHereError):
            pytest.skip(str(result))
        if isinstance(result, Exception):
            raise result
        return result

    return entries_of


@pytest.mark.parametrize("name", ENTRIES)
def test_value_is_what_it_was(name: str, golden: ModuleType, found: Found) -> None:
    entries, expected = found(name.split(": ")[0]), ENTRIES[name]
    assert name in entries, "the script computes no such entry any more"
    within = expected.get("within", 0.0)
    changed = list(golden.differences(expected["value"], entries[name]["value"], within))
    here = golden.environment()
    elsewhere = {key: f"{was} then, {here.get(key)} now" for key, was in CONTENT["environment"].items()}
    note = {key: text for key, text in elsewhere.items() if here.get(key) != CONTENT["environment"][key]}
    if changed and note:
        pytest.skip(f"last bits hang on the machine and its libraries: {note}")
    assert not changed, "\n".join(changed[:10])


@pytest.mark.parametrize("group", sorted({name.split(": ")[0] for name in ENTRIES}))
def test_every_entry_is_in_the_golden_file(group: str, found: Found) -> None:
    assert not found(group).keys() - ENTRIES.keys()
