"""Make log_mel_golden.npz, the values of test_features.py, with librosa (not a dependency of the tests).

Run with librosa installed: python tests/audio/log_mel_golden.py
Made with librosa 0.11.0, NumPy 2.4.6, SciPy 1.17.1.
"""

from pathlib import Path

import numpy as np

RATE = 16000


def chord_and_tone(seconds: float = 2.0) -> np.ndarray:
    """Return (n_samples,) int16: a falling chord in noise, a click, a pure tone alone, and digital silence."""
    time = np.arange(int(seconds * RATE)) / RATE
    noise = np.random.default_rng(7).standard_normal(len(time))
    chord = sum(
        np.sin(2 * np.pi * hz * time + hz) / k for k, hz in enumerate((110.0, 220.5, 443.0, 1200.0), 1)
    )
    signal = 0.2 * chord * np.exp(-3 * time) + 1e-3 * noise
    half = len(time) // 2
    signal[half:] = 0.6 * np.sin(2 * np.pi * 2500.3 * time[half:])
    signal[len(time) // 4] = 0.9
    signal[-len(time) // 8 :] = 0
    return np.round(signal * 32767).astype(np.int16)


def main() -> None:
    import librosa

    quantised = chord_and_tone()
    waveform = quantised.astype(np.float32) / np.float32(32768)
    values: dict[str, np.ndarray] = {"waveform": quantised}
    for pad_mode in ("constant", "reflect"):
        for name, n_fft, hop_length in (("urop2019", 2048, 512), ("pons2018", 512, 256)):
            mel = librosa.feature.melspectrogram(
                y=waveform, sr=RATE, n_fft=n_fft, hop_length=hop_length, n_mels=96, pad_mode=pad_mode
            )
            log = (
                librosa.power_to_db(mel, ref=1.0, top_db=80.0)
                if name == "urop2019"
                else np.log10(1 + 10000 * mel)
            )
            # One band in three and one frame in two keep the file small.
            values[f"{name}_{pad_mode}"] = log.astype(np.float32)[::3, ::2]
    for n_fft in (512, 2048):
        values[f"filters_{n_fft}"] = librosa.filters.mel(sr=RATE, n_fft=n_fft, n_mels=96)[:, ::8]
    np.savez_compressed(Path(__file__).with_name("log_mel_golden.npz"), **values)


if __name__ == "__main__":
    main()
