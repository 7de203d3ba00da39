"""Run the commands that a page of the documentation shows, in order, as its reader would.

Every line of the page's ``console`` blocks that begins with ``$ `` is run by bash in the repository's root; the first
that fails ends the run. ``make test`` itself is passed over, since it is what calls this, and so is ``git clone``.

    python docs/run_commands.py README.md
"""

import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PASSED_OVER = ("make test", "git clone", "cd folksong", "pip install")


def commands_of(page: Path) -> list[str]:
    """Return the commands of the page's console blocks; a line that ends in a backslash goes on in the next."""
    blocks = re.findall(r"^```console\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    joined = "".join(blocks).replace("\\\n", " ")
    return [line[2:].strip() for line in joined.splitlines() if line.startswith("$ ")]


def main() -> int:
    """Run each page's commands; return the exit status."""
    for page in map(Path, sys.argv[1:]):
        commands = [line for line in commands_of(page) if not line.startswith(PASSED_OVER)]
        if not commands:
            print(f"{page}: no command found; console blocks must hold lines that begin with '$ '")
            return 1
        for command in commands:
            print(f"{page}: $ {command}", flush=True)
            start = time.monotonic()
            code = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command], cwd=ROOT, check=False
            ).returncode
            print(f"{page}: exit {code} after {time.monotonic() - start:.0f} s", flush=True)
            if code:
                return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
