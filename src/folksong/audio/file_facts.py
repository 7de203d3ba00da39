"""Facts of recordings' files: format, length, silence, hashes, artist and title, or why a file cannot be decoded.

**Silence.** A frame of 20 ms is silent if its root mean square lies more than a threshold (dB) below that of the
recording's loudest frame, or below −90 dB of full scale, about the last bit of 16. Silence at both ends is trimmed;
what is silent in between counts as total and longest silence. (The earlier project measured the same with
``librosa.effects.split``.)

**Memory.** A finished scan leaves ``<catalogue>.files.csv``, a row a file; one that is under way keeps the rows of what
is measured in ``.<catalogue>.writing/``, beside the claims of the processes that are at it (`folksong.claims`): they
survive a kill. Both hold for one folder and one silence threshold. What kept a file from being read and may pass (no
permission, a disk that was away, too little memory or time) is no memory: the next scan tries again.
"""

import contextlib
import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from folksong.audio.decode import open_recording
from folksong.audio.readers import read_own_tags
from folksong.claims import Claims, Parts
from folksong.errors import PASSING, AudioError, FolksongError, may_pass
from folksong.files import atomic_write, describe_os_error, described, sha256_file
from folksong.stores import Store, brought, is_address, state_of, text_of

INT16_FULL_SCALE = np.float32(32767)
FRAME_SECONDS = 0.02
NOTHING_DB = -90.0  # of full scale
DEFAULT_THRESHOLD_DB = 60.0
LONGEST_NAME = 10_000  # characters of an artist, album or title that are kept; CSV readers end at 131,072
KIND = "folksong audio scan"
MEMORY_VERSION = 2  # raise it when the same file would give other facts


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One file of a tree, measured. What is unknown (because the file cannot be decoded) is None.

    Args:
        path: below the root, POSIX form.
        size: bytes.
        mtime_ns: time of the last change, nanoseconds.
        format: by content: `mp3`, `wav`, ...
        sample_rate: Hz.
        channels: number.
        seconds: length of what decodes.
        effective_seconds: length without silence at both ends.
        silence_seconds: silence between the ends.
        longest_silence_seconds: longest silence between the ends.
        loudest_db: loudest 20 ms, dB of full scale.
        file_sha256: of the bytes.
        audio_sha256: of the sample rate and the mono mean, rounded to 16 bits: the same for the same sound in other
            wrapping (tags, pictures, container).
        damage: what could not be read of a file that decodes in part.
        artist: as the file's own tags name it.
        album: likewise.
        title: likewise.
        problem: why nothing decodes; what may pass begins with `folksong.errors.PASSING`.
    """

    path: str
    size: int
    mtime_ns: int
    format: str | None = None
    sample_rate: int | None = None
    channels: int | None = None
    seconds: float | None = None
    effective_seconds: float | None = None
    silence_seconds: float | None = None
    longest_silence_seconds: float | None = None
    loudest_db: float | None = None
    file_sha256: str | None = None
    audio_sha256: str | None = None
    damage: str | None = None
    artist: str | None = None
    album: str | None = None
    title: str | None = None
    problem: str | None = None


def measure_file(path: str, root: str, silence_db: float = DEFAULT_THRESHOLD_DB) -> FileFacts:
    """Measure the file `path` below the folder (or address) `root`.

    A bad one raises nothing, `FileFacts.problem` says why it is.

    Raises:
        FolksongError: it is in an object store, which does not give it now.
    """
    place = file = text_of(Path(root, path))
    size = mtime_ns = 0
    try:
        size, mtime_ns = state_of(place)
        with brought(place) as file:
            return _decoded(file, FileFacts(path, size, mtime_ns), silence_db)
    except Exception as error:
        if is_address(place) and isinstance(error, FolksongError) and not isinstance(error, AudioError):
            raise
        problem = _problem(error, file).removeprefix(f"{Path(file)}: ")
        return FileFacts(path, size, mtime_ns, problem=f"{PASSING if may_pass(error) else ''}{problem}")


def _problem(error: Exception, file: str) -> str:
    """Return why a file is not decodable; a scan of a million must outlive one that a decoder has no words for."""
    if isinstance(error, AudioError):
        return str(error)
    if isinstance(error, OSError):
        return describe_os_error(error, file)
    if isinstance(error, MemoryError):
        return "needs more memory than there is; leave the file out"
    return f"cannot be decoded ({type(error).__name__}: {error}); leave the file out"


def _decoded(file: str, entry: FileFacts, silence_db: float) -> FileFacts:
    """Decode the file block by block, so that an hour of sound takes no more memory than a second."""
    with open_recording(file, None) as stream:
        meter = LevelMeter(stream.sample_rate)
        digest = hashlib.sha256(f"{stream.sample_rate}\n".encode())
        for block in stream.blocks:
            meter.add(block)
            digest.update(np.rint(np.clip(block, -1, 1) * INT16_FULL_SCALE).astype("<i2").tobytes())
    silence = meter.silence(silence_db)
    return FileFacts(
        path=entry.path,
        size=entry.size,
        mtime_ns=entry.mtime_ns,
        format=stream.format,
        sample_rate=stream.sample_rate,
        channels=stream.channels,
        seconds=round(meter.n_samples / stream.sample_rate, 3),
        effective_seconds=round(silence.effective_seconds, 3),
        silence_seconds=round(silence.total_seconds, 3),
        longest_silence_seconds=round(silence.longest_seconds, 3),
        loudest_db=round(silence.loudest_db, 1),
        file_sha256=sha256_file(file),
        audio_sha256=digest.hexdigest(),
        damage=stream.damage,
        **{field: name and name[:LONGEST_NAME] for field, name in read_own_tags(file).items()},
    )


@dataclass(frozen=True)
class Silence:
    """Silence figures as in `FileFacts`; without any sound, effective are 0 s and silent the whole length."""

    effective_seconds: float
    total_seconds: float
    longest_seconds: float
    loudest_db: float


class LevelMeter:
    """Takes a recording block by block and keeps the power of each frame."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.frame_samples = max(1, round(sample_rate * FRAME_SECONDS))
        self.n_samples = 0
        self._powers: list[npt.NDArray[np.float32]] = []
        self._rest = np.zeros(0, np.float32)

    def add(self, block: npt.NDArray[np.float32]) -> None:
        """Take the next samples, (n,) float32."""
        self.n_samples += len(block)
        samples = np.concatenate([self._rest, block]) if len(self._rest) else block
        n_frames = len(samples) // self.frame_samples
        frames = samples[: n_frames * self.frame_samples].reshape(n_frames, self.frame_samples)
        self._powers.append(np.einsum("ij,ij->i", frames, frames) / np.float32(self.frame_samples))
        self._rest = samples[n_frames * self.frame_samples :].copy()

    def levels_db(self) -> npt.NDArray[np.float64]:
        """Return (n_frames,) the root mean square of each frame in dB of full scale; the last may be a short one."""
        powers = list(self._powers)
        if len(self._rest):
            powers.append(np.array([np.mean(self._rest**2)], np.float32))
        power = np.concatenate(powers) if powers else np.zeros(0, np.float32)
        return 10 * np.log10(np.maximum(power.astype(np.float64), 1e-20))

    def silence(self, threshold_db: float = DEFAULT_THRESHOLD_DB) -> Silence:
        """Return the silence figures; a frame is silent that lies more than `threshold_db` below the loudest."""
        seconds = self.n_samples / self.sample_rate
        levels = self.levels_db()
        loudest = float(levels.max()) if len(levels) else -200.0
        sounding = np.flatnonzero(levels >= max(loudest - threshold_db, NOTHING_DB))
        if not len(sounding):
            return Silence(0.0, seconds, seconds, loudest)
        frame_seconds = self.frame_samples / self.sample_rate
        end = min((int(sounding[-1]) + 1) * frame_seconds, seconds)
        gaps = np.diff(sounding) - 1
        return Silence(
            effective_seconds=end - int(sounding[0]) * frame_seconds,
            total_seconds=float(gaps.sum()) * frame_seconds,
            longest_seconds=float(gaps.max(initial=0)) * frame_seconds,
            loudest_db=loudest,
        )


