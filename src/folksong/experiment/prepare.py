"""What an experiment learns from: tags, split, settings, shards and label spaces, as its plan says; and its cells.

A cell is one training of the plan, named by a hash of all that goes into it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from folksong import labels
from folksong.embeddings.read_vectors import read_vectors
from folksong.embeddings.store import DESCRIPTION_NAME, EMBEDDINGS
from folksong.embeddings.words import WordVectors
from folksong.errors import FolksongError
from folksong.evaluation.groups import PLAIN_LOSS
from folksong.experiment.plan import Plan, Space
from folksong.files import locked, sha256_file, sha256_json
from folksong.labels.dictionary import read_legacy_space
from folksong.labels.space import LabelSpace
from folksong.models.front_ends import LOG_MEL
from folksong.shards.index import MANIFEST_NAME
from folksong.splits import Split, make_split
from folksong.tags.table import TagTable
from folksong.training.config import JOINT_LOSSES, Config, DataSettings, LossSettings

TAKES_VECTORS = ("semantic", *JOINT_LOSSES)
SPLIT_NAME = "plan.split.json"


@dataclass(frozen=True)
class Cell:
    """One training of a plan, by the names that it gives to label space and loss.

    `inputs` are all that decides the result, as JSON values.
    """

    space: str
    front_end: str
    loss: str
    seed: int
    inputs: Mapping[str, Any] = field(repr=False)

    @property
    def sha256(self) -> str:
        """Hash of the inputs: cells with the same one give the same run."""
        return sha256_json(self.inputs)

    @property
    def name(self) -> str:
        """The cell's folder: readable, and different where any input differs."""
        return f"{self.space}-{self.front_end}-{self.loss}-seed{self.seed}-{self.sha256[:8]}"

    @property
    def space_file(self) -> str:
        """Name of the file of its label space."""
        return space_file(self.space, str(self.inputs["labels"]))

    def folder(self, out: Path) -> Path:
        """Return where its run lies below the experiment's folder."""
        return out / "runs" / self.name


@dataclass(frozen=True)
class Prepared:
    """A plan ready to run, with a folder of shards for every front-end that it uses.

    `table` holds all tags; `spaces` are by name, built from the training part; `config` is common to all trainings.
    """

    plan: Plan
    table: TagTable
    split: Split
    config: Config
    spaces: Mapping[str, LabelSpace]
    cells: Sequence[Cell]


def prepare(plan: Plan, folder: Path, *, also: Iterable[str] = (), progress: bool = False) -> Prepared:
    """Read a plan's data, write the shards that are missing, build its label spaces, and write them for its cells.

    Shards are written into ``shards/FRONT-END`` in the experiment's folder. Label spaces that are named in `also` are
    built though no grid uses them.

    Raises:
        FolksongError: tags, audio, settings or a builder's argument are wrong; the message names the plan's key.
    """
    from folksong.tags.sources.delimited import read_artists
    from folksong.tags.sources.read_tags import read_tags

    data = plan.data
    if data.tags is None:
        raise FolksongError("data.tags: the plan names no tags; name them there")
    with locked(folder / "locks" / "data"):
        config = _read_config(plan)
        table = read_tags(plan.place(data.tags), min_weight=data.min_weight)
        if data.split is not None:
            split = Split.read(plan.place(data.split))
        else:
            artists = None if data.artists is None else read_artists(plan.place(data.artists))
            split = make_split(table, fractions=data.fractions, artists=artists)
        plan = _with_shards(plan, table, config.data, folder, progress)
        spaces = build_spaces(plan, table.select_tracks(split.training), split.sha256(), also=also)
        cells = make_cells(plan, spaces, config, table_sha256=table.sha256(), split_sha256=split.sha256())
        split.write(folder / SPLIT_NAME)
        for name, space in spaces.items():
            space.write(folder / "spaces" / space_file(name, space.sha256()))
    return Prepared(plan, table, split, config, spaces, cells)


def _read_config(plan: Plan) -> Config:
    if plan.data.settings is not None:
        return Config.read(plan.place(plan.data.settings))
    return Config.from_dict(plan.settings, "settings")


def _with_shards(plan: Plan, table: TagTable, settings: DataSettings, out: Path, progress: bool) -> Plan:
    """Return the plan with shards for all its front-ends; write those that it does not name, as the settings say."""
    from folksong.audio.catalogue import read_tracks
    from folksong.prediction.embed_audio import embed_audio
    from folksong.shards.writer import write_shards

    used = dict.fromkeys(front_end for grid in plan.grid for front_end in grid.front_ends)
    missing = [front_end for front_end in used if front_end not in plan.data.shards]
    if not missing:
        return plan
    if plan.data.audio is None:
        raise FolksongError(
            f"data.shards: none for {' and '.join(missing)}; name them there, or the recordings as data.audio"
        )
    tracks = read_tracks(plan.place(plan.data.audio))
    shards = dict(plan.data.shards)
    for front_end in missing:
        folder = out.absolute() / "shards" / front_end
        if front_end == EMBEDDINGS:
            embed_audio(tracks, folder, plan.data.extractor, progress=progress)
        else:
            mels = settings.n_mels if front_end == LOG_MEL else None
            rate = settings.sample_rate or 16000
            write_shards(
                tracks,
                folder,
                table,
                audio_format=front_end,
                sample_rate=rate,
                n_mels=mels,
                progress=progress,
            )
        shards[front_end] = str(folder)
    return plan.model_copy(update={"data": plan.data.model_copy(update={"shards": shards})})


