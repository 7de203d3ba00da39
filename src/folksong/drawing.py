"""What all charts share: names that can be shown, pages, and pictures by Matplotlib with the same bytes each time."""

import html
import os
import warnings
from collections.abc import Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from folksong.errors import FolksongError
from folksong.files import atomic_path

PICTURES = (".png", ".svg", ".pdf")
LONGEST_NAME = 32  # characters


def short_name(name: str, longest: int = LONGEST_NAME) -> str:
    """Return a name on one line, of at most so many characters."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def distinct_names(names: Sequence[str]) -> list[str]:
    """Return names, numbered where shortening made some alike: Plotly would draw them as one row."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def plotly_text(text: str) -> str:
    """Return text that Plotly shows as it is: it takes some HTML for its own, and knows no ``&quot;``."""
    return html.escape(text, quote=False)


def fill_template(template: Traversable, /, **parts: Any) -> str:
    """Return what Jinja makes of a template; in HTML, text that is no `Markup` is escaped."""
    from jinja2 import Environment

    escapes = template.name.endswith(".html")
    environment = Environment(
        autoescape=escapes, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(template.read_text(encoding="utf-8")).render(parts)


def write_picture(figure: Any, path: str | os.PathLike[str], *, dpi: int = 150) -> None:
    """Write a Matplotlib figure, whole or not at all, with the same bytes for the same figure."""
    import matplotlib as mpl

    ending = Path(path).suffix.lower()
    if ending not in PICTURES:
        raise FolksongError(f"{path}: pictures are written as {', '.join(PICTURES)}; choose such an ending")
    undated = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}[ending]
    with (
        mpl.rc_context({"svg.hashsalt": "folksong"}),
        atomic_path(path) as temporary,
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Glyph .* missing")  # an emoji in a name shows as a box
        figure.savefig(temporary, format=ending[1:], dpi=dpi, metadata=undated)
