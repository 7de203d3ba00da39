"""The listening queue: what a tagger and the crowd's tags disagree on, heard and decided one by one.

The folder's recordings are heard in the background, best known as soon as each is heard, and remembered by file and
weights, so that a second start hears only what is new. A question is a track and a label. Where the tags give the label
and the score lies below its threshold, or the other way round, the two disagree, by the distance of their logits; after
these come those that agree least, since a tagger learns wrong tags of its training part in part by heart.
"""

import hashlib
import io
import logging
import os
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from folksong import journal
from folksong.audio.decode import decode, is_long
from folksong.audio.log_mel import log_mel, read_preset
from folksong.audio.readers import read_own_tags
from folksong.curate.app import ConflictError, Session, View, page, sent_json
from folksong.errors import AudioError, FolksongError
from folksong.files import cache_folder, sha256_file, sha256_json
from folksong.labels.space import Label, LabelSpace
from folksong.metrics.decisions import logit
from folksong.prediction import LoadedTagger
from folksong.recordings import recordings_by_id
from folksong.runs import Run
from folksong.tags.decisions import Decision, decide, read_decisions
from folksong.tags.table import TagTable
from folksong.training.data import rows_of_tracks
from folksong.web import scratch_folder

logger = logging.getLogger(__name__)

ORDERS = {
    "disagree": "tags and tagger disagree most",
    "unsure": "the tagger is least sure",
    "missing": "heard, but not tagged",
    "wrong": "tagged, but not heard",
    "answered": "what was answered, the last first",
}
"""Which questions come first, and what that is called on the page."""
MOST_A_TRACK = 3
"""Questions of one track among the first ones, so that one strange recording does not fill the queue."""
MOST_ASKED = 30
STRIPS = 8
"""Labels whose scores over time are shown."""
PLAYED = {".mp3", ".ogg", ".oga", ".opus", ".flac", ".wav", ".m4a", ".mp4", ".webm", ".weba", ".aac"}
"""What browsers play; other recordings are sent as WAV."""
PICTURE_WIDTH, PICTURE_RATE = 1200, 16_000  # pixels, Hz

Scores = npt.NDArray[np.float32]


def space_of(model: str, labels: tuple[str, ...]) -> LabelSpace:
    """Return the label space of a model; of one without (a pretrained network) each label is a tag."""
    from folksong.export.folder import is_exported, read_folder

    if Path(model).is_dir():
        found = read_folder(model).labels if is_exported(model) else Run.open(model).labels
        if found.names == labels:
            return found
    return LabelSpace(tuple(Label(name, (name,)) for name in labels))


class Ears:
    """A tagger that hears a folder (track id -> file) in the background, and remembers what it heard."""

    def __init__(self, tagger: LoadedTagger, model: str, recordings: Mapping[str, Path]) -> None:
        self.tagger, self.recordings = tagger, dict(recordings)
        self.scores: dict[str, Scores] = {}
        self.silent: set[str] = set()
        self.failed: dict[str, str] = {}
        self.memory = cache_folder() / "listening" / f"{_identity(model, tagger)}.jsonl"
        self._stopped = threading.Event()
        self.thread = threading.Thread(target=self._hear, name="folksong-ears", daemon=True)

    def stop(self) -> None:
        """End the hearing after the recordings in work; else the process would end in the middle of them."""
        self._stopped.set()
        self.thread.join()

    def _hear(self) -> None:
        try:
            ids = {os.fspath(file): track for track, file in self.recordings.items()}
            waiting = self._recall(ids)

            def failed(file: str, error: FolksongError) -> None:
                self.failed[ids[file]] = str(error)

            asked = (file for file in waiting if not self._stopped.is_set())
            for found in self.tagger.predict_files(asked, on_error=failed):
                self._keep(ids[found.file], found.scores, found.silent)
                entry = {
                    "file": found.file,
                    "status": _status(found.file),
                    "scores": [round(float(score), 6) for score in found.scores],
                    "silent": found.silent,
                }
                try:
                    journal.append(self.memory, [entry])
                except FolksongError as error:  # it is only a memory
                    logger.debug("%s", error)
        except Exception:
            logger.exception("the recordings could not be heard to the end")

    def _recall(self, ids: Mapping[str, str]) -> list[str]:
        """Take what is known of files that did not change; return the others."""
        try:
            known = {entry["file"]: entry for entry in journal.read(self.memory)}
        except (FolksongError, KeyError):
            self.memory.unlink(missing_ok=True)
            known = {}
        waiting = []
        for file, track in ids.items():
            entry = known.get(file, {})
            scores = np.asarray(entry.get("scores", ()), np.float32)
            if scores.shape == (len(self.tagger.labels),) and entry.get("status") == _status(file):
                self._keep(track, scores, bool(entry.get("silent")))
            else:
                waiting.append(file)
        return waiting

    def _keep(self, track: str, scores: Scores, silent: bool) -> None:
        if silent:
            self.silent.add(track)
        self.scores[track] = scores  # last, since other threads go by it


