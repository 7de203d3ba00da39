"""The model card is read by people and shown by browsers: labels and paths are text in it, nothing else."""

from __future__ import annotations

from types import SimpleNamespace

from folksong.labels import Label, LabelSpace
from folksong.runs import Run, write_model_card


def test_16_c7_the_card_holds_no_html_and_no_escapes(tiny_run, tmp_path):
    run = Run.open(tiny_run.folder)
    names = [
        "<img src=x onerror=alert(1)>",
        "\x1b[2Jrock",
        "a\u202eb",
        "![pixel](http://x)",
        "new\n# Heading",
        "a|b",
    ]
    shown = SimpleNamespace(
        path=run.path,
        labels=LabelSpace(tuple(Label(name, (name,)) for name in names)),
        front_end=run.front_end,
        config=run.config,
        split=run.split,
        model_card_path=tmp_path / "model_card.md",
    )
    write_model_card(shown, run.history(), "It ended.")
    card = shown.model_card_path.read_text()
    assert "&lt;img src=x onerror=alert(1)&gt;" in card
    assert not set(card) & set("<>\x1b\u202e")
    assert "!\\[pixel\\](http://x)" in card
    assert "new # Heading" in card
    assert "a\\|b" in card
    assert (
        str(tiny_run.shards.parent) not in card
    )  # a card may be published; whose folders these are is nobody's business
