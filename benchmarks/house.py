"""The size and shape of the library: lines, modules, import circles, long functions, wide signatures, options.

    python benchmarks/house.py [--json] [--options] [--check]

Everything is counted in `src/folksong` beside this folder. The import graph is grimp's (it comes with import-linter):
imports within functions count, and so do re-exports of a package's `__init__`; those below `if TYPE_CHECKING` are
listed apart, but for a module with a `__getattr__`, where they name what it loads on first use, and count. A circle is
a strongly connected component. A function's length is `end_lineno - lineno`, without decorators. Parameters of click
callbacks are as many as the command's options, and are listed apart. ``--options`` adds the options of each command,
``--check`` exits with 1 if a figure is over its limit.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import grimp
from tabulate import tabulate

SOURCE = Path(__file__).resolve().parent.parent / "src"
ROOT = "folksong"
SMALL_MODULE, LONG_FUNCTION, WIDE_SIGNATURE = 60, 60, 8  # lines, lines, parameters
LIMITS = {
    "lines": 26_000, "modules": 170, "circles": 0, "long functions": 3, "wide signatures": 12, "options": 300,
}  # fmt: skip

Edge = tuple[str, str]  # importer, imported
Function = ast.FunctionDef | ast.AsyncFunctionDef


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def functions(tree: ast.AST, prefix: str, in_class: bool = False) -> Iterator[tuple[str, Function, int]]:
    """Yield each function with its name and its number of parameters, those of classes and functions too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Function):
            given = node.args
            parameters = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
            names = [parameter.arg for parameter in parameters if parameter is not None]
            bound = in_class and bool(names) and names[0] in ("self", "cls")
            yield f"{prefix}.{node.name}", node, len(names) - bound
            yield from functions(node, f"{prefix}.{node.name}")
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{prefix}.{node.name}", in_class=True)
        else:
            yield from functions(node, prefix, in_class)


def imports(trees: dict[str, ast.Module]) -> tuple[set[Edge], set[Edge]]:
    """Return the imports that happen, and those for type checking only."""
    found = []
    for excluded in (False, True):
        graph = grimp.build_graph(ROOT, exclude_type_checking_imports=excluded, cache_dir=None)
        found.append(
            {
                (name, other)
                for name in graph.modules
                for other in graph.find_modules_directly_imported_by(name)
            }
        )
    every, real = found
    on_first_use = {
        name
        for name, tree in trees.items()
        for node in tree.body
        if getattr(node, "name", "") == "__getattr__"
    }
    real |= {edge for edge in every if edge[0] in on_first_use}
    return real, every - real


def circles(edges: Iterable[Edge]) -> list[list[str]]:
    """Return the strongly connected components of more than one module (Tarjan), the largest first."""
    following: dict[str, list[str]] = {}
    for importer, imported in sorted(edges):
        following.setdefault(importer, []).append(imported)
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    found = []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        path.append(name)
        for other in following.get(name, ()):
            if other not in order:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in path:
                lowest[name] = min(lowest[name], order[other])
        if lowest[name] == order[name]:
            start = path.index(name)
            found.append(sorted(path[start:]))
            del path[start:]

    for name in following:
        if name not in order:
            visit(name)
    return sorted((circle for circle in found if len(circle) > 1), key=lambda circle: (-len(circle), circle))


def commands(command: click.Command, name: str = ROOT) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for word, inner in sorted(command.commands.items()):
            yield from commands(inner, f"{name} {word}")


def measure() -> dict[str, Any]:
    """Return all figures, names and lists."""
    from folksong.cli import main as cli

    if SOURCE not in Path(inspect.getfile(inspect.unwrap(cli.callback))).resolve().parents:
        raise SystemExit(f"another {ROOT} is imported than the one that is counted; set PYTHONPATH=src")
    texts = {module_name(path): path.read_text("utf-8") for path in sorted((SOURCE / ROOT).rglob("*.py"))}
    trees = {name: ast.parse(text) for name, text in texts.items()}
    lines = {name: len(text.splitlines()) for name, text in texts.items()}
    real, typing = imports(trees)
    importers = Counter(imported for _, imported in real)
    real_circles = circles(real)
    tree = dict(commands(cli))
    callbacks = {
        f"{callback.__module__}.{callback.__qualname__}"
        for callback in (inspect.unwrap(command.callback) for command in tree.values() if command.callback)
    }
    known = [found for name, module in trees.items() for found in functions(module, name)]
    long = [(name, node.end_lineno - node.lineno) for name, node, _ in known]
    wide = [(name, number) for name, _, number in known if number > WIDE_SIGNATURE]
    options = {
        name: sum(isinstance(parameter, click.Option) for parameter in command.params)
        for name, command in tree.items()
    }
    return {
        "lines": sum(lines.values()),
        "modules": len(lines),
        f"modules under {SMALL_MODULE} lines": sum(number < SMALL_MODULE for number in lines.values()),
        "modules that one other imports": sum(number == 1 for number in importers.values()),
        "circles": real_circles,
        "imports for type checking only": [f"{one} -> {other}" for one, other in sorted(typing)],
        "circles by those only": [circle for circle in circles(real | typing) if circle not in real_circles],
        "long functions": falling((name, n) for name, n in long if n > LONG_FUNCTION),
        "wide signatures": falling(pair for pair in wide if pair[0] not in callbacks),
        "wide click callbacks": falling(pair for pair in wide if pair[0] in callbacks),
        "commands": sum(not isinstance(command, click.Group) for command in tree.values()),
        "options": sum(options.values()),
        "options by command": falling(options.items()),
    }


def falling(counts: Iterable[tuple[str, int]]) -> list[tuple[int, str]]:
    """Return the pairs turned round, the largest first."""
    return sorted(((number, name) for name, number in counts), key=lambda pair: (-pair[0], pair[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print all of it as JSON")
    parser.add_argument("--options", action="store_true", help="list the options of each command too")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a figure is over its limit")
    given = parser.parse_args()
    sys.path.insert(0, str(SOURCE))
    found = measure()
    figures = {name: value if isinstance(value, int) else len(value) for name, value in found.items()}
    by_command = found["options by command"]
    del figures["options by command"]
    over = [name for name, limit in LIMITS.items() if figures[name] > limit]
    if given.json:
        print(json.dumps({"figures": figures, "limits": LIMITS, "over": over, "found": found}, indent=2))
    else:
        rows = [
            (name, figure, LIMITS.get(name), "over" if name in over else "")
            for name, figure in figures.items()
        ]
        print(tabulate(rows, headers=("", "today", "limit", ""), intfmt=","))
        for name, value in found.items():
            if not value or isinstance(value, int) or (value is by_command and not given.options):
                continue
            print(f"\n{name}")
            for entry in value:
                print("  " + (entry if isinstance(entry, str) else "  ".join(f"{part:>3}" for part in entry)))
    if given.check and over:
        raise SystemExit(f"over the limit: {', '.join(over)}")


if __name__ == "__main__":
    main()
