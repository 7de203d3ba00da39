"""Facts of recordings' files: format, length, silence, hashes, artist and title, or why a file cannot be decoded.

**Silence.** A frame of 20 ms is silent if its root mean square lies more than a threshold (dB) below that of the
recording's loudest frame, or below −90 dB of full scale, about the last bit of 16. Silence at both ends is trimmed;
what is silent in between counts as total and longest silence. (The earlier project measured the same with
``librosa.effects.split``.)

**Memory.** A finished scan leaves ``<catalogue>.files.csv``, a row a file; one that is under way adds each measured
file to a journal (``.<catalogue>.journal``), which survives a kill. Both hold for one silence threshold.
"""

import contextlib
import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from folksong.audio.decode import open_recording
from folksong.audio.readers import read_own_tags
from folksong.errors import AudioError, FolksongError
from folksong.files import atomic_write, describe_os_error, sha256_file

INT16_FULL_SCALE = np.float32(32767)
FRAME_SECONDS = 0.02
NOTHING_DB = -90.0  # of full scale
DEFAULT_THRESHOLD_DB = 60.0
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
        problem: why nothing decodes.
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
    """Measure the file `path` below the folder `root`; never raises for a bad one, `FileFacts.problem` says why."""
    file = Path(root, path)
    size = mtime_ns = 0
    try:
        status = file.stat()
        size, mtime_ns = status.st_size, status.st_mtime_ns
        return _decoded(file, path, status, silence_db)
    except AudioError as error:
        problem = str(error)
    except OSError as error:
        problem = describe_os_error(error, file)
    except MemoryError:
        problem = "needs more memory than there is; leave the file out"
    except (
        Exception
    ) as error:  # a scan of a million files must outlive the one that a decoder has no words for
        problem = f"cannot be decoded ({type(error).__name__}: {error}); leave the file out"
    return FileFacts(path, size, mtime_ns, problem=problem.removeprefix(f"{file}: "))


def _decoded(file: Path, path: str, status: os.stat_result, silence_db: float) -> FileFacts:
    """Decode the file block by block, so that an hour of sound takes no more memory than a second."""
    with open_recording(file, None) as stream:
        meter = LevelMeter(stream.sample_rate)
        digest = hashlib.sha256(f"{stream.sample_rate}\n".encode())
        for block in stream.blocks:
            meter.add(block)
            digest.update(np.rint(np.clip(block, -1, 1) * INT16_FULL_SCALE).astype("<i2").tobytes())
    silence = meter.silence(silence_db)
    return FileFacts(
        path=path,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
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
        **read_own_tags(file),
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


@dataclass
class KnownFiles:
    """Facts by path; see `read`, then `journal` and `add`, and `write` at the end."""

    catalogue: Path
    silence_db: float
    _facts: dict[str, FileFacts] = field(default_factory=dict)
    _stream: IO[str] | None = None

    @classmethod
    def read(cls, catalogue: Path, silence_db: float) -> "KnownFiles":
        """Read what earlier scans into this catalogue left, finished or not."""
        known = cls(catalogue, silence_db)
        try:
            for path in (known._list_path, known._journal_path):
                for row in known._rows(path):
                    with contextlib.suppress(
                        ValidationError
                    ):  # a row that was cut short, or that someone has spoiled
                        facts = _FACTS.validate_python({name: cell or None for name, cell in row.items()})
                        if facts.problem or facts.audio_sha256:
                            known._facts[facts.path] = facts
        except OSError as error:
            raise FolksongError(describe_os_error(error, catalogue)) from error
        return known

    def has(self, entry: FileFacts) -> bool:
        """Say whether a file of this path, size and time of change is known."""
        known = self._facts.get(entry.path)
        return known is not None and (known.size, known.mtime_ns) == (entry.size, entry.mtime_ns)

    def of(self, paths: Iterable[str]) -> list[FileFacts]:
        """Return the facts of those paths that are known."""
        return [self._facts[path] for path in paths if path in self._facts]

    @contextlib.contextmanager
    def journal(self) -> Iterator[None]:
        """Keep what `add` is given on disk at once, as long as this lasts."""
        path = self._journal_path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            goes_on = path.exists() and path.read_bytes().startswith(self._head.encode())
            with path.open("a" if goes_on else "w", encoding="utf-8", newline="") as self._stream:
                self._stream.write("\n" if goes_on else self._head)  # ends a line that was cut short
                yield
        except OSError as error:
            raise FolksongError(describe_os_error(error, path)) from error
        finally:
            self._stream = None

    def add(self, measured: Iterable[FileFacts]) -> None:
        """Take the facts of files just measured."""
        facts = list(measured)
        self._facts |= {entry.path: entry for entry in facts}
        if self._stream is not None:
            _write_rows(self._stream, facts)
            self._stream.flush()

    def write(self, facts: Iterable[FileFacts]) -> None:
        """Write the facts of a finished scan, and end its journal."""
        with atomic_write(self._list_path, "w") as stream:
            stream.write(self._head)
            _write_rows(stream, facts)
        self._journal_path.unlink(missing_ok=True)

    @property
    def _head(self) -> str:
        settings = json.dumps({"folksong audio scan": MEMORY_VERSION, "silence_db": self.silence_db})
        return f"# {settings}\n{','.join(_FIELDS)}\n"

    @property
    def _list_path(self) -> Path:
        return self.catalogue.with_name(f"{self.catalogue.stem}.files.csv")

    @property
    def _journal_path(self) -> Path:
        return self.catalogue.with_name(f".{self.catalogue.name}.journal")

    def _rows(self, path: Path) -> list[dict[str, str]]:
        """Return the rows of a list or journal that this version wrote with these settings."""
        text = path.read_bytes().decode("utf-8", "replace") if path.exists() else ""
        if not text.startswith(self._head):
            return []
        text = text[len(self._head) : text.rindex("\n") + 1]
        return [
            row for row in csv.DictReader(io.StringIO(text, newline=""), _FIELDS) if None not in row.values()
        ]


def _write_rows(stream: IO[str], facts: Iterable[FileFacts]) -> None:
    csv.writer(stream, lineterminator="\n").writerows(asdict(entry).values() for entry in facts)