_FIELDS = tuple(entry.name for entry in fields(FileFacts))
_FACTS = TypeAdapter(FileFacts)


_State = tuple[str, int, int]


class KnownFiles:
    """Facts of files by path, size and time of change: what this scan, others beside it and earlier ones measured.

    `root` is the folder that all of them scan, from the root on, `catalogue` into which.
    """

    def __init__(self, catalogue: Path, root: str, silence_db: float) -> None:
        self.catalogue, self.root, self.silence_db = catalogue, root, silence_db
        self._list_path = catalogue.with_name(f"{catalogue.stem}.files.csv")
        self._store, self._folder = Store(catalogue.parent), f".{catalogue.name}.writing"
        self.claims = Claims(self._store, self._folder)
        self.parts = Parts(self._store, self._folder, ".csv", self._head)
        self._facts: dict[_State, FileFacts] = {}
        self._seen: set[str] = set()
        self._stamp: tuple[int, int] | None = None  # of the list that was read
        self._has_looked = False
        self.look()

    def look(self) -> None:
        """See what there is now; parts first, since whoever is done writes the list and then removes them."""
        for name in set(self.parts.names()) - self._seen:
            rows = self._rows(self.catalogue.parent / self._folder / name)
            if rows or rows is None:
                self.add(rows or ())
                self._seen.add(name)
            else:
                self.parts.delete([name])
        stamp = self._stamp_now()
        if stamp != self._stamp:
            again = () if self._has_looked else PASSING  # of this scan, once is enough for all processes
            listed = self._rows(self._list_path) or ()
            self.add(one for one in listed if not (one.problem or "").startswith(again))
            self._stamp = stamp
        self._has_looked = True

    def is_over(self) -> bool:
        """Say whether another process has finished a scan since this one looked."""
        return self._stamp_now() != self._stamp

    def _stamp_now(self) -> tuple[int, int] | None:
        with contextlib.suppress(OSError):
            return state_of(self._list_path)
        return None

    def has(self, entry: FileFacts) -> bool:
        """Say whether a file of this path, size and time of change is known."""
        return _state(entry) in self._facts

    def of(self, entries: Iterable[FileFacts]) -> list[FileFacts]:
        """Return the facts of those files that are known."""
        found = (self._facts.get(_state(entry)) for entry in entries)
        return [facts for facts in found if facts is not None]

    def add(self, measured: Iterable[FileFacts]) -> None:
        """Take the facts of files."""
        self._facts |= {_state(entry): entry for entry in measured}

    def content(self, measured: Mapping[str, FileFacts]) -> bytes:
        """Return a list of facts as it lies on disk."""
        stream = io.StringIO(newline="")
        stream.write(self._head)
        csv.writer(stream, lineterminator="\n").writerows(
            asdict(entry).values() for entry in measured.values()
        )
        return stream.getvalue().encode()

    def write(self, facts: Iterable[FileFacts]) -> None:
        """Write the facts of a finished scan, and remove what it was made of."""
        with atomic_write(self._list_path) as stream:
            stream.write(self.content({entry.path: entry for entry in facts}))
        self.parts.delete(self.parts.names())
        self.claims.remove_dead()

    @property
    def _head(self) -> str:
        settings = {KIND: MEMORY_VERSION, "root": self.root, "silence_db": self.silence_db}
        return f"# {json.dumps(settings)}\n{','.join(_FIELDS)}\n"

    def _rows(self, path: Path) -> list[FileFacts] | None:
        """Return what a file says, without rows that are spoiled; None of one that another scan wrote."""
        with described(path):
            try:
                text = path.read_bytes().decode("utf-8", "replace")
            except FileNotFoundError:  # none yet, or another process has had it
                return []
        if not text.startswith(self._head):
            return None if text.startswith(f'# {{"{KIND}": ') else []
        found = []
        for row in csv.DictReader(io.StringIO(text[len(self._head) :], newline=""), _FIELDS):
            with contextlib.suppress(ValidationError):
                facts = _FACTS.validate_python({name: cell or None for name, cell in row.items()})
                if None not in row.values() and (facts.problem or facts.audio_sha256):
                    found.append(facts)
        return found


def _state(entry: FileFacts) -> _State:
    return entry.path, entry.size, entry.mtime_ns
