"""folksong: learn to hear what listeners write.

Label spaces from crowd-sourced music tags, convolutional taggers trained on them, and a measure of how much of the
crowd's information each choice keeps. ``import folksong as fs`` is cheap: every name of ``__init__.pyi`` is loaded on
first use, and nothing about tags and labels loads torch.
"""

import ast
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Half of the time of the import would be that of importlib.resources.
_STUB = ast.parse(__spec__.loader.get_data(f"{__file__}i"))
_PLACES = {
    alias.name: str(node.module)
    for node in _STUB.body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}
__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'folksong' has no attribute {name!r}")
    place = import_module(_PLACES[name])
    # What comes from a package is a module of it.
    value: Any = (
        import_module(f"{_PLACES[name]}.{name}") if hasattr(place, "__path__") else getattr(place, name)
    )
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
