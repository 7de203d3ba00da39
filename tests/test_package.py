"""The package as a whole: what importing it costs, and that its public names are there."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import folksong


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "code",
    [
        "import folksong",
        "import folksong as fs; fs.TagTable, fs.LabelSpace, fs.labels.top, fs.metrics.roc_auc, fs.read_tags",
        "from folksong.cli import main; main(['--help'], standalone_mode=False)",
        "from folksong.cli import main; main(['tags', '--help'], standalone_mode=False)",
    ],
)
def test_no_torch_without_need(code: str) -> None:
    out = run_python(
        f"{code}\nimport sys; print('loaded:', sorted({{'torch', 'pytorch_lightning'}} & set(sys.modules)))"
    )
    assert out.endswith("loaded: []\n")


def test_help_loads_nothing_heavy() -> None:
    out = run_python(
        "from folksong.cli import main; main(['--help'], standalone_mode=False)\n"
        "heavy = {'numpy', 'scipy', 'polars', 'matplotlib', 'pydantic'}\n"
        "import sys; print('loaded:', sorted(heavy & set(sys.modules)))"
    )
    assert out.endswith("loaded: []\n")


@pytest.mark.parametrize("name", folksong.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(folksong, name) is not None
    assert name in dir(folksong)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'tagger'"):
        folksong.tagger  # noqa: B018


def test_the_container_installs_extras_that_there_are() -> None:
    root = Path(__file__).parent.parent
    extras = re.search(r'"\.\[(.+?)\]"', (root / "Containerfile").read_text())[1].split(",")
    known = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras) <= set(known)
    assert "serve" in extras
