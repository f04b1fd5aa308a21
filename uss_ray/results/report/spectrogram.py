"""Pictures of sound in bounded memory: a mel spectrogram of a stream, whatever its length.

Owns the running average over time and the mel axis; colours and files are made elsewhere.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

_WINDOW_SECONDS = 0.043
_FLOOR_POWER = 1e-12
_FLOOR_DB = -120.0
_BATCH_WINDOWS = 256
_HOPS_PER_WINDOW = 4
_MOST_COLUMNS = 600  # of a picture; even

Floats = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Spectrogram:
    """Mean power over time and mel bands.

    Parameters
    ----------
    power_db : ndarray of shape (bands, columns), dtype=float32
        Power in dB relative to a full-scale sine; band 0 is the lowest.
    top_hz : float
        Upper end of the highest band.
    """

    power_db: Floats
    top_hz: float

    @property
    def top_db(self) -> float:
        """What its brightest colour stands for: its loudest point. Silence has none, and is dark."""
        loudest = float(self.power_db.max())
        return loudest if loudest > _FLOOR_DB else 0.0


class TimePool:
    """Pool a stream of vectors into at most `max_columns` columns of equal duration.

    Whenever the columns are used up, neighbours are joined in pairs and every later column covers twice as
    much, so that a stream of unknown length ends with between half of `max_columns` and all of them.

    Parameters
    ----------
    size : int
        Length of each vector.
    max_columns : int
        Even.
    per_column : int, default=1
        How many vectors a column covers at the start.

    Attributes
    ----------
    count : int
        Vectors so far.
    """

    def __init__(self, size: int, *, max_columns: int, per_column: int = 1) -> None:
        self._sums = np.zeros((max_columns, size), np.float32)
        self._per_column = per_column
        self.count = 0

    def add(self, vectors: Floats) -> None:
        """Take the next vectors, shape (n, size)."""
        taken = 0
        while taken < len(vectors):
            column, filled = self._next_place()
            n = min(self._per_column - filled, len(vectors) - taken)
            self._sums[column] += vectors[taken : taken + n].sum(axis=0)
            self.count += n
            taken += n

    def add_zeros(self, n: int) -> None:
        """Take `n` vectors of zeros, in no time."""
        while n > 0:
            self._next_place()
            taken = min(n, len(self._sums) * self._per_column - self.count)
            self.count += taken
            n -= taken

    def means(self) -> Floats:
        """Average of each column, shape (columns, size)."""
        columns = -(-self.count // self._per_column)
        counts = np.full((columns, 1), self._per_column, np.float32)
        counts[-1:] -= columns * self._per_column - self.count
        means: Floats = self._sums[:columns] / counts
        return means

    def _next_place(self) -> tuple[int, int]:
        if self.count == len(self._sums) * self._per_column:
            half = len(self._sums) // 2
            self._sums[:half] = self._sums[0::2] + self._sums[1::2]
            self._sums[half:] = 0.0
            self._per_column *= 2
        return divmod(self.count, self._per_column)


class SpectrogramMeter:
    """Watch a stream of samples and keep a small spectrogram of it.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    frames : int or None, default=None
        Length of the stream in samples where it is known, which gives columns that fill the width.
    bands : int, default=80
        Mel bands from 0 Hz to half the sample rate.
    """

    def __init__(self, sample_rate: int, *, frames: int | None = None, bands: int = 80) -> None:
        self._window_samples = max(16, 2 ** round(np.log2(_WINDOW_SECONDS * sample_rate)))
        self._hop_samples = self._window_samples // _HOPS_PER_WINDOW
        if frames is not None and frames > _MOST_COLUMNS * self._window_samples:
            self._hop_samples = self._window_samples
        window = np.hanning(self._window_samples + 1)[:-1]
        self._window = (window / (0.5 * window.sum())).astype(np.float32)
        self._filters = _mel_filters(self._window_samples, sample_rate=sample_rate, bands=bands)
        self._top_hz = sample_rate / 2
        hops = 1 if frames is None else max(1, frames // self._hop_samples)
        self._pool = TimePool(bands, max_columns=_MOST_COLUMNS, per_column=-(-hops // _MOST_COLUMNS))
        self._tail = np.zeros((0, 0), np.float32)

    def add(self, samples: Floats) -> None:
        """Take the next samples, shape (channels, n); channels are averaged in power."""
        buffered = np.concatenate([self._tail, samples], axis=1) if self._tail.size else samples
        n_windows = max(0, (buffered.shape[1] - self._window_samples) // self._hop_samples + 1)
        for first in range(0, n_windows, _BATCH_WINDOWS):
            last = min(first + _BATCH_WINDOWS, n_windows)
            start, stop = first * self._hop_samples, (last - 1) * self._hop_samples + self._window_samples
            self._pool.add(self._band_power(buffered[:, start:stop]))
        self._tail = buffered[:, n_windows * self._hop_samples :].copy()

    def add_silence(self, n_samples: int, *, channels: int) -> None:
        """Take `n_samples` zeros without looking at each."""
        to_flush = min(n_samples, 2 * self._window_samples)
        self.add(np.zeros((channels, to_flush), np.float32))
        n_hops, rest = divmod(n_samples - to_flush, self._hop_samples)
        self._pool.add_zeros(n_hops)
        self.add(np.zeros((channels, rest), np.float32))

    def result(self) -> Spectrogram:
        """Give the spectrogram of all samples so far; what does not fill a window is left out if any is full."""
        if self._tail.size and not self._pool.count:
            missing = self._window_samples - self._tail.shape[1]
            self._pool.add(self._band_power(np.pad(self._tail, ((0, 0), (0, missing)))))
        power = np.maximum(self._pool.means().T, _FLOOR_POWER)
        return Spectrogram(power_db=(10.0 * np.log10(power)).astype(np.float32), top_hz=self._top_hz)

    def _band_power(self, samples: Floats) -> Floats:
        windows = np.lib.stride_tricks.sliding_window_view(samples, self._window_samples, axis=1)
        spectra = np.fft.rfft(windows[:, :: self._hop_samples] * self._window, axis=-1)
        power = np.mean(spectra.real**2 + spectra.imag**2, axis=0)
        bands: Floats = power @ self._filters
        return bands


def mel_positions(frequencies_hz: npt.ArrayLike, *, top_hz: float) -> npt.NDArray[np.float64]:
    """Place frequencies on the picture's axis.

    Parameters
    ----------
    frequencies_hz : array_like
        Frequencies in Hz.
    top_hz : float
        Upper end of the axis.

    Returns
    -------
    ndarray, dtype=float64
        0 at 0 Hz and 1 at `top_hz`, on the mel scale of O'Shaughnessy (2595·log10(1 + f/700)).

    Examples
    --------
    >>> mel_positions([0.0, 1000.0, 8000.0], top_hz=8000.0).round(2)
    array([0.  , 0.35, 1.  ])
    """
    scale = np.log10(1.0 + top_hz / 700.0)
    positions: npt.NDArray[np.float64] = np.log10(1.0 + np.asarray(frequencies_hz, float) / 700.0) / scale
    return positions


def _mel_filters(window_samples: int, *, sample_rate: int, bands: int) -> Floats:
    bins = np.fft.rfftfreq(window_samples, 1.0 / sample_rate)
    places = mel_positions(bins, top_hz=sample_rate / 2) * (bands + 1)
    centres = np.arange(1, bands + 1)
    # Low bands are narrower than a bin: a triangle at least one bin wide leaves none of them empty.
    widths = np.maximum(1.0, np.interp(centres, places[1:], np.diff(places)))
    filters = np.maximum(0.0, 1.0 - np.abs(places[:, None] - centres) / widths)
    normalised: Floats = (filters / filters.sum(axis=0)).astype(np.float32)
    return normalised
