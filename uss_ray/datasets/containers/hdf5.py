"""Clips in the released HDF5 packs: `audio_name` (n,), `waveform` (n, samples) int16; read with ranged reads.

h5py is the optional dependency `uss-ray[hdf5]`, imported when a pack is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uss_ray.datasets.clip_audio import (
    BrokenContainer,
    ClipAudio,
    ClipPlace,
    Wanted,
    wants,
    without_suffix,
)
from uss_ray.datasets.containers.watched import (
    BrokenContentError,
    WatchedFile,
    open_watched,
    raise_fault,
)
from uss_ray.errors import ConfigError, DataError
from uss_ray.store.store import Store

HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf")
_NAMES = "audio_name"
_WAVEFORMS = "waveform"
_CLIPS_AT_ONCE = 16
_PACKED_SECONDS = 10
_PACKED_RATE = 32_000
_KNOWN_RATES = frozenset([8_000, 16_000, 22_050, 32_000, 44_100, 48_000])


@dataclass(frozen=True)
class Hdf5Reader:
    """Reads a range of the clips of one pack.

    Parameters
    ----------
    place : Store
    first, stop : int, optional
        Half-open range of clips; None reads to the end.
    """

    place: Store
    first: int = 0
    stop: int | None = None

    def places(self) -> Iterator[ClipPlace | BrokenContainer]:
        """List the clips from their names alone."""
        try:
            with _open_pack(self.place) as pack:
                for name in pack.names(self.first, self.stop):
                    yield ClipPlace(name, f"{self.place}#{name}")
        except BrokenContentError as error:
            yield BrokenContainer(str(self.place), str(error))

    def __call__(self, *, wanted: Wanted | None = None) -> Iterator[ClipAudio | BrokenContainer]:
        """Read the wanted clips, a few rows at a time."""
        try:
            with _open_pack(self.place) as pack:
                yield from self._clips(pack, wanted)
        except BrokenContentError as error:
            yield BrokenContainer(str(self.place), str(error))

    def _clips(self, pack: _Pack, wanted: Wanted | None) -> Iterator[ClipAudio]:
        names = pack.names(self.first, self.stop)
        rate = pack.sample_rate()
        for at in range(0, len(names), _CLIPS_AT_ONCE):
            chosen = [
                row
                for row, name in enumerate(names[at : at + _CLIPS_AT_ONCE], start=at)
                if wants(wanted, name)
            ]
            if not chosen:
                continue
            block = pack.waveforms(self.first + chosen[0], self.first + chosen[-1] + 1)
            for row in chosen:
                place = f"{self.place}#{names[row]}"
                yield ClipAudio(names[row], place, samples=block[row - chosen[0]].copy(), sample_rate=rate)


def count_clips(place: Store) -> int:
    """Count the clips of a pack; 0 where it is broken, for the reader to tell.

    Parameters
    ----------
    place : Store

    Raises
    ------
    ConfigError
        If h5py is not installed.
    DataError
        If the file is missing, has not the two data sets, tells a rate that is none, or the store fails.
    """
    try:
        with _open_pack(place) as pack:
            pack.sample_rate()
            return len(pack)
    except BrokenContentError:
        return 0


class _Pack:
    """An open pack; nothing leaves it before the file was asked whether it was read at all."""

    def __init__(self, pack: Any, file: WatchedFile, place: Store) -> None:
        self._pack = pack
        self._file = file
        self._place = place
        self._check_layout()

    def __len__(self) -> int:
        return len(self._pack[_NAMES])

    def names(self, first: int, stop: int | None) -> list[str]:
        """Return the names of a range of clips, without suffix."""
        stored = self._pack[_NAMES][first:stop]
        raise_fault(self._file, self._place)
        texts = (name.decode(errors="replace") if isinstance(name, bytes) else str(name) for name in stored)
        return [without_suffix(text) for text in texts]

    def waveforms(self, first: int, stop: int) -> NDArray[np.int16]:
        """Return (stop - first, samples)."""
        block: NDArray[np.int16] = self._pack[_WAVEFORMS][first:stop]
        raise_fault(self._file, self._place)
        return block

    def sample_rate(self) -> int:
        """Return the rate that the pack names, or the one that makes its rows ten seconds long."""
        if "sample_rate" in self._pack.attrs:
            return self._told_rate()
        rate = self._pack[_WAVEFORMS].shape[1] // _PACKED_SECONDS
        return rate if rate in _KNOWN_RATES else _PACKED_RATE

    def _told_rate(self) -> int:
        told = self._pack.attrs["sample_rate"]
        values = np.asarray(told).reshape(-1)
        # Some writers make a list of one of it, some a float.
        is_number = len(values) == 1 and values.dtype.kind in "iuf"
        if not is_number or values[0] < 1 or not float(values[0]).is_integer():
            raise DataError(
                f"{self._place} attribute sample_rate",
                expected="a whole number of Hz",
                found=repr(told.tolist() if isinstance(told, np.ndarray | np.generic) else told),
            )
        return int(values[0])

    def _check_layout(self) -> None:
        pack = self._pack
        if _NAMES not in pack or _WAVEFORMS not in pack:
            raise DataError(
                str(self._place),
                expected=f"data sets {_NAMES} and {_WAVEFORMS}",
                found=", ".join(pack) or "none",
            )
        clips, waveforms = len(pack[_NAMES]), pack[_WAVEFORMS]
        if waveforms.ndim != 2 or waveforms.dtype != np.int16 or len(waveforms) != clips:
            raise DataError(
                f"{self._place} {_WAVEFORMS}",
                expected=f"int16 of shape ({clips}, samples)",
                found=f"{waveforms.dtype} of shape {waveforms.shape}",
            )


@contextmanager
def _open_pack(place: Store) -> Iterator[_Pack]:
    h5py = _h5py()
    with (
        open_watched(place, content_faults=(OSError, RuntimeError, KeyError)) as file,
        h5py.File(file, "r") as pack,
    ):
        yield _Pack(pack, file, place)


def _h5py() -> ModuleType:
    try:
        return import_module("h5py")
    except ImportError as error:
        raise ConfigError(
            "HDF5 packs", expected="the package h5py (pip install uss-ray[hdf5])", found="none"
        ) from error