def _status(file: str) -> list[int]:
    try:
        status = Path(file).stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def _identity(model: str, tagger: LoadedTagger) -> str:
    """Return a name for the weights and how they are used."""
    path = Path(model)
    files = [path, path / "model.safetensors", path / "checkpoints" / "best.ckpt"]
    weights = [sha256_file(file) for file in files if file.is_file()]
    how = [
        repr(tagger),
        list(tagger.labels),
        getattr(tagger, "hop_steps", None),
        str(getattr(tagger, "autocast", "")),
    ]
    return sha256_json([weights or model, how])[:32]


class Queue:
    """Questions, best first, and what was decided.

    Args:
        ears: what was heard.
        space: the labels, in the order of the scores.
        table: the crowd's tags; None knows none.
        decisions: the file; it is read if it is there.
        who: written beside each decision.
    """

    def __init__(
        self, ears: Ears, space: LabelSpace, table: TagTable | None, decisions: Path, who: str
    ) -> None:
        self.ears, self.space, self.table, self.path, self.who = ears, space, table, decisions, who
        self.limits = ears.tagger.limits
        self.decided: dict[tuple[str, str], str] = {}
        if decisions.exists():
            self.decided = {(one.track, one.label): one.decision for one in read_decisions(decisions)}
        self.row_of = {track: row for row, track in enumerate(ears.recordings)}
        self.carried = np.zeros((len(self.row_of), len(space)), bool)
        if table is not None:
            self.carried |= rows_of_tracks(space.encode(table), table, list(self.row_of)).toarray() > 0
        self.lock = threading.Lock()

    def questions(self, order: str, label: str = "", number: int = MOST_ASKED) -> list[dict[str, Any]]:
        """Return the first open questions in an order of `ORDERS`, of one label or of all."""
        if order not in ORDERS:
            raise FolksongError(f"no order is called {order!r}; there are {', '.join(ORDERS)}")
        if order == "answered":
            return self._answered(label, number)
        column = self.space.index(label) if label else None
        tracks = [track for track in list(self.ears.scores) if track not in self.ears.silent]
        if not tracks:
            return []
        scores = np.array([self.ears.scores[track] for track in tracks], np.float64)
        margins = logit(scores) - logit(self.limits)
        carried = self.carried[[self.row_of[track] for track in tracks]]
        worth = _worth(order, margins, carried)
        rows = {track: row for row, track in enumerate(tracks)}
        for track, name in list(self.decided):
            if track in rows and name in self.space.names:
                worth[rows[track], self.space.names.index(name)] = -np.inf
        if column is not None:
            worth[:, np.arange(len(self.space)) != column] = -np.inf
        found: list[dict[str, Any]] = []
        asked: dict[int, int] = {}
        for flat in _best(worth.ravel(), number * len(self.space)):
            row, place = divmod(int(flat), len(self.space))
            if worth[row, place] == -np.inf or len(found) == number:
                break
            if asked.setdefault(row, 0) < MOST_A_TRACK:
                asked[row] += 1
                found.append(self._question(tracks[row], place, scores[row, place], carried[row, place]))
        return found

    def _answered(self, label: str, number: int) -> list[dict[str, Any]]:
        found = []
        for (track, name), decision in reversed(list(self.decided.items())):
            if track in self.ears.scores and name in self.space.names and label in ("", name):
                place = self.space.names.index(name)
                carried = bool(self.carried[self.row_of[track], place])
                question = self._question(track, place, self.ears.scores[track][place], carried)
                found.append({**question, "decided": decision})
        return found[:number]

    def _question(self, track: str, place: int, score: float, carried: bool) -> dict[str, Any]:
        return {
            "track": track,
            "label": self.space.names[place],
            "score": round(float(score), 4),
            "threshold": round(float(self.limits[place]), 4),
            "tagged": bool(carried),
        }

    def decide(self, track: str, label: str, decision: str, was: str) -> None:
        """Keep a decision; it is on disk then. ``"open"`` takes one back.

        `was` is what was decided before, as the person saw it; empty for nothing.

        Raises:
            ConflictError: another window decided meanwhile.
            FolksongError: an unknown track or label, or the file cannot be written.
        """
        if track not in self.ears.recordings:
            raise FolksongError(f"no recording has the id {track!r}")
        tags = self.space.labels[self.space.index(label)].members
        made = Decision(track, label, tags, decision, self.who)  # type: ignore[arg-type]  # it is checked there
        with self.lock:
            now = self.decided.get((track, label), "")
            if now != was:
                raise ConflictError(f"another window has decided meanwhile: {now or 'open'}")
            decide(self.path, made)
            self.decided.pop((track, label), None)  # the last answered is the last in order
            if decision != "open":
                self.decided[track, label] = decision

    def track(self, track: str) -> dict[str, Any]:
        """Return what is known of a track: names, its tags with their source, its scores, what was decided.

        Raises:
            FolksongError: it is unknown, or was not heard yet.
        """
        file = self.ears.recordings.get(track)
        scores = self.ears.scores.get(track)
        if file is None or scores is None:
            raise FolksongError(f"no recording with the id {track!r} was heard")
        own = read_own_tags(file)
        best = np.argsort(-scores, kind="stable")[:STRIPS]
        return {
            "track": track,
            "artist": own["artist"] or "",
            "title": own["title"] or "",
            "tags": [[tag, round(weight, 3)] for tag, weight in (self.table.tags_of(track) if self.table else [])],
            "scores": [
                [self.space.names[place], round(float(scores[place]), 4), round(float(self.limits[place]), 4)]
                for place in best
            ],
            "decided": {label: what for (one, label), what in self.decided.items() if one == track},
        }  # fmt: skip

    def over_time(self, track: str, label: str) -> dict[str, Any]:
        """Return the scores of a track's windows: of a label, and of the best others."""
        file = self.ears.recordings.get(track)
        if file is None:
            raise FolksongError(f"no recording has the id {track!r}")
        found = self.ears.tagger.over_time(file)
        chosen = list(
            dict.fromkeys([*([self.space.index(label)] if label else []), *found.strongest(STRIPS)])
        )
        return {
            "starts": np.round(found.starts, 3).tolist(),
            "window": round(found.window_seconds, 3),
            "labels": [found.labels[place] for place in chosen],
            "scores": np.round(found.scores[:, chosen].T, 4).tolist(),
        }

    def progress(self) -> dict[str, Any]:
        """Return how many recordings were heard and decided on."""
        kinds = list(self.decided.values())
        return {
            "recordings": len(self.ears.recordings),
            "heard": len(self.ears.scores),
            "failed": dict(list(self.ears.failed.items())[:20]),
            "n_failed": len(self.ears.failed),
            **{kind: kinds.count(kind) for kind in ("yes", "no", "skip")},
        }


