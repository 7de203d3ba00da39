"""Changes to a plan: tables laid over tables, and single settings as ``spaces.hybrid.n_clusters=40``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from folksong.errors import FolksongError


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
                f"{text!r}: a setting is written as KEY=VALUE, for example spaces.model-1.n=50"
            )
        found = lay_over(found, _read_setting(key.strip(), value.strip()))
    return found


def at_key(key: str, value: Any) -> dict[str, Any]:
    """Return a value at a dotted key as nested tables; a part with a dot in it stands in quotes.

    >>> at_key('spaces."model-4.1".linkage', "single")
    {'spaces': {'model-4.1': {'linkage': 'single'}}}

    Raises:
        FolksongError: this is no key.
    """
    try:
        nested = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError as error:
        raise FolksongError(f"{key!r} is no key of a plan ({error}); parts are joined by dots") from error
    result: dict[str, Any] = nested
    place = nested
    while True:
        (name,) = place
        if place[name] == 0:
            place[name] = value
            return result
        place = place[name]


def _read_setting(key: str, value: str) -> dict[str, Any]:
    try:
        found = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        found = value
    return at_key(key, found)
