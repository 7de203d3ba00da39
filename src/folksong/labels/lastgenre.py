"""A label space as beets' lastgenre plugin takes it: what listeners wrote on last.fm becomes the space's labels.

Its whitelist names the labels, its canonicalisation tree puts each label's tags below it, and its aliases, in the
settings to include, are the spellings that the space joined.
"""

import json
import os
import re
from collections.abc import Collection
from pathlib import Path

from folksong.errors import FolksongError
from folksong.files import atomic_write
from folksong.labels.space import LabelSpace

AnyPath = str | os.PathLike[str]


def lastgenre(
    space: LabelSpace,
    whitelist: AnyPath,
    tree: AnyPath,
    settings: AnyPath,
    *,
    facets: Collection[str] = ("genre",),
) -> None:
    """Write lastgenre's files.

    Args:
        space: the label space.
        whitelist: gets the labels' names, one a line.
        tree: gets the canonicalisation tree, YAML.
        settings: gets settings of lastgenre that name both files and hold the aliases, YAML to ``include`` in beets'.
        facets: which labels, where the space knows their facets; all labels where it does not.

    Raises:
        FolksongError: no label is of these facets.
    """
    kept = [label for label in space.labels if not label.facet or label.facet in facets]
    if not kept:
        raise FolksongError(f"no label is of the facet {' or '.join(facets)}; see `labels show --by-facet`")
    with atomic_write(whitelist, "w") as stream:
        stream.writelines(f"{label.name.lower()}\n" for label in kept)
    with atomic_write(tree, "w") as stream:
        for label in kept:
            below = sorted({tag.lower() for tag in label.tags} - {label.name.lower()})
            # JSON's texts are YAML's: quoted, whatever stands in a tag.
            stream.write(f"- {_text(label.name)}{':' if below else ''}\n")
            stream.writelines(f"    - {_text(tag)}\n" for tag in below)
    tags = {tag for label in kept for tag in label.tags}
    spellings: dict[str, list[str]] = {}
    for spelling, tag in space.aliases.items():
        if tag in tags and spelling.lower() != tag.lower():
            template = tag.replace("\\", "\\\\")  # lastgenre expands what a pattern matched in it
            spellings.setdefault(template, []).append(f"^{re.escape(spelling)}$")
    with atomic_write(settings, "w") as stream:
        stream.write(f"lastgenre:\n    whitelist: {_text(str(Path(whitelist).resolve()), as_it_is=True)}\n")
        stream.write(f"    canonical: {_text(str(Path(tree).resolve()), as_it_is=True)}\n    aliases:")
        stream.write("\n" if spellings else " no\n")
        for tag, patterns in spellings.items():
            stream.write(f"        {_text(tag)}:\n")
            stream.writelines(f"            - {_text(pattern, as_it_is=True)}\n" for pattern in patterns)


def _text(value: str, *, as_it_is: bool = False) -> str:
    return json.dumps(value if as_it_is else value.lower(), ensure_ascii=False)