def _worth(
    order: str, margins: npt.NDArray[np.float64], carried: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    if order == "unsure":
        return -np.abs(margins)
    against = np.where(carried, -margins, margins)
    if order == "disagree":
        return against
    found: npt.NDArray[np.float64] = np.where(carried == (order == "wrong"), against, -np.inf)
    return found


def _best(worth: npt.NDArray[np.float64], number: int) -> npt.NDArray[np.int64]:
    """Return where the largest values stand, so many, best first."""
    some = np.arange(len(worth)) if number >= len(worth) else np.argpartition(-worth, number)[:number]
    return np.asarray(some[np.lexsort((some, -worth[some]))], np.int64)


def spectrogram(file: Path) -> bytes:
    """Return a recording's log-mel-spectrogram as PNG, low notes at the bottom, at most `PICTURE_WIDTH` wide.

    Raises:
        AudioError: it cannot be decoded, or is too long to be drawn at once.
    """
    from matplotlib.image import imsave

    if is_long(file):
        raise AudioError(f"{file.name}: too long for a picture")
    found = log_mel(decode(file, PICTURE_RATE), read_preset("urop2019"))
    a_column = -(-found.shape[1] // PICTURE_WIDTH)
    padded = np.pad(found, ((0, 0), (0, -found.shape[1] % a_column)), mode="edge")
    drawn = padded.reshape(len(found), -1, a_column).max(axis=2)
    stream = io.BytesIO()
    imsave(stream, drawn, origin="lower", cmap="magma", format="png")
    return stream.getvalue()


def decisions_path(session: Session) -> Path:
    """Return where decisions go: as asked, else beside the run."""
    if session.decisions is not None:
        return session.decisions
    run = Path(str(session.run))
    name = re.sub(r"\W+", "-", run.name or str(session.run)).strip("-")
    return (run.parent if run.is_dir() else Path()) / f"{name}.decisions.jsonl"


def view(session: Session) -> View:
    """Return the view; it needs a tagger and recordings."""
    needs = {"--run": session.run, "--audio": session.audio}
    missing = " and ".join(option for option, given in needs.items() if given is None)
    if missing or session.run is None or session.audio is None:
        return View("listen", "Listen", missing=missing)
    recordings = recordings_by_id(session.audio)
    if not recordings:
        raise FolksongError(f"{session.audio}: holds no recording")
    tagger = session.tagger
    assert tagger is not None
    ears = Ears(tagger, session.run, recordings)
    path = decisions_path(session)
    queue = Queue(ears, space_of(session.run, tuple(tagger.labels)), session.table, path, session.who)
    if session.table is not None and not any(session.table.row_of(track) is not None for track in recordings):
        example = next(iter(recordings))
        logger.warning(
            "%s: none of its tracks is among the recordings of %s (such as %r); do the track ids agree?",
            session.tags, session.audio, example,
        )  # fmt: skip
    ears.thread.start()
    return View("listen", "Listen", _routes(queue, session), close=ears.stop)


def _routes(queue: Queue, session: Session) -> list[Route]:
    converted = scratch_folder()

    def file_of(request: Request) -> Path:
        track = request.query_params.get("track", "")
        if track not in queue.ears.scores:  # a link to what is no recording is not served either
            raise FolksongError(f"no recording with the id {track!r} was heard")
        file = queue.ears.recordings[track]
        if not file.is_file():
            raise FolksongError(f"{file}: is no longer there")
        return file

    def show(request: Request) -> Response:
        return page(
            request, "listen.html", orders=ORDERS, labels=queue.space.names, path=queue.path,
            tags=session.tags, tagged=queue.table is not None,
        )  # fmt: skip

    def asked(request: Request) -> Response:
        given = request.query_params
        order = given.get("order", "disagree")
        return JSONResponse({
            "questions": queue.questions(order, given.get("label", "")), "progress": queue.progress(),
        })  # fmt: skip

    def track(request: Request) -> Response:
        return JSONResponse(queue.track(request.query_params.get("track", "")))

    def over_time(request: Request) -> Response:
        given = request.query_params
        return JSONResponse(queue.over_time(given.get("track", ""), given.get("label", "")))

    def picture(request: Request) -> Response:
        return Response(spectrogram(file_of(request)), media_type="image/png")

    def audio(request: Request) -> Response:
        file = file_of(request)
        if file.suffix.lower() not in PLAYED:
            file = _as_wav(file, Path(converted.name))
        return FileResponse(file)

    async def decided(request: Request) -> Response:
        sent = await sent_json(request)
        words = [str(sent.get(name, "")) for name in ("track", "label", "decision", "was")]
        await run_in_threadpool(queue.decide, *words)
        return JSONResponse({"progress": queue.progress()})

    routes: list[tuple[str, Callable[..., Any]]] = [
        ("/", show), ("/questions", asked), ("/track", track), ("/time", over_time), ("/picture", picture),
        ("/audio", audio),
    ]  # fmt: skip
    return [
        *(Route(path, function) for path, function in routes),
        Route("/decide", decided, methods=["POST"]),
    ]


def _as_wav(file: Path, folder: Path) -> Path:
    import soundfile

    made = folder / f"{hashlib.sha256(os.fsencode(file)).hexdigest()[:16]}.wav"
    if not made.exists():
        if is_long(file):
            raise AudioError(f"{file.name}: browsers do not play this kind, and it is too long to be changed")
        part = made.with_suffix(".part")
        soundfile.write(part, decode(file, 44_100), 44_100, format="WAV", subtype="PCM_16")
        part.replace(made)
    return made
