"""The settings of a training: one frozen object, validated when made, kept in the run's ``config.json``.

Its sections are ``model`` (sizes), ``data`` (labels and windows), ``loss``, ``optimizer``, ``schedule`` (how long, and
at which learning rate) and ``runtime`` (seed, precision, processes). A settings file is JSON with comments and trailing
commas (JSON5), in these sections or in those of the earlier project (`EARLIER`). Every key has a default; an unknown
one is an error that names the nearest known one.
"""

import json
import logging
import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from folksong.errors import FileFormatError, FolksongError, nearest
from folksong.files import atomic_write, read_text

logger = logging.getLogger(__name__)

CONFIG_NAME = "config.json"
JOINT_LOSSES = ("contrastive", "hinge", "ridge")

Count = Annotated[int, Field(ge=1)]
NonNegativeCount = Annotated[int, Field(ge=0)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
Precision = Annotated[Literal["auto", "32", "bf16", "16", "64"], BeforeValidator(str)]


class Section(BaseModel):
    """Settings that are validated when made and never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, strict=True)


class ModelSettings(Section):
    """Sizes of the network.

    Args:
        n_dense_units: of the hidden dense layer; of a head's too.
        n_filters: base number of filters of the log-mel front-end.
        head: ``joint`` places sounds and tags in one space (`folksong.models.heads`), on any front-end. Of embeddings
            also ``hidden``: several networks with one hidden layer, averaged.
        tag_side: of the joint space, what a tag is known by: its ``words``' vectors; co-occurrence, ``ppmi`` or
            ``skipgram``; ``both`` words and ppmi; ``random``, the control.
        n_joint_units: numbers of a place in the joint space.
        unfreeze: the network that is trained on: ``musicnn-mtt``, ``musicnn-msd``, ``vgg-mtt`` or ``vgg-msd``, instead
            of a new one, on log-mel-spectrograms of the preset ``musicnn``.
    """

    n_dense_units: Count = 500
    n_filters: Count = 16
    head: Literal["linear", "hidden", "joint"] = "linear"
    tag_side: Literal["both", "words", "ppmi", "skipgram", "random"] = "both"
    n_joint_units: Count = 128
    unfreeze: Literal["musicnn-mtt", "musicnn-msd", "vgg-mtt", "vgg-msd"] | None = None


class AugmentationSettings(Section):
    """How training windows are changed at random; nothing by default.

    Args:
        frequency_masks: SpecAugment: cover so many ranges of mel bands of each window.
        frequency_mask_bands: of so many bands at most.
        time_masks: SpecAugment: cover so many stretches of each window.
        time_mask_seconds: of so many seconds at most.
        gain_db: waveforms: make each window up to so many dB louder or softer, cut off at full scale.
    """

    frequency_masks: NonNegativeCount = 0
    frequency_mask_bands: Count = 16
    time_masks: NonNegativeCount = 0
    time_mask_seconds: Positive = 1.0
    gain_db: NonNegative = 0.0

    @property
    def any(self) -> bool:
        """Whether anything is changed."""
        return bool(self.frequency_masks or self.time_masks or self.gain_db)


class DataSettings(Section):
    """Labels, parts, and the windows that are learned from.

    Args:
        tags: tag table of any kind; None takes the records' own tags.
        database: which of the records' tag lists.
        min_weight: keep tags with a weight greater than this; None keeps all.
        decisions: what people who listened say of the tags, over them; a file of `folksong curate`.
        keep_unlabelled: use tracks without a label too, as negative examples of every label.
        top: the labels are so many of the most popular tags, if no label space is given; None takes all.
        with_: further tags.
        without: tags to leave out.
        merge: groups of tags that belong together.
        merge_as: ``one`` label a group, or ``together``: all outputs stay and are set together, as in the earlier
            project.
        remove: tags to take out of the labels, whatever these come from.
        fractions: of training, validation and test part, if no split is given.
        n_mels: what the records hold; None takes what their manifest says, another value must agree with it.
        n_tags: likewise, of records with one-hot tags.
        sample_rate: likewise, in Hz.
        window_seconds: length of a window.
        random_windows: training windows from anywhere in a track; else its middle.
        batch_size: windows a batch, of each process.
        shuffle: a new order each pass.
        augmentation: how training windows are changed.
    """

    tags: str | None = None
    database: NonNegativeCount = 0
    min_weight: float | None = None
    decisions: str | None = None
    keep_unlabelled: bool = False
    top: Count | None = 50
    with_: tuple[str, ...] | None = Field((), alias="with")
    without: tuple[str, ...] | None = ()
    merge: tuple[tuple[str, ...], ...] | None = ()
    merge_as: Literal["one", "together"] = "one"
    remove: tuple[str, ...] = ()
    fractions: tuple[Positive, NonNegative, NonNegative] = (80, 10, 10)
    n_mels: Count | None = None
    n_tags: Count | None = None
    sample_rate: Count | None = None
    window_seconds: Positive = 15
    random_windows: bool = True
    batch_size: Count = 16
    shuffle: bool = True
    augmentation: AugmentationSettings = AugmentationSettings()


class LossSettings(Section):
    """A loss and its numbers; `folksong.training.losses` has the formulas.

    Args:
        kind: None takes the semantic loss where there are vectors, else binary cross-entropy. ``contrastive`` (the
            head ``joint``'s own), ``hinge`` and ``ridge`` are of the joint space, and imply it.
        vectors: word vectors for the semantic loss, or for the joint space.
        gamma: semantic: weight of the distance in meaning; 0 is plain binary cross-entropy.
        weights: what the tags' weights (0 to 100) are for: ``ignore``; ``soft``: targets of weight / 100; ``sample``:
            the weight / 100 multiplies the loss of a label that is there.
        absent_weight: how much an absent label counts; below 1, absent means perhaps unknown.
        label_smoothing: ε: targets t (1 − ε) + ε / 2.
        positive_focus: asymmetric: γ₊.
        negative_focus: asymmetric: γ₋.
        margin: asymmetric: negatives below this probability add nothing.
    """

    kind: Literal["bce", "semantic", "asymmetric", "contrastive", "hinge", "ridge"] | None = None
    vectors: str | None = None
    gamma: NonNegative = 1.0
    weights: Literal["ignore", "soft", "sample"] = "ignore"
    absent_weight: Annotated[float, Field(ge=0, le=1)] = 1.0
    label_smoothing: Share = 0.0
    positive_focus: Annotated[float, Field(ge=0, le=100)] = 0.0
    negative_focus: Annotated[float, Field(ge=0, le=100)] = 4.0
    margin: Share = 0.05

    @property
    def chosen(self) -> str:
        """The kind, or what it is where none is given."""
        return self.kind or ("bce" if self.vectors is None else "semantic")

    @property
    def is_joint(self) -> bool:
        """Whether it is a loss of the joint space."""
        return self.kind in JOINT_LOSSES

    @model_validator(mode="after")
    def _vectors_belong_to_the_semantic_loss(self) -> "LossSettings":
        if self.vectors is not None and self.chosen != "semantic" and not self.is_joint:
            raise ValueError(f"the loss {self.kind} takes no word vectors; leave them out")
        return self


class OptimizerSettings(Section):
    """An optimizer of torch.optim by its name, its arguments, and what a step is made of.

    Args:
        name: of the class.
        learning_rate: initial learning rate.
        accumulate_batches: batches whose gradients make one step.
        clip_gradient_norm: scale gradients whose norm is larger; None leaves them.
    """

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    name: str = "Adam"
    learning_rate: Positive = 1e-3
    accumulate_batches: Count = 1
    clip_gradient_norm: Positive | None = None

    @model_validator(mode="after")
    def _known_to_torch(self) -> "OptimizerSettings":
        from folksong.training.optimizer import check_optimizer

        check_optimizer(self.name, self.arguments)
        return self

    @property
    def arguments(self) -> dict[str, Any]:
        """All others, which go to the optimizer."""
        return dict(self.model_extra or {})


class ScheduleSettings(Section):
    """How long a training is, and at which learning rate.

    Args:
        kind: how the learning rate moves; `folksong.training.schedule` has the formulas.
        warmup_steps: the learning rate rises from near 0 over so many steps.
        cosine_min_lr: where ``cosine`` ends.
        max_learning_rate: where ``cyclic`` turns round.
        cycle_steps: steps from one turn of ``cyclic`` to the next.
        epochs: when to end, if early stopping does not.
        steps_per_epoch: None takes a pass over the training part, or `folksong.training.batches.LEAST_STEPS` where
            that is more and `adapt_to_small` is set.
        adapt_to_small: give small collections epochs of enough steps, and batch norm the statistics of the training
            part before a validation while few batches were seen; False is the published way.
        multi_tag: macro PR-AUC of the validation part decides; else micro.
        early_stop_patience: stop after so many epochs without an improvement; None never does.
        early_stop_min_delta: what counts as one.
        reduce_lr_patience: ``plateau`` lowers the learning rate after so many epochs; None never does.
        reduce_lr_factor: by this factor; None never does.
        reduce_lr_min_delta: what counts as an improvement.
        reduce_lr_min_lr: not below this.
    """

    kind: Literal["plateau", "cosine", "one-cycle", "cyclic", "constant"] = "plateau"
    warmup_steps: NonNegativeCount = 0
    cosine_min_lr: NonNegative = 0.0
    max_learning_rate: Positive | None = None
    cycle_steps: Count = 2000
    epochs: Count = 100
    steps_per_epoch: Count | None = None
    adapt_to_small: bool = True
    multi_tag: bool = False
    early_stop_patience: NonNegativeCount | None = 20
    early_stop_min_delta: NonNegative = 0.0
    reduce_lr_patience: NonNegativeCount | None = 8
    reduce_lr_factor: Share | None = 0.5
    reduce_lr_min_delta: NonNegative = 0.0
    reduce_lr_min_lr: NonNegative = 1e-5

    @property
    def monitor(self) -> str:
        """The figure that decides."""
        return "macro_pr_auc" if self.multi_tag else "micro_pr_auc"


class RuntimeSettings(Section):
    """What a training runs on.

    Args:
        seed: of weights, order, windows, dropout and a split that is made.
        precision: numbers that the network computes with; ``auto`` takes bf16 where the hardware has it.
        workers: threads that make batches ahead.
        cuda: which GPUs, with a process for each; None takes the first if there is one; none found takes the CPU.
        processes: how many processes share the CPU.
        num_nodes: on how many machines this is called; see `folksong.training.distributed`.
        update_freq: steps between two entries of the training loss in TensorBoard and progress bar.
        save_every: steps between two checkpoints within an epoch; None saves every five minutes.
        log_dir: where runs go that are not told where.
    """

    seed: NonNegativeCount = 0
    precision: Precision = "auto"
    workers: NonNegativeCount = 1
    cuda: tuple[NonNegativeCount, ...] | None = None
    processes: Count | None = None
    num_nodes: Count = 1
    update_freq: Count = 10
    save_every: Count | None = None
    log_dir: str = "runs"


_EARLIER_FILE = json.loads(files("folksong.training").joinpath("earlier_settings.json").read_text("utf-8"))
EARLIER: Mapping[str, Mapping[str, str | None]] = _EARLIER_FILE["keys"]
"""Section and key of the earlier project's settings -> section and key here, or None: accepted without effect."""


class Config(Section):
    """All settings of a training."""

    model: ModelSettings = ModelSettings()
    data: DataSettings = Field(default_factory=lambda: DataSettings.model_validate({}))
    loss: LossSettings = LossSettings()
    optimizer: OptimizerSettings = OptimizerSettings.model_construct()
    schedule: ScheduleSettings = ScheduleSettings()
    runtime: RuntimeSettings = RuntimeSettings()

    @model_validator(mode="after")
    def _head_has_its_loss(self) -> "Config":
        if self.model.head == "joint" and self.model.unfreeze:
            raise ValueError(
                "a pretrained network is trained on with an output a label, not with the head joint"
            )
        if (self.model.head == "joint") != self.loss.is_joint:
            raise ValueError(
                f"the head {self.model.head} does not learn by the loss {self.loss.chosen}; those of the joint space "
                f"are {', '.join(JOINT_LOSSES)}"
            )
        return self

    @model_validator(mode="after")
    def _schedule_moves(self) -> "Config":
        schedule, rate = self.schedule, self.optimizer.learning_rate
        if schedule.kind == "cosine" and schedule.cosine_min_lr >= rate:
            raise ValueError(
                f"cosine_min_lr {schedule.cosine_min_lr:g} is not less than the learning rate {rate:g}"
            )
        if schedule.kind == "cyclic" and (schedule.max_learning_rate or 0) <= rate:
            raise ValueError(
                f"max_learning_rate must be more than the learning rate {rate:g}, to which it returns"
            )
        return self

    @classmethod
    def from_dict(cls, content: Any, source: str = "the settings") -> "Config":
        """Validate settings given as JSON values, in the sections above or those of the earlier project.

        Raises:
            FileFormatError: an unknown key or a value out of range; the message names `source`, key and remedy.
        """
        if not isinstance(content, Mapping):
            raise FileFormatError(
                f"{source}: must be an object with the sections {', '.join(cls.model_fields)}"
            )
        written: dict[str, str] = {}
        try:
            return cls.model_validate_json(json.dumps(_joint(_translate(content, written, source))))
        except ValidationError as error:
            problems = "; ".join(_explain(problem, written) for problem in error.errors())
            raise FileFormatError(f"{source}: {problems}") from error

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Config":
        """Read a JSON or JSON5 file, or the ``config.json`` of a folder.

        Raises:
            FolksongError: there is no such file.
            FileFormatError: it is not JSON, or the settings are wrong.
        """
        given = Path(path).expanduser()
        file = given / CONFIG_NAME if given.is_dir() else given
        return cls.from_dict(_parse(read_text(file), file), str(file))

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return self.model_dump(mode="json", by_alias=True)

    def with_changes(self, **changes: Any) -> "Config":
        """Return the settings with other values, each given by its key, whatever its section; None changes nothing.

        A section's name takes a mapping of its keys; ``loss``, ``schedule`` and ``optimizer`` also take the kind or
        name alone: ``with_changes(epochs=3, loss="semantic", augmentation={"gain_db": 6})``.

        Raises:
            FolksongError: an unknown key or a value out of range.
        """
        content = self.to_dict()
        sections = {**content, "augmentation": content["data"]["augmentation"]}
        section_of = {key: section for section in sections.values() for key in section if key not in sections}
        section_of["weight_decay"] = content["optimizer"]
        for key, value in changes.items():
            if isinstance(value, Section):
                value = value.model_dump(mode="json", by_alias=True)
            if value is None:
                continue
            if key in sections:
                whole = (
                    value if isinstance(value, Mapping) else {"name" if key == "optimizer" else "kind": value}
                )
                sections[key].update(whole)
            elif key in section_of:
                section_of[key][key] = os.fspath(value) if isinstance(value, os.PathLike) else value
            else:
                raise FolksongError(
                    f"a training has no setting {key!r}{nearest(key, [*section_of, *sections])}"
                )
        return self.from_dict(content, "the options")


def write_config_template(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a commented file with every key at its default, or ``config.json`` in a folder, and return its path."""
    given = Path(path)
    file = given / CONFIG_NAME if given.is_dir() or not given.suffix else given
    if file.exists() and not overwrite:
        raise FolksongError(f"{file}: is there already; choose another name, or replace it on purpose")
    with atomic_write(file, "w") as stream:
        stream.write(files("folksong.training").joinpath("config_template.json5").read_text(encoding="utf-8"))
    return file


def _parse(text: str, file: Path) -> Any:
    import json5

    try:
        return json5.loads(text, allow_duplicate_keys=False)
    except (ValueError, RecursionError) as error:
        hint = ""
        if not text.lstrip().startswith(("{", "[")):
            # The earlier project's published settings of Models 3 and 4 are such a file.
            lacking = "the brace that opens the settings is missing"
            try:
                content = json5.loads("{" + text, allow_duplicate_keys=False)
            except (ValueError, RecursionError):
                hint = f"; {lacking}: write {{ as its first line" if text.lstrip().startswith('"') else ""
            else:
                logger.warning("%s: %s, read as if it were there; write { as its first line", file, lacking)
                return content
        raise FileFormatError(f"{file}: not valid JSON ({' '.join(str(error).split())}){hint}") from error


def _translate(content: Mapping[str, Any], written: dict[str, str], source: str) -> dict[str, Any]:
    """Return settings in the sections of `Config`; note in `written` how the keys are called in the file."""
    sections: dict[str, Any] = {}
    for name, values in content.items():
        known = EARLIER.get(name)
        if known is None or not isinstance(values, Mapping):
            if name in EARLIER and name not in Config.model_fields:
                raise FileFormatError(
                    f"{source}: {name!r} must be an object with keys {', '.join(known or ())}"
                )
            _merge_into(sections, name, values)
            continue
        if name == "model-training" and isinstance(values.get("optimizer"), Mapping):
            values = {**values, "optimizer": {**values["optimizer"]}}
            for key in ("max_learning_rate", "iterations"):  # of cyclic settings, which may have them there
                values.setdefault(key, values["optimizer"].pop(key, None))
        for key, value in values.items():
            if key not in known:
                if name not in Config.model_fields:
                    hint = nearest(key, list(known)) or f"; known are {', '.join(known)}"
                    raise FileFormatError(f"{source}: unknown key {key!r} in {name!r}{hint}")
                _merge_into(sections, name, {key: value})
            elif (place := known[key]) is None:
                continue
            elif not (value is None and key in _EARLIER_FILE["default"]):
                section, field = place.split(".")
                written[section if field == "*" else place] = f"{name}.{key}"
                value = _EARLIER_FILE["off"].get(key) if value is None else value
                if key == "split" and isinstance(value, list | tuple) and len(value) == 2:
                    value = [*value, 0]  # training and validation
                _merge_into(sections, section, value if field == "*" else {field: value})
                if key == "max_learning_rate" and value is not None and "schedule" not in values:
                    _merge_into(sections, section, {"kind": "cyclic"})
                if key == "merge" and "merge_as" not in values:
                    _merge_into(sections, section, {"merge_as": "together"})
    return sections


def _joint(sections: dict[str, Any]) -> dict[str, Any]:
    """Return the sections with what head and loss of the joint space say of each other."""
    model, loss = sections.get("model", {}), sections.get("loss", {})
    if isinstance(model, Mapping) and isinstance(loss, Mapping):
        if loss.get("kind") in JOINT_LOSSES and model.get("head", "linear") == "linear":
            return {**sections, "model": {**model, "head": "joint"}}
        if model.get("head") == "joint" and loss.get("kind") is None:
            return {**sections, "loss": {**loss, "kind": JOINT_LOSSES[0]}}
    return sections


def _merge_into(sections: dict[str, Any], name: str, values: Any) -> None:
    known = sections.get(name)
    sections[name] = (
        {**known, **values} if isinstance(known, dict) and isinstance(values, Mapping) else values
    )


def _explain(error: Any, written: Mapping[str, str]) -> str:
    """Return one line for one of pydantic's errors: where, what, and the nearest known key."""
    where = [str(part) for part in error["loc"]]
    for length in (2, 1):
        if ".".join(where[:length]) in written:
            where[:length] = written[".".join(where[:length])].split(".")
            break
    if error["type"] == "extra_forbidden":
        known = _keys_at([str(part) for part in error["loc"][:-1]])
        hint = nearest(where[-1], known) or f"; known are {', '.join(known)}"
        place = f" in {'.'.join(where[:-1])!r}" if where[:-1] else ""
        return f"unknown key {where[-1]!r}{place}{hint}"
    message = error["msg"].removeprefix("Value error, ")
    if message.startswith("Input should be") and isinstance(error["input"], str | int | float | None):
        message += f", not {json.dumps(error['input'])[:60]}"
    return f"{'.'.join(where)}: {message}" if where else message


def _keys_at(path: list[str]) -> list[str]:
    section: type[BaseModel] = Config
    for part in path:
        for name, field in section.model_fields.items():
            if part in (name, field.alias) and isinstance(field.annotation, type):
                section = field.annotation
    keys = [field.alias or name for name, field in section.model_fields.items()]
    return keys if path else list(dict.fromkeys([*keys, *EARLIER]))
