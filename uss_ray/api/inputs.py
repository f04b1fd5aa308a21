"""What a user hands over to be separated: a place, an open file or an array; and how arrays are given back."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import PurePath
from typing import Any, BinaryIO, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from uss_ray.audio.codec import AudioSpec
from uss_ray.errors import ConfigError, RecordingError
from uss_ray.records import Recording, recording_id
from uss_ray.separation.mixture import ArraySource, Source
from uss_ray.sources.reading import digested_recording, open_digested_recording
from uss_ray.sources.recordings import single_recording
from uss_ray.store.faults import wording
from uss_ray.store.store import Store, StoreOptions

Floats = NDArray[np.float32]

ARRAY_NAME = "waveform"
FILE_NAME = "recording"
_ARRAY_FORMAT = "ARRAY"
_FULL_SCALES = {"int16": 2.0**15, "int32": 2.0**31}
_SUBTYPES = {"int16": "PCM_16", "int32": "PCM_32"}
_OPEN_FILE = "a file that is open for reading bytes"
_ARRAY_SHAPE = "a waveform of shape (samples,) or (channels, samples), not empty"


class Reader(Source, Protocol):
    """A recording that is open for reading."""

    @property
    def name(self) -> str:
        """What errors call it."""
        ...

    @property
    def spec(self) -> AudioSpec:
        """Its encoding."""
        ...

    def tagged_spec(self) -> AudioSpec:
        """Give the same, with what its file says besides the sound."""
        ...


@dataclass(frozen=True)
class Opened:
    """A recording that is open.

    Parameters
    ----------
    recording : Recording
        With what it held just before it was opened, where there is a file whose content may change.
    reader : Reader
    sha256 : callable
        Gives the checksum of its file once it has been read; None of what is no file.
    """

    recording: Recording
    reader: Reader
    sha256: Callable[[], str | None]


class Input(Protocol):
    """One recording that can be opened."""

    @property
    def recording(self) -> Recording:
        """Its name, and what it held when it was last looked at."""
        ...

    def opened(self) -> AbstractContextManager[Opened]:
        """Open it; the sound is read as it is asked for."""
        ...

    def given_back(self, samples: Floats) -> Any:
        """Turn samples of shape (channels, frames) into an array of the kind that was handed over."""
        ...

    def read_out(self) -> Input:
        """Give the same, once it has been read, without what belongs to somebody else: results travel and last."""
        ...


@dataclass(frozen=True)
class StoredInput:
    """A recording in a store.

    Parameters
    ----------
    recording : Recording
    storage : StoreOptions
    strict : bool, default=False
        As in `codec.open_recording`.
    """

    recording: Recording
    storage: StoreOptions
    strict: bool = False

    @contextmanager
    def opened(self) -> Iterator[Opened]:
        """See `Input`."""
        place = Store(self.recording.recording_uri, self.storage)
        recording = replace(self.recording, content_tag=place.content_tag())
        with open_digested_recording(place, strict=self.strict) as (reader, file):
            yield Opened(recording, reader, file.sha256)

    def given_back(self, samples: Floats) -> Floats:
        """See `Input`."""
        return samples

    def read_out(self) -> StoredInput:
        """See `Input`."""
        return self


@dataclass(frozen=True)
class OpenFileInput:
    """A recording in a binary file that somebody else has opened, and closes.

    Parameters
    ----------
    recording : Recording
    file : binary file
        Read from its start; one that cannot seek is read into memory.
    strict : bool, default=False
        As in `codec.open_recording`.
    """

    recording: Recording
    file: BinaryIO
    strict: bool = False

    @contextmanager
    def opened(self) -> Iterator[Opened]:
        """See `Input`."""
        name = self.recording.recording_uri
        try:
            file = self.file if self.file.seekable() else io.BytesIO(self.file.read())
            file.seek(0)
        except (OSError, ValueError) as error:
            raise RecordingError(name, expected=_OPEN_FILE, found=wording(error)) from error
        with digested_recording(file, name=name, strict=self.strict) as (reader, digesting):
            yield Opened(self.recording, reader, digesting.sha256)

    def given_back(self, samples: Floats) -> Floats:
        """See `Input`."""
        return samples

    def read_out(self) -> OpenFileInput:
        """See `Input`."""
        return replace(self, file=io.BytesIO())


class ArrayReader(ArraySource):
    """A waveform in memory, read as a recording is.

    Parameters
    ----------
    waveform : ndarray of shape (channels, frames), dtype=float32
    name : str
        What errors call it.
    spec : AudioSpec
        Its rate; and the coding that its stems are to be no coarser than.
    """

    def __init__(self, waveform: Floats, *, name: str, spec: AudioSpec) -> None:
        super().__init__(waveform, sample_rate=spec.sample_rate, name=name)
        self.spec = spec

    def tagged_spec(self) -> AudioSpec:
        """See `Reader`; an array says nothing."""
        return self.spec


@dataclass(frozen=True)
class ArrayInput:
    """A waveform in memory.

    Parameters
    ----------
    recording : Recording
    waveform : ndarray of shape (channels, frames), dtype=float32
    spec : AudioSpec
    is_flat : bool
        Whether it came without an axis of channels.
    device : torch.device or None
        Where it was, if it came as a tensor.
    """

    recording: Recording
    waveform: Floats
    spec: AudioSpec
    is_flat: bool
    device: torch.device | None = None

    @contextmanager
    def opened(self) -> Iterator[Opened]:
        """See `Input`."""
        reader = ArrayReader(self.waveform, name=self.recording.recording_uri, spec=self.spec)
        yield Opened(self.recording, reader, lambda: None)

    def given_back(self, samples: Floats) -> Any:
        """See `Input`."""
        shaped = samples[0] if self.is_flat else samples
        return shaped if self.device is None else torch.from_numpy(shaped).to(self.device)

    def read_out(self) -> ArrayInput:
        """See `Input`."""
        return self


def input_of(
    given: Any,
    *,
    sample_rate: float | None = None,
    name: str | None = None,
    storage: StoreOptions | None = None,
    strict: bool = False,
) -> Input:
    """Take whatever holds a recording.

    Parameters
    ----------
    given : path, str, binary file, ndarray or Tensor
        A path or URI; a file open for reading; or a waveform of shape (samples,) or (channels, samples): float in
        [-1, 1], int16 or int32.
    sample_rate : float, optional
        Of a waveform in Hz, a whole number; a file states its own.
    name : str, optional
        What the recording is called; None: the name of the file, or `waveform`.
    storage : StoreOptions, optional
        How the store of a URI is reached.
    strict : bool, default=False
        As in `codec.open_recording`.

    Raises
    ------
    RecordingError
        If it is nothing of these, the location has no name, an array is no waveform, or a file is closed, open for text
        or for writing alone.
    ConfigError
        If the rate is missing or no rate, a file has one besides its own, or the name is no text.
    """
    _refuse_no_name(name)
    if isinstance(given, np.ndarray | torch.Tensor) or hasattr(given, "__array__"):
        return _array_input(given, sample_rate=sample_rate, name=name or ARRAY_NAME)
    is_place = isinstance(given, str | os.PathLike)
    if not is_place and not (hasattr(given, "read") and hasattr(given, "seekable")):
        raise RecordingError(
            name or type(given).__name__,
            expected="a path, an open binary file, a numpy array (`numpy.asarray` turns a list of numbers) or a torch "
            "tensor",
            found=f"a {type(given).__name__}",
        )
    if sample_rate is not None:
        raise ConfigError(
            "sample_rate", expected="none for a file, which states its own", found=_told(sample_rate)
        )
    if is_place:
        recording = single_recording(os.fspath(given))
        if name is not None:
            recording = named(recording, name)
        return StoredInput(recording, storage or StoreOptions(), strict)
    called = getattr(given, "name", None)
    known = name or (PurePath(called).name if isinstance(called, str) else None) or FILE_NAME
    _refuse_unreadable(given, name=known)
    return OpenFileInput(_unstored(known), given, strict)


def is_several(given: Any) -> bool:
    """Tell a list of recordings from one recording."""
    return isinstance(given, list | tuple)


def whole_rate(given: Any) -> int:
    """Give a rate, which may be of numpy or torch, as a whole number; a text or a truth value is none.

    Raises
    ------
    ConfigError
        If it is missing, or no rate.
    """
    if given is None:
        raise ConfigError("sample_rate", expected="the rate of the waveform in Hz", found="none")
    rate = given.item() if hasattr(given, "item") and getattr(given, "ndim", None) == 0 else given
    if not _is_number(rate) or not math.isfinite(rate) or rate != int(rate) or rate < 1:
        raise ConfigError("sample_rate", expected="a whole number of Hz, at least 1", found=_told(rate))
    return int(rate)


def refuse_same_names(inputs: Iterable[Input]) -> None:
    """Refuse recordings of which one would lie in the place of another.

    Raises
    ------
    ConfigError
        If two have the same id.
    """
    named: dict[str, Input] = {}
    for given in inputs:
        earlier = named.setdefault(given.recording.recording_id, given)
        if earlier is not given:
            raise ConfigError(
                given.recording.recording_uri,
                expected="recordings of different names, for results lie below the name",
                found=f"the name of {earlier.recording.recording_uri}",
            )


def _array_input(given: Any, *, sample_rate: float | None, name: str) -> ArrayInput:
    rate = whole_rate(sample_rate)
    device = given.device if isinstance(given, torch.Tensor) else None
    array = _as_numpy(given)
    kind = array.dtype.name
    if array.ndim not in (1, 2) or array.size == 0:
        raise RecordingError(name, expected=_ARRAY_SHAPE, found=f"shape {array.shape}")
    if array.ndim == 2 and array.shape[0] > array.shape[1]:
        expected = f"{_ARRAY_SHAPE}; `.T` turns (samples, channels)"
        raise RecordingError(name, expected=expected, found=f"shape {array.shape}")
    if kind in _FULL_SCALES:
        waveform = (array / _FULL_SCALES[kind]).astype(np.float32)
    elif array.dtype.kind == "f":
        waveform = array.astype(np.float32)
    else:
        raise RecordingError(name, expected="samples of float, int16 or int32", found=kind)
    spec = AudioSpec(
        sample_rate=rate,
        channels=1 if array.ndim == 1 else len(array),
        frames=array.shape[-1],
        format=_ARRAY_FORMAT,
        subtype=_SUBTYPES.get(kind, "FLOAT"),
    )
    return ArrayInput(_unstored(name), np.atleast_2d(waveform), spec, array.ndim == 1, device)


def _refuse_unreadable(file: Any, *, name: str) -> None:
    """Refuse a file that is closed, open for text or for writing alone: decoders tell none of it from bad sound."""
    found = None
    try:
        if getattr(file, "closed", False):
            found = "a closed file"
        elif isinstance(file, io.TextIOBase) or isinstance(file.read(0), str):
            found = "one that is open for text: mode 'rb' reads bytes"
    except io.UnsupportedOperation:
        found = "one that is open for writing alone"
    except (OSError, ValueError) as error:
        raise RecordingError(name, expected=_OPEN_FILE, found=wording(error)) from error
    if found is not None:
        raise RecordingError(name, expected=_OPEN_FILE, found=found)


def _told(rate: Any) -> str:
    return f"{float(rate):g}" if _is_number(rate) else repr(rate)


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real)


def _as_numpy(given: Any) -> NDArray[Any]:
    if isinstance(given, torch.Tensor):
        tensor = given.detach().cpu()
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return np.asarray(given)


def named(recording: Recording, name: str) -> Recording:
    """Call a recording something else in its results.

    Raises
    ------
    RecordingError
        If that is no name.
    ConfigError
        If it is no text.
    """
    _refuse_no_name(name)
    try:
        return replace(recording, recording_id=recording_id(name))
    except ValueError as error:
        raise RecordingError(name or "recording", expected="a name", found="none") from error


def _refuse_no_name(name: Any) -> None:
    if name is not None and not isinstance(name, str):
        raise ConfigError("name", expected="a text", found=repr(name))


def _unstored(name: str) -> Recording:
    return named(Recording(recording_uri=name, recording_id=name), name)
