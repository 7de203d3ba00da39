"""Settings of a training, as a JSON file of the earlier project's shape.

Four sections: ``model`` (sizes), ``model-training`` (how to learn), ``tags`` (what the labels are, if no label space is
given) and ``tfrecords`` (what the records hold, checked against them). Every key has a default. Comments and trailing
commas are allowed (JSON5); an unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from folksong.errors import FileFormatError, FolksongError, nearest
from folksong.files import atomic_write, describe_os_error

CONFIG_NAME = "config.json"

Count = Annotated[int, Field(ge=1)]
NonNegativeCount = Annotated[int, Field(ge=0)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Section(BaseModel):
    """Settings that are validated when made and never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, strict=True)


class ModelSettings(Section):
    """Sizes of the network."""

    n_dense_units: Count = 500
    n_filters: Count = 16


class OptimizerSettings(Section):
    """An optimizer of torch.optim by its name, and its arguments."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    name: str = "Adam"
    learning_rate: Positive = 1e-3

    @model_validator(mode="after")
    def _known_to_torch(self) -> OptimizerSettings:
        from folksong.training.optimizer import check_optimizer

        check_optimizer(self.name, self.arguments)
        return self

    @property
    def arguments(self) -> dict[str, Any]:
        """All that was given besides name and learning rate."""
        return dict(self.model_extra or {})


class AugmentationSettings(Section):
    """How training windows are changed at random; nothing by default."""

    frequency_masks: NonNegativeCount = 0
    frequency_mask_bands: Count = 16
    time_masks: NonNegativeCount = 0
    time_mask_seconds: Positive = 1.0
    gain_db: NonNegative = 0.0

    @property
    def any(self) -> bool:
        """Whether anything is changed."""
        return bool(self.frequency_masks or self.time_masks or self.gain_db)


class TrainingSettings(Section):
    """How to learn."""

    optimizer: OptimizerSettings = OptimizerSettings.model_construct()
    batch_size: Count = 16
    accumulate_batches: Count = 1
    clip_gradient_norm: Positive | None = None
    schedule: Literal["plateau", "cosine", "one-cycle", "constant"] = "plateau"
    warmup_steps: NonNegativeCount = 0
    cosine_min_lr: NonNegative = 0.0
    early_stop_patience: Count | None = 20
    early_stop_min_delta: NonNegative = 0.0
    reduce_lr_patience: Count | None = Field(8, alias="reduceLRoP_patience")
    reduce_lr_factor: Annotated[float, Field(gt=0, lt=1)] = Field(0.5, alias="reduceLRoP_factor")
    reduce_lr_min_delta: NonNegative = Field(0.0, alias="reduceLRoP_min_delta")
    reduce_lr_min_lr: NonNegative = Field(1e-5, alias="reduceLRoP_min_lr")
    log_dir: str = "runs"
    shuffle: bool = True
    split: tuple[NonNegative, NonNegative, NonNegative] = (80, 10, 10)
    window_length: Positive = 15
    window_random: bool = True
    augmentation: AugmentationSettings = AugmentationSettings()
    interleave_cycle_length: Count | None = None
    interleave_block_length: Count | None = None
    shuffle_buffer_size: Count | None = None

    @model_validator(mode="after")
    def _split_leaves_training_tracks(self) -> TrainingSettings:
        if self.split[0] <= 0:
            raise ValueError("split: the training part (the first number) must be more than 0")
        return self

    @model_validator(mode="after")
    def _cosine_falls(self) -> TrainingSettings:
        if self.schedule == "cosine" and self.cosine_min_lr >= self.optimizer.learning_rate:
            raise ValueError(
                f"cosine_min_lr {self.cosine_min_lr:g} is not less than the learning rate "
                f"{self.optimizer.learning_rate:g}"
            )
        return self


class TagSettings(Section):
    """Which tags become labels, if no label space is given."""

    top: Count | None = 50
    with_: tuple[str, ...] | None = Field((), alias="with")
    without: tuple[str, ...] | None = ()
    merge: tuple[tuple[str, ...], ...] | None = ()


class RecordSettings(Section):
    """What the records hold; None takes what their manifest says, another value must agree with it."""

    n_mels: Count | None = None
    n_tags: Count | None = None
    sample_rate: Count | None = None


class Config(Section):
    """All settings of a training."""

    model: ModelSettings = ModelSettings()
    training: TrainingSettings = Field(
        default_factory=lambda: TrainingSettings.model_validate({}), alias="model-training"
    )
    tags: TagSettings = Field(default_factory=lambda: TagSettings.model_validate({}))
    tfrecords: RecordSettings = RecordSettings()

    @classmethod
    def from_dict(cls, content: Any, source: str = "the settings") -> Config:
        """Validate settings given as JSON values.

        Raises:
            FileFormatError: an unknown key or a value out of range; the message names `source`, key and remedy.
        """
        if not isinstance(content, dict):
            raise FileFormatError(f"{source}: must be an object with the sections {', '.join(_keys(cls))}")
        try:
            return cls.model_validate_json(json.dumps(content))
        except ValidationError as error:
            raise FileFormatError(f"{source}: " + "; ".join(map(_explain, error.errors()))) from error

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Config:
        """Read a JSON or JSON5 file, or the ``config.json`` of a folder.

        Raises:
            FolksongError: there is no such file.
            FileFormatError: it is not JSON, or the settings are wrong.
        """
        import json5

        given = Path(path).expanduser()
        file = given / CONFIG_NAME if given.is_dir() else given
        try:
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise FolksongError(
                f"{describe_os_error(error, file)}; `folksong config init {file}` writes a template"
            ) from error
        except UnicodeDecodeError as error:
            raise FileFormatError(f"{file}: not UTF-8 text (byte {error.start})") from error
        try:
            content = json5.loads(text, allow_duplicate_keys=False)
        except (ValueError, RecursionError) as error:
            raise FileFormatError(f"{file}: not valid JSON ({' '.join(str(error).split())})") from error
        return cls.from_dict(content, str(file))

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values, under the names they have in a file."""
        return self.model_dump(mode="json", by_alias=True)

    def with_training(self, changes: Mapping[str, Any]) -> Config:
        """Return the settings with other values in ``model-training``; those in a section of it are merged.

        Raises:
            FileFormatError: an unknown key or a value out of range.
        """
        content = self.to_dict()
        section = content["model-training"]
        for key, value in changes.items():
            section[key] = {**section[key], **value} if isinstance(value, Mapping) else value
        return self.from_dict(content, "the options")


