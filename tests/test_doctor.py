import json

import pytest
from click.testing import CliRunner

from folksong import doctor
from folksong.cli import main


def test_every_codec_is_really_decoded() -> None:
    findings = {finding.topic: finding for finding in doctor.examine()}
    for codec in doctor.CODECS:
        assert findings[codec].status == "ok", findings[codec]
    assert findings["cores"].text.split()[0].isdigit()


def test_a_codec_that_decodes_wrongly_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    import folksong.audio.decode

    real = folksong.audio.decode.decode
    monkeypatch.setattr(folksong.audio.decode, "decode", lambda *args: real(*args) * 2**0.5)
    monkeypatch.setattr(doctor, "_accelerators", list)
    result = CliRunner().invoke(main, ["doctor", "--json"])
    assert result.exit_code == 1
    assert {f["topic"] for f in json.loads(result.output) if f["status"] == "problem"} == set(doctor.CODECS)


def test_traps_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    texts = " ".join(finding.text for finding in doctor.examine() if finding.status == "note")
    assert "OPENBLAS_CORETYPE=Haswell" in texts
    assert "OMP_NUM_THREADS=1" in texts


def test_a_missing_extra_comes_with_its_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_is_installed", lambda name: False)
    missing = [f for f in doctor.examine() if f.topic.startswith("extra") and f.status == "note"]
    assert missing
    assert all("pip install 'folksong[" in finding.text for finding in missing)
