"""The door for Python: weights are loaded once, arrays or recordings go in, and arrays, files or events come out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO, Final, Self, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

from uss_ray.api.inputs import Input, input_of, is_several, refuse_same_names
from uss_ray.api.publisher import write_page
from uss_ray.api.request import SeparationRequest, SoundRequest, request_with, sounds_with
from uss_ray.api.separator import (
    LoadedEngine,
    Progress,
    RecordingSeparator,
    SoundSeparator,
    check_place,
    load_engine,
)
from uss_ray.api.sounds import SeparatedRecording, SeparatedSound
from uss_ray.errors import ConfigError
from uss_ray.separation.settings import NetworkSettings
from uss_ray.store.store import Location
from uss_ray.weights import STARTER

File = str | os.PathLike[str] | BinaryIO
Array = NDArray[Any]
Floats = NDArray[np.float32]

_OF_THE_ENGINE: Final = frozenset(
    ("weights", "ontology", "class_list", "device", "networks", *NetworkSettings.model_fields)
)


class Separator:
    """Separates with weights that are loaded once.

    Parameters
    ----------
    weights : str or path, default="starter"
        Name, folder or URI.
    device : str, default="auto"
        `auto` takes a GPU where there is one; or `cpu`, `cuda`, `cuda:1`.
    **options
        As of `separate`: what holds for each call that says nothing else. A call that asks for something (`events`,
        `levels`, `classes`, `texts`, `example_folder`) asks for that alone.

    Raises
    ------
    UssRayError
        If weights, ontology, class list or device are missing, wrong or do not fit each other.

    Notes
    -----
    Calls may come from several threads at once, on a CPU as on a GPU; each gives the bits that it gives alone, but
    with the precisions `tfloat32` and `bfloat16`. A Separator that is pickled takes its weights to another process, and
    gives the same bits there. Processes that are forked from one that has loaded or separated with several threads
    are refused (`ConfigError`): spawn them, as `multiprocessing.get_context("spawn")` does.
    """

    def __init__(self, weights: Location = STARTER, *, device: str = "auto", **options: Any) -> None:
        self._sounds = sounds_with(weights=weights, device=device, **options)
        self._loaded = load_engine(self._sounds)

    @classmethod
    def from_pretrained(cls, weights: Location = STARTER, *, device: str = "auto", **options: Any) -> Self:
        """Make one, by the name that other libraries have for it."""
        return cls(weights, device=device, **options)

    @overload
    def __call__(
        self,
        recording: Tensor,
        sample_rate: float,
        *,
        name: str | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> SeparatedSound[Tensor]: ...
    @overload
    def __call__(
        self,
        recording: list[Tensor],
        sample_rate: float,
        *,
        name: None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> list[SeparatedSound[Tensor]]: ...
    @overload
    def __call__(
        self,
        recording: list[Array] | list[str] | list[os.PathLike[str]] | list[BinaryIO] | list[File],
        sample_rate: float | None = None,
        *,
        name: None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> list[SeparatedSound[Floats]]: ...
    @overload
    def __call__(
        self,
        recording: Array | File,
        sample_rate: float | None = None,
        *,
        name: str | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> SeparatedSound[Floats]: ...
    def __call__(
        self,
        recording: Any,
        sample_rate: float | None = None,
        *,
        name: str | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Any:
        """Separate in memory.

        Parameters
        ----------
        recording : ndarray, Tensor, path, str, binary file, or a list of one kind
            A waveform of shape (samples,) or (channels, samples), float in [-1, 1], int16 or int32; or a recording: a
            path, a URI or a file open for reading. A list gives a list.
        sample_rate : float, optional
            Of waveforms, in Hz.
        name : str, optional
            What the recording is called in the results; None: the name of the file.
        progress : callable, optional
            Called with (seconds done, seconds in all or None) after each segment of 2 s.
        **options
            As of `separate`, but for those of the weights and the device.

        Returns
        -------
        SeparatedSound
            Arrays of the kind that came in: tensors on their device for tensors, otherwise of numpy; float32, in the
            shape that came in; of a file always (channels, samples).
        """
        separator = SoundSeparator(self._asked(options), loaded=self._loaded)
        return _in_memory(recording, separator, sample_rate=sample_rate, name=name, progress=progress)

    def separate(
        self,
        recording: Any,
        *,
        output: Location,
        sample_rate: float | None = None,
        name: str | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Any:
        """Separate to files, in memory that does not grow with the recording: as the function `separate`.

        Parameters
        ----------
        recording, sample_rate, name, progress
            As of a call.
        output : path
            Folder or URI of the results.
        **options
            As of `separate`, but for those of the weights and the device.

        Returns
        -------
        SeparatedRecording
            Of a list, a list.
        """
        _refuse_for_the_engine(options)
        request = request_with(SeparationRequest.of(self._sounds, output=output), **options)
        return _to_files(
            recording,
            request,
            loaded=lambda: self._loaded,
            sample_rate=sample_rate,
            name=name,
            progress=progress,
        )

    def tag(
        self,
        recording: Array | Tensor | File,
        sample_rate: float | None = None,
        *,
        progress: Progress | None = None,
        **options: Any,
    ) -> pa.Table:
        """Tell what sounds when, without separating.

        Parameters
        ----------
        recording, sample_rate, progress
            As of a call; one recording.
        **options
            As of `separate`.

        Returns
        -------
        pyarrow.Table
            A line for each stretch in which a sound was detected (`threshold`), of `results.events.EVENTS_SCHEMA`;
            `.to_pandas()` where pandas is installed.
        """
        asked = self._asked({**options, "write": "index-only"})
        return _tagged(recording, SoundSeparator(asked, loaded=self._loaded), sample_rate, progress)

    def _asked(self, options: dict[str, Any]) -> SoundRequest:
        _refuse_for_the_engine(options)
        return sounds_with(self._sounds, **options)


@overload
def separate(
    recording: list[Any],
    request: SeparationRequest | None = None,
    *,
    output: Location,
    sample_rate: float | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> list[SeparatedRecording]: ...
@overload
def separate(
    recording: Tensor | Array | File,
    request: SeparationRequest | None = None,
    *,
    output: Location,
    sample_rate: float | None = None,
    name: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> SeparatedRecording: ...
@overload
def separate(
    recording: Tensor | Array | File,
    request: SeparationRequest,
    *,
    sample_rate: float | None = None,
    name: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> SeparatedRecording: ...
@overload
def separate(
    recording: Tensor,
    *,
    sample_rate: float,
    name: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> SeparatedSound[Tensor]: ...
@overload
def separate(
    recording: list[Tensor], *, sample_rate: float, progress: Progress | None = None, **options: Any
) -> list[SeparatedSound[Tensor]]: ...
@overload
def separate(
    recording: list[Array] | list[str] | list[os.PathLike[str]] | list[BinaryIO] | list[File],
    *,
    sample_rate: float | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> list[SeparatedSound[Floats]]: ...
@overload
def separate(
    recording: Array | File,
    *,
    sample_rate: float | None = None,
    name: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> SeparatedSound[Floats]: ...
def separate(
    recording: Any,
    request: SeparationRequest | None = None,
    *,
    output: Location | None = None,
    sample_rate: float | None = None,
    name: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Any:
    """Separate a recording: to files if `output` or `request` is given, otherwise in memory.

    The weights are loaded for this call; `Separator.from_pretrained` keeps them.

    Parameters
    ----------
    recording : path, str, binary file, ndarray, Tensor, or a list of one kind
        A path, a URI or a file open for reading; or a waveform of shape (samples,) or (channels, samples), float in
        [-1, 1], int16 or int32. A list gives a list.
    request : SeparationRequest, optional
        What to do with it. None: made of `options`.
    output : path, optional
        Folder or URI of the results. None, without a request: nothing is written, arrays come back.
    sample_rate : float, optional
        Of a waveform, in Hz.
    name : str, optional
        What the recording is called in the results; None: the name of the file.
    progress : callable, optional
        Called with (seconds done, seconds in all or None) after each segment of 2 s.
    **options
        Fields of the request, or of what is in it, by their names: of the query `events`, `levels`, `classes`,
        `texts`, `example_folder`, `exclude`, `union`, `allow_unknown`, and where nothing is asked for the events; of
        the settings `threshold`, `only_detected` and all others (docs/settings.md); of what is written `stem_format`,
        `residual`, `write`, `report`; `weights`, `device`, `overwrite`, `strict`, `storage` and so on. They are laid
        over `request`. One name may stand for a list of one: `classes="Speech"`, `levels=3`.

    Returns
    -------
    SeparatedSound or SeparatedRecording
        In memory, as of `Separator.__call__`; or index rows and where the results are. Of a list, a list.

    Raises
    ------
    UssRayError
        Of the kind that says what is wrong: recording, query, weights, output, settings or data.
    """
    if request is None and output is None:
        separator = SoundSeparator(sounds_with(**options))
        return _in_memory(recording, separator, sample_rate=sample_rate, name=name, progress=progress)
    if output is not None:
        options["output"] = output
    chosen = request_with(request, **options)
    return _to_files(
        recording,
        chosen,
        loaded=lambda: load_engine(chosen),
        sample_rate=sample_rate,
        name=name,
        progress=progress,
    )


def tag(
    recording: Array | Tensor | File,
    sample_rate: float | None = None,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> pa.Table:
    """Tell what sounds when, without separating; the weights are loaded for this call. See `Separator.tag`.

    Parameters
    ----------
    recording, sample_rate, progress
        As of `Separator.tag`.
    **options
        As of `separate`, with those of the weights and the device.

    Returns
    -------
    pyarrow.Table
        As of `Separator.tag`.
    """
    return _tagged(
        recording, SoundSeparator(sounds_with(**{**options, "write": "index-only"})), sample_rate, progress
    )


def _tagged(
    recording: Any, separator: SoundSeparator, sample_rate: float | None, progress: Progress | None
) -> pa.Table:
    given = [recording]  # one, where a list is several
    return _in_memory(given, separator, sample_rate=sample_rate, name=None, progress=progress)[0].events


def _in_memory(
    recording: Any,
    separator: SoundSeparator,
    *,
    sample_rate: float | None,
    name: str | None,
    progress: Progress | None,
) -> Any:
    inputs = _inputs(recording, separator.request, sample_rate=sample_rate, name=name)
    held = separator.hold(inputs, progress=progress)
    return held if is_several(recording) else held[0]


def _to_files(
    recording: Any,
    request: SeparationRequest,
    *,
    loaded: Callable[[], LoadedEngine],
    sample_rate: float | None,
    name: str | None,
    progress: Progress | None,
) -> Any:
    inputs = _inputs(recording, request, sample_rate=sample_rate, name=name)
    refuse_same_names(inputs)
    check_place([given.recording for given in inputs], request=request)
    separator = RecordingSeparator(request, loaded=loaded())
    separated = [separator.separate(given, progress=progress) for given in inputs]
    write_page(request.output_store, write=request.write)
    return separated if is_several(recording) else separated[0]


def _inputs(
    recording: Any, sounds: SoundRequest, *, sample_rate: float | None, name: str | None
) -> list[Input]:
    given = recording if is_several(recording) else [recording]
    return [
        input_of(one, sample_rate=sample_rate, name=name, storage=sounds.storage, strict=sounds.strict)
        for one in given
    ]


def _refuse_for_the_engine(options: Iterable[str]) -> None:
    for name in options:
        if name in _OF_THE_ENGINE:
            expected = "what a call can change: weights, networks and device are given to from_pretrained"
            raise ConfigError(f"option {name}", expected=expected, found="one of those")