def write_config_template(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a commented file with every key at its default, and return its path.

    Args:
        path: a file, or a folder that is to hold ``config.json``.
        overwrite: replace a file that is there.

    Raises:
        FolksongError: the file is there already, or cannot be written.
    """
    given = Path(path)
    file = given / CONFIG_NAME if given.is_dir() or not given.suffix else given
    if file.exists() and not overwrite:
        raise FolksongError(f"{file}: is there already; choose another name, or --force to replace it")
    with atomic_write(file, "w") as stream:
        stream.write(files("folksong.training").joinpath("config_template.json5").read_text(encoding="utf-8"))
    return file


def _keys(section: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in section.model_fields.items()]


def _explain(error: Any) -> str:
    """Return one line for one of pydantic's errors: where, what, and the nearest known key."""
    where = [str(part) for part in error["loc"]]
    if error["type"] == "extra_forbidden":
        known = _keys(_section_at(where[:-1]))
        hint = nearest(where[-1], known) or f"; known are {', '.join(known)}"
        place = f" in {'.'.join(where[:-1])!r}" if where[:-1] else ""
        return f"unknown key {where[-1]!r}{place}{hint}"
    message = error["msg"].removeprefix("Value error, ")
    return f"{'.'.join(where)}: {message}" if where else message


def _section_at(path: list[str]) -> type[BaseModel]:
    section: type[BaseModel] = Config
    for part in path:
        for name, field in section.model_fields.items():
            if part in (name, field.alias) and isinstance(field.annotation, type):
                section = field.annotation
    return section
