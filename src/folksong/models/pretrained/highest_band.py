"""Filters over a spectrogram of which only the highest band counts, computed in a fifth of the usual time.

musicnn (Pons & Serra 2019) slides its filters over frames and mel bands, and keeps, at each frame, the highest answer
over the bands. On a processor that is nearly all of its work. Both kinds of filters are given here as matrix products:

- **Filters over many bands and few frames.** By the convolution theorem the answers at all bands are the inverse
  Fourier transform, over bands, of a product of spectra. About the middle position that transform is an even part C(n)
  and an odd one S(n), so that the higher of the answers at n and at −n is C(n) + |S(n)|, and half of it need not be
  computed.
- **Filters over one band and many frames.** Neighbouring answers are one product with a matrix that holds the filter in
  one column a step, shifted: a tenth more to multiply, and no copy of the frames for each filter.

Answers equal those of the convolutions up to rounding in float32.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

FRAMES_AT_ONCE = 16  # of spectra: a block and its products stay in the second-level cache
STEPS_AT_ONCE = 16  # answers that one product gives, of all bands


@dataclass(frozen=True, eq=False)
class _Spectra:
    """Filters (n_filters) over bands, as their spectra, for answers about the middle position."""

    real: Tensor  # (bins, 2 · frames, n_filters)
    imaginary: Tensor  # without the first and the last bin, whose imaginary part is 0
    even: Tensor  # (positions, bins)
    odd: Tensor
    below: int  # positions below the middle one
    above: int

    def highest(self, taps: Tensor) -> Tensor:
        """(bins, frames, 2 · filter's frames) -> (frames, n_filters)."""
        n_frames = taps.shape[1]
        even = torch.mm(self.even, torch.bmm(taps, self.real).flatten(1))
        odd = torch.mm(self.odd, torch.bmm(taps[1:-1], self.imaginary).flatten(1))
        both = min(self.below, self.above)
        if self.below > both:
            even[-1] -= odd[-1]
        elif self.above > both:
            even[-1] += odd[-1]
        even[1 : both + 1] += odd[:both].abs_()
        return even.amax(0).view(n_frames, -1)


class ManyBandFilters:
    """Filters of one length over many bands.

    Args:
        kernels: (n_filters, frames, bands) each; all of the same number of frames, which is odd.
        n_bands: of the spectrogram.
    """

    def __init__(self, kernels: Sequence[Tensor], n_bands: int) -> None:
        self.n_bands, self.length = n_bands, kernels[0].shape[1]
        self.spectra = [self._spectra(kernel.double()) for kernel in kernels]
        transform = torch.fft.rfft(torch.eye(n_bands, dtype=torch.float64), dim=1)
        self.transform = torch.view_as_real(transform).permute(1, 0, 2).float().contiguous()

    def _spectra(self, kernel: Tensor) -> _Spectra:
        n_filters, length, height = kernel.shape
        n_bins = self.n_bands // 2 + 1
        below = (self.n_bands - height + 1) // 2
        above = self.n_bands - height - below
        bins = torch.arange(n_bins, dtype=torch.float64)
        turn = 2 * torch.pi / self.n_bands
        weights = torch.where((bins == 0) | (2 * bins == self.n_bands), 1.0, 2.0) / self.n_bands
        # conj: a convolution of networks is a correlation; the phase moves the middle position to 0
        spectrum = torch.fft.rfft(kernel, self.n_bands, dim=2).conj() * weights
        spectrum = spectrum * torch.exp(1j * turn * below * bins)
        real = torch.stack([spectrum.real, -spectrum.imag], 2).permute(3, 1, 2, 0)
        imaginary = torch.stack([spectrum.imag, spectrum.real], 2).permute(3, 1, 2, 0)
        angles = turn * torch.arange(max(below, above) + 1, dtype=torch.float64)[:, None] * bins
        return _Spectra(
            real.reshape(n_bins, 2 * length, n_filters).float().contiguous(),
            imaginary.reshape(n_bins, 2 * length, n_filters)[1:-1].float().contiguous(),
            torch.cos(angles).float(),
            -torch.sin(angles)[1:, 1:-1].float().contiguous(),
            below,
            above,
        )

    def __call__(self, pictures: Tensor) -> Tensor:
        """(batch, frames, n_bands) -> (batch, frames, all filters): each one's highest, zeros beyond the ends."""
        n_pictures, n_frames, _ = pictures.shape
        half = self.length // 2
        padded = functional.pad(pictures, (0, 0, half, half))
        spectra = torch.einsum("wtf,bfc->bwtc", padded, self.transform)
        taps = spectra.unfold(2, self.length, 1).transpose(3, 4)
        taps = taps.reshape(len(spectra), n_pictures * n_frames, 2 * self.length)
        blocks = torch.split(taps, FRAMES_AT_ONCE, dim=1)
        parts = [torch.cat([one.highest(block) for one in self.spectra], 1) for block in blocks]
        return torch.cat(parts).view(n_pictures, n_frames, -1)


class OneBandFilters:
    """Filters over one band and many frames.

    Args:
        kernels: (n_filters, frames) each; their numbers of frames are even, the first is the longest.
    """

    def __init__(self, kernels: Sequence[Tensor]) -> None:
        self.longest = kernels[0].shape[1]
        self.matrices = []
        for kernel in kernels:
            start = (self.longest - 1) // 2 - (kernel.shape[1] - 1) // 2
            self.matrices.append(
                (slice(start, start + STEPS_AT_ONCE + kernel.shape[1] - 1), _shifted(kernel))
            )

    def __call__(self, pictures: Tensor) -> Tensor:
        """(batch, frames, n_bands) -> (batch, frames, all filters): each one's highest, zeros beyond the ends."""
        n_pictures, n_frames, _ = pictures.shape
        n_steps = -(-n_frames // STEPS_AT_ONCE) * STEPS_AT_ONCE
        before = (self.longest - 1) // 2
        after = self.longest - 1 - before + n_steps - n_frames
        padded = functional.pad(pictures, (0, 0, before, after))
        rows = padded.unfold(1, STEPS_AT_ONCE + self.longest - 1, STEPS_AT_ONCE).flatten(0, 1).contiguous()
        parts = []
        for bands in rows:
            answers = [torch.mm(bands[:, taps], matrix).amax(0) for taps, matrix in self.matrices]
            parts.append(torch.cat([part.view(STEPS_AT_ONCE, -1) for part in answers], 1))
        return torch.cat(parts).view(n_pictures, n_steps, -1)[:, :n_frames]


def _shifted(kernel: Tensor) -> Tensor:
    """(n_filters, taps) -> (steps + taps − 1, steps · n_filters): a column a step and filter."""
    n_filters, n_taps = kernel.shape
    matrix = kernel.new_zeros(STEPS_AT_ONCE + n_taps - 1, STEPS_AT_ONCE, n_filters)
    for step in range(STEPS_AT_ONCE):
        matrix[step : step + n_taps, step] = kernel.T
    return matrix.flatten(1).contiguous()