def build_spaces(
    plan: Plan, table: TagTable, split_sha256: str, *, also: Iterable[str] = ()
) -> dict[str, LabelSpace]:
    """Build all label spaces that the plan's grids use, those they start from, and those named in `also`.

    They learn from a `table` of the training part; `split_sha256` is kept in their provenance, so that `train` knows
    that no test track took part.

    Raises:
        FolksongError: a builder's argument is unknown or out of range; the message names the space.
    """
    built: dict[str, LabelSpace] = {}
    vectors = cache(lambda name: read_vectors(plan.vectors(name)))
    provenance = {"split_sha256": split_sha256}

    def build(name: str) -> LabelSpace:
        if name not in built:
            space = plan.spaces[name]
            start = None if space.of is None else build(space.of)
            chosen_on = start if space.choice_of is None else build(space.choice_of)
            try:
                if space.builder == "genres" and start is not None and chosen_on is not None:
                    built[name] = _keep_genres(plan, space, start, chosen_on, table, provenance)
                else:
                    built[name] = _build(plan, space, start, table, vectors, provenance)
            except (FolksongError, TypeError) as error:
                raise FolksongError(f"spaces.{name}: {error}") from error
        return built[name]

    for name in [name for grid in plan.grid for name in grid.spaces] + list(also):
        build(name)
    return built


def _build(
    plan: Plan,
    space: Space,
    start: LabelSpace | None,
    table: TagTable,
    vectors: Callable[[str | None], WordVectors],
    provenance: dict[str, Any],
) -> LabelSpace:
    more, builder = space.arguments, space.builder
    if builder in ("file", "dictionary"):
        if space.path is None:
            what = "a space from a file" if builder == "file" else "a dictionary of clusters"
            raise FolksongError(f"{what} needs its path")
        path = plan.place(space.path)
        if builder == "file":
            return LabelSpace.read(path)
        removed = labels.SUBJECTIVE_TAGS if more.pop("filtered", False) else None
        return read_legacy_space(path, table, remove=removed, provenance=provenance, **more)
    if builder == "top":
        return labels.top(table, provenance=provenance, **more)
    if builder == "all_tags":
        return labels.all_tags(table, provenance=provenance, **more)
    if builder == "kmeans":
        return labels.kmeans(table, vectors(space.vectors), keep_with=start, provenance=provenance, **more)
    if builder == "hybrid":
        given = None if plan.data.vectors is None else vectors(space.vectors)
        return labels.hybrid(table, given, provenance=provenance, **more)
    if start is None:
        raise FolksongError(f"the builder {builder} starts from another space; name it with of = ...")
    if builder == "drop":
        return labels.drop(start, more.pop("tags", labels.SUBJECTIVE_TAGS), **more)
    if builder == "main_tags":
        return labels.main_tags(start, table)
    inside_genres = labels.npmi if builder == "npmi" else labels.skipgram
    return inside_genres(table, start, provenance=provenance, **more)


def _keep_genres(
    plan: Plan,
    space: Space,
    start: LabelSpace,
    chosen_on: LabelSpace,
    table: TagTable,
    provenance: dict[str, Any],
) -> LabelSpace:
    """Keep the genres of `start`: those of a file, or those proposed for `chosen_on`, whose labels it mirrors."""
    if len(start.labels) != len(chosen_on.labels):
        raise FolksongError(
            f"choice_of: {space.choice_of} has {len(chosen_on.labels)} labels, {space.of} has {len(start.labels)}"
        )
    if space.path is not None:
        choice = labels.read_genres(plan.place(space.path))
    else:
        choice = labels.propose_genres(chosen_on, table, **space.arguments).choice
    return labels.keep_genres(start, choice, table, provenance=provenance)


def make_cells(
    plan: Plan, spaces: Mapping[str, LabelSpace], config: Config, *, table_sha256: str, split_sha256: str
) -> list[Cell]:
    """Return the plan's cells in the order of its grids, each once.

    Raises:
        FolksongError: a loss's settings are wrong, or a folder of shards is not there.
    """
    manifests = {
        front_end: sha256_file(
            plan.place(folder) / (DESCRIPTION_NAME if front_end == EMBEDDINGS else MANIFEST_NAME)
        )
        for front_end, folder in plan.shards.items()
        if any(front_end in grid.front_ends for grid in plan.grid)
    }
    cells: dict[tuple[str, str, str, int], Cell] = {}
    for grid in plan.grid:
        for key in product(grid.spaces, grid.front_ends, grid.losses, grid.seeds):
            space, front_end, loss, seed = key
            options = loss_of(plan, loss)
            inputs = {
                "labels": spaces[space].sha256(),
                "front_end": front_end,
                "shards": manifests[front_end],
                "tags": table_sha256,
                "split": split_sha256,
                "loss": options.model_dump(mode="json"),
                "vectors": str(plan.vectors()) if options.chosen in TAKES_VECTORS else None,
                "settings": config.to_dict(),
                "training": plan.training.of(front_end, grid.epochs),
                "min_weight": plan.data.min_weight,
                "seed": seed,
            }
            cells.setdefault(key, Cell(space, front_end, loss, seed, inputs))
    return list(cells.values())


def loss_of(plan: Plan, name: str) -> LossSettings:
    """Return the settings of a loss that the plan names; ``bce`` is plain cross-entropy unless the plan says else."""
    content = plan.losses.get(name, {"kind": PLAIN_LOSS} if name == PLAIN_LOSS else {})
    return Config.from_dict({"loss": content}, f"losses.{name}").loss


def space_file(name: str, sha256: str) -> str:
    """Return the name of the file of a label space; spaces that differ have different files."""
    return f"{name}-{sha256[:8]}.labels.json"
