"""The settings of a log-mel-spectrogram, and the named ones that come with folksong (`presets.json`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from importlib import resources
from typing import Any, Literal, get_args

from folksong.errors import FolksongError, nearest

PadMode = Literal["constant", "reflect"]
Scaling = Literal["decibel", "log10"]


@dataclass(frozen=True)
class FeaturePreset:
    """How a log-mel-spectrogram is made. Stored beside whatever was made with it.

    Args:
        name: where the settings come from; two presets are the same only if all fields are.
        sample_rate: Hz.
        n_fft: samples in a frame.
        hop_length: samples from frame to frame.
        n_mels: number of mel bands.
        pad_mode: what lies beyond the ends: ``constant`` (zeros) or ``reflect``.
        scaling: ``decibel``: 10 log10(max(amin, mel)), then at least the track's maximum − top_db; ``log10``:
            log10(1 + gain · mel).
        amin: least power (``decibel``).
        top_db: range below the track's maximum in dB, or None for no limit (``decibel``).
        gain: factor before the logarithm (``log10``).

    Raises:
        FolksongError: a value that makes no spectrogram.
    """

    name: str
    sample_rate: int
    n_fft: int
    hop_length: int
    n_mels: int
    pad_mode: PadMode = "constant"
    scaling: Scaling = "decibel"
    amin: float | None = 1e-10
    top_db: float | None = 80.0
    gain: float | None = None

    def __post_init__(self) -> None:
        for key in ("sample_rate", "n_fft", "hop_length", "n_mels"):
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise FolksongError(
                    f"feature preset {self.name!r}: {key} must be a whole number above 0, not {value!r}"
                )
        if self.n_fft % 2:
            raise FolksongError(f"feature preset {self.name!r}: n_fft must be even, not {self.n_fft}")
        for key, choices in (("pad_mode", get_args(PadMode)), ("scaling", get_args(Scaling))):
            if getattr(self, key) not in choices:
                raise FolksongError(
                    f"feature preset {self.name!r}: {key} must be {' or '.join(choices)}, not {getattr(self, key)!r}"
                )
        needed = "amin" if self.scaling == "decibel" else "gain"
        for key in ("amin", "top_db", "gain"):
            value = getattr(self, key)
            if (value is None and key == needed) or (value is not None and not 0 < value < float("inf")):
                raise FolksongError(
                    f"feature preset {self.name!r}: {key} must be a number above 0, not {value!r}"
                )

    @property
    def n_bins(self) -> int:
        """Frequencies of the spectrum: 1 + n_fft / 2."""
        return 1 + self.n_fft // 2

    def frames(self, seconds: float) -> int:
        """Return the number of frames of a window: ⌊seconds · rate / hop⌋."""
        return int(seconds * self.sample_rate / self.hop_length + 1e-9)

    def n_frames(self, n_samples: int) -> int:
        """Return the number of frames of a whole track of `n_samples`: 1 + ⌊n_samples / hop⌋."""
        return 1 + n_samples // self.hop_length

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> FeaturePreset:
        """Rebuild a preset from `to_dict`.

        Raises:
            FolksongError: a key is unknown or missing; the message names the nearest known one.
        """
        known = [field.name for field in fields(cls)]
        for key in settings:
            if key not in known:
                raise FolksongError(f"feature preset: unknown setting {key!r}{nearest(key, known)}")
        missing = [
            key for key in ("name", "sample_rate", "n_fft", "hop_length", "n_mels") if key not in settings
        ]
        if missing:
            raise FolksongError(f"feature preset: missing {', '.join(missing)}")
        return cls(**settings)


def window_steps(seconds: float, sample_rate: int, preset: FeaturePreset | None) -> int:
    """Return how many samples, or frames of a spectrogram, a window of `seconds` has.

    Args:
        seconds: its length.
        sample_rate: Hz, of waveforms.
        preset: how spectrograms are computed; None for waveforms.
    """
    return int(seconds * sample_rate + 1e-9) if preset is None else preset.frames(seconds)


@lru_cache(maxsize=1)
def preset_names() -> tuple[str, ...]:
    """Return the names of the presets that come with folksong."""
    return tuple(_preset_file())


def read_preset(name: str) -> FeaturePreset:
    """Return a preset by its name.

    >>> read_preset("urop2019").frames(15)
    468

    Raises:
        FolksongError: no such preset; the message lists those there are.
    """
    presets = _preset_file()
    if name not in presets:
        raise FolksongError(
            f"no feature preset {name!r}; there are {', '.join(presets)}{nearest(name, list(presets))}"
        )
    settings = {key: value for key, value in presets[name].items() if key != "about"}
    return FeaturePreset(name=name, **settings)


@lru_cache(maxsize=1)
def _preset_file() -> dict[str, dict[str, Any]]:
    content: dict[str, dict[str, Any]] = json.loads(
        resources.files("folksong.audio").joinpath("presets.json").read_text(encoding="utf-8")
    )
    return content
