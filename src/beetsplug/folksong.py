"""folksong in beets: genres, moods and grouping by what a recording sounds like, at import and by `beet folksong`.

plugins: folksong
folksong:
model: musicnn-msd      # a run, an exported folder, an ONNX file, hf://user/name, or a pretrained network
count: 3                # at most so many labels in a field
threshold: tuned        # the run's own thresholds (0.2 where it has none), or one number for all labels
whitelist:              # a file of the names that may be written, one a line; empty for all
genres: [genre]         # which facets of labels go where (`folksong tags facets` tells them)
mood: [mood]
grouping: []            # instrument, voice, era, place, use, opinion, name, unknown
auto: yes               # at import
force: no               # fields that say something already stay
keep_existing: no       # with force: add to what is there
"""

from __future__ import annotations

import optparse
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import mediafile
from beets import plugins, ui

import folksong as fs
from folksong.tags.facet_lists import FACETS, UNKNOWN

FIELDS = ("genres", "mood", "grouping")
SETTINGS = {
    "model": "musicnn-msd", "count": 3, "threshold": "tuned", "whitelist": "",
    "genres": ["genre"], "mood": ["mood"], "grouping": [],
    "auto": True, "force": False, "keep_existing": False, "pretend": False,
}  # fmt: skip
DEFAULT_THRESHOLD = 0.2  # pretrained networks seldom say more than 0.5


class FolksongPlugin(plugins.BeetsPlugin):
    """Tags items by a folksong tagger."""

    def __init__(self) -> None:
        super().__init__()
        self.config.add(SETTINGS)
        for unknown in sorted(set(self.config.keys()) - SETTINGS.keys()):
            self._log.warning("there is no setting {}; they are {}", unknown, ", ".join(SETTINGS))
        mood = mediafile.MediaField(
            mediafile.MP3StorageStyle("TMOO"),
            mediafile.MP4StorageStyle("----:com.apple.iTunes:MOOD"),
            mediafile.StorageStyle("MOOD"),
            mediafile.ASFStorageStyle("WM/Mood"),
        )
        self.add_media_field("mood", mood)
        if self.config["auto"].get(bool):
            self.import_stages = [self.imported]

    @cached_property
    def tagger(self) -> Any:
        """The tagger, loaded when the first item is heard."""
        try:
            return fs.load_tagger(self.config["model"].as_str())
        except fs.FolksongError as error:
            raise ui.UserError(f"folksong: {error}") from error

    @cached_property
    def limits(self) -> Any:
        """Thresholds (n_labels,), or one for all labels."""
        if self.config["threshold"].get() == "tuned":
            return DEFAULT_THRESHOLD if self.tagger.thresholds is None else self.tagger.thresholds
        return self.config["threshold"].as_number()

    @cached_property
    def fields(self) -> dict[str, str]:
        """Label -> the field that it belongs in, by its facet; others are not written."""
        field_of = {facet: field for field in FIELDS for facet in self.config[field].as_str_seq()}
        if unknown := field_of.keys() - {*FACETS, UNKNOWN}:
            raise ui.UserError(
                f"folksong: no facet {', '.join(sorted(unknown))}; they are {', '.join((*FACETS, UNKNOWN))}"
            )
        labels = list(self.tagger.labels)
        # Of numbered tracks: a tag that is a track's name would be an artist's.
        found = fs.tags.facets(fs.TagTable.from_pairs([str(number) for number in range(len(labels))], labels))
        if nowhere := [
            f"{tag} ({of})" for tag, of in zip(found.tags, found.facets, strict=True) if of not in field_of
        ]:
            self._log.info("labels that go into no field, by their facets: {}", ", ".join(nowhere))
        listed = self.config["whitelist"].get()
        allowed = None
        if listed:
            lines = Path(self.config["whitelist"].as_filename()).read_text(encoding="utf-8").splitlines()
            allowed = {line.strip().casefold() for line in lines if not line.startswith("#")}
        return {
            tag: field_of[facet]
            for tag, facet in zip(found.tags, found.facets, strict=True)
            if facet in field_of and (allowed is None or tag.casefold() in allowed)
        }

    def commands(self) -> list[ui.Subcommand]:
        command = ui.Subcommand("folksong", help="tag by what recordings sound like")
        for short, name, does in (
            ("-f", "force", "change fields that say something already"),
            ("-k", "keep_existing", "with --force: add to what is there"),
            ("-p", "pretend", "show what would change, and change nothing"),
        ):
            command.parser.add_option(
                short, f"--{name.replace('_', '-')}", dest=name, action="store_true", help=does
            )
        command.parser.add_option(
            "-m", "--model", dest="model", help="a run, an exported tagger, or a pretrained one"
        )

        def run(lib: Any, options: optparse.Values, words: Sequence[str]) -> None:
            self.config.set_args(vars(options))
            self.tag(lib.items(words), write=ui.should_write())

        command.func = run
        return [command]

    def imported(self, _: Any, task: Any) -> None:
        """Tag what is being imported; beets writes the files in a later stage."""
        self.tag(task.imported_items(), write=False)

    def tag(self, items: Iterable[Any], *, write: bool) -> None:
        """Hear items and set their fields; what cannot be heard is named and left as it is."""
        force = self.config["force"].get(bool)
        wanted = set(self.fields.values())
        of_path = {
            str(item.filepath): item
            for item in items
            if force or not all(values_of(item, field) for field in wanted)
        }
        for prediction in self.tagger.predict_files(
            list(of_path), on_error=lambda file, error: self._log.warning("{}", error)
        ):
            item = of_path[prediction.file]
            for field in wanted:
                self._set(
                    item, field, [name for name, _ in prediction.ranked(None, self.limits)], force=force
                )
            changed = ui.show_model_changes(item, fields=sorted(wanted))
            if changed and not self.config["pretend"].get(bool):
                item.try_sync(write=write, move=False)

    def _set(self, item: Any, field: str, labels: Sequence[str], *, force: bool) -> None:
        before = values_of(item, field)
        found = [name for name in labels if self.fields.get(name) == field][: self.config["count"].get(int)]
        if not found or (before and not force):
            return
        if self.config["keep_existing"].get(bool):
            known = {value.casefold() for value in before}
            found = [*before, *(name for name in found if name.casefold() not in known)]
        item[field] = found if field == "genres" else ", ".join(found)


def values_of(item: Any, field: str) -> list[str]:
    """Return what a field of an item holds."""
    value = item.get(field) or []
    return (
        [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else list(value)
    )
