"""A short run of benchmarks/fuzz_audio.py: damaged recordings must not crash a worker, hang, or fill the memory."""

import os
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def fuzz_audio(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(BENCHMARKS), os.environ.get("PYTHONPATH", "")]))
    import fuzz_audio

    yield fuzz_audio
    del sys.modules["fuzz_audio"]


def test_two_hundred_damaged_files(fuzz_audio, tmp_path):
    (tmp_path / "seeds").mkdir()
    (tmp_path / "damaged").mkdir()
    fuzz_audio.write_seeds(tmp_path / "seeds")
    findings, crashes = fuzz_audio.fuzz(200, tmp_path, seed=7, jobs=1)
    assert crashes == []
    assert len(findings) == 200
    assert {finding.outcome for finding in findings} == {"whole", "in part", "refused"}
    assert max(finding.seconds for finding in findings) < fuzz_audio.LIMIT_SECONDS
    assert max(finding.peak_bytes for finding in findings) < fuzz_audio.LIMIT_BYTES
    assert list((tmp_path / "damaged").iterdir()) == []
