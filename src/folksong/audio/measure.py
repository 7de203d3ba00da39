"""What one file is: format, length, silence, hashes, or why it cannot be decoded. A pure function of the file."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from folksong.audio.decode import MAX_SECONDS, check_numbers
from folksong.audio.readers import open_source
from folksong.audio.silence import DEFAULT_THRESHOLD_DB, LevelMeter
from folksong.errors import AudioError
from folksong.files import describe_os_error, sha256_file

INT16_FULL_SCALE = np.float32(32767)


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
    problem: str | None = None


def measure_file(path: str, root: str, silence_db: float = DEFAULT_THRESHOLD_DB) -> FileFacts:
    """Measure one file; never raises for a bad one, `FileFacts.problem` says why.

    Args:
        path: below the root, POSIX form.
        root: folder.
        silence_db: threshold of silence, dB below the loudest frame.
    """
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
    source = open_source(file)
    meter = LevelMeter(source.rate)
    digest = hashlib.sha256(f"{source.rate}\n".encode())
    try:
        for block in source.blocks:
            if not len(block):
                continue
            check_numbers(file, block)
            meter.add(block)
            digest.update(np.rint(np.clip(block, -1, 1) * INT16_FULL_SCALE).astype("<i2").tobytes())
            if meter.n_samples > MAX_SECONDS * source.rate:
                raise AudioError(f"longer than {MAX_SECONDS / 3600:g} h; cut it into tracks")
    finally:
        source.blocks.close()
    damage = "; ".join(source.damage) or None
    if meter.n_samples == 0:
        raise AudioError(f"holds no sound: 0 samples{f' ({damage})' if damage else ''}")
    silence = meter.silence(silence_db)
    return FileFacts(
        path=path,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        format=source.name,
        sample_rate=source.rate,
        channels=source.channels,
        seconds=round(meter.n_samples / source.rate, 3),
        effective_seconds=round(silence.effective_seconds, 3),
        silence_seconds=round(silence.total_seconds, 3),
        longest_silence_seconds=round(silence.longest_seconds, 3),
        loudest_db=round(silence.loudest_db, 1),
        file_sha256=sha256_file(file),
        audio_sha256=digest.hexdigest(),
        damage=damage,
    )
