"""The sound of an item: files are decoded, cut, brought to one rate and added up while a list is read."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from uss_ray.audio.decoding import DecodingError
from uss_ray.audio.media_decoder import pyav, waveform_of
from uss_ray.audio.resample import BlockResampler
from uss_ray.errors import ConfigError, DataError, RecordingError
from uss_ray.evaluation.items import Item, ItemSource, Protocol
from uss_ray.sources.reading import open_stored_recording
from uss_ray.store.store import Store

Waveform = NDArray[np.float32]
_Key = tuple[object, ...]

_BLOCK_FRAMES = 1 << 18
_SHELF_BYTES = 256 << 20
# A mixture that comes with the data may be a frame or two of a codec longer than its stems.
_LENGTHS_APART = 0.05


@dataclass(frozen=True, eq=False)
class MixedItem:
    """An item as sound.

    Parameters
    ----------
    item : Item
    mixture : ndarray of shape (samples,), dtype=float32
    targets : dict of str to ndarray of shape (samples,), dtype=float32
        By label.
    sample_rate : int
        In Hz.
    """

    item: Item
    mixture: Waveform
    targets: dict[str, Waveform]
    sample_rate: int


class _Shelf:
    """Sounds by what they are; the latest are kept."""

    def __init__(self, keep_bytes: int) -> None:
        self._keep_bytes = keep_bytes
        self._kept: OrderedDict[_Key, tuple[Waveform, int]] = OrderedDict()

    def get(self, key: _Key, make: Callable[[], tuple[Waveform, int]]) -> tuple[Waveform, int]:
        found = self._kept.pop(key, None) or make()
        self._kept[key] = found
        while len(self._kept) > 1 and sum(w.nbytes for w, _ in self._kept.values()) > self._keep_bytes:
            self._kept.popitem(last=False)
        return found


class SoundShelf:
    """Files of a data set as mono sound, and pieces of them; the latest are kept.

    Parameters
    ----------
    data : Store
        Its root.
    keep_bytes : int, default=256 MiB
        How much is kept of files, and half as much of pieces.
    """

    def __init__(self, data: Store, *, keep_bytes: int = _SHELF_BYTES) -> None:
        self._data = data.raising(DataError)
        self._files, self._cuts = _Shelf(keep_bytes), _Shelf(keep_bytes // 2)

    def read(self, path: str, *, track: int = 0, channel: int | None = None) -> tuple[Waveform, int]:
        """Give a file as (samples,), one of its channels or their mean, and its rate.

        Raises
        ------
        DataError
            If it is missing, cut off or no audio.
        """
        return self._files.get((path, track, channel), lambda: self._decoded(path, track, channel))

    def _decoded(self, path: str, track: int, channel: int | None) -> tuple[Waveform, int]:
        place = self._data / path
        try:
            return _read_track(place, track) if path.endswith(".mp4") else _read(place, channel)
        except RecordingError as error:
            raise DataError(error.item, expected=error.expected, found=error.found) from error

    def _converted(self, source: ItemSource, rate: int, protocol: Protocol) -> Waveform:
        waveform, own_rate = self.read(source.path, track=source.track, channel=source.channel)
        if own_rate == rate:
            return waveform
        return self._files.get(
            (source.path, source.track, source.channel, rate, protocol),
            lambda: (_at_rate(waveform, own_rate, rate, protocol), rate),
        )[0]

    def piece(self, source: ItemSource, *, sample_rate: int, protocol: Protocol) -> tuple[Waveform, int]:
        """Give the sound of a source, without its gain, and its rate.

        Parameters
        ----------
        source : ItemSource
        sample_rate : int
            In Hz; 0: the file's own.
        protocol : {"published", "strict"}
            How rates are converted: as librosa does, or as this package.

        Raises
        ------
        DataError
            As of `read`, or if the file ends before the piece begins.
        """
        if not source.seconds:
            return self._piece(source, sample_rate, protocol)
        place = (source.start_seconds, source.seconds, source.fade_seconds, source.is_cut_first)
        return self._cuts.get(
            (source.path, source.track, source.channel, sample_rate, protocol, *place),
            lambda: self._piece(source, sample_rate, protocol),
        )

    def _piece(self, source: ItemSource, sample_rate: int, protocol: Protocol) -> tuple[Waveform, int]:
        waveform, own_rate = self.read(source.path, track=source.track, channel=source.channel)
        rate = sample_rate or own_rate
        if source.start_seconds * own_rate >= len(waveform):
            raise DataError(
                source.path,
                expected=f"sound at {source.start_seconds:g} s",
                found=f"{len(waveform) / own_rate:g} s",
            )
        if source.is_cut_first:
            start = round(source.start_seconds * own_rate)
            cut = waveform[start : start + round(source.seconds * own_rate)]
            converted = _at_rate(cut, own_rate, rate, protocol)
        elif protocol == "strict" and source.seconds:
            converted = _cut_at_rate(waveform, own_rate, rate, source)
        else:
            converted = self._converted(source, rate, protocol)[round(source.start_seconds * rate) :]
        if source.seconds:
            # A file that is too short is repeated, in both protocols.
            samples = round(source.seconds * rate)
            converted = np.resize(converted[:samples], samples)
        return _faded(converted, round(source.fade_seconds * rate)), rate


def mix(item: Item, sounds: SoundShelf) -> MixedItem:
    """Mix an item.

    Parameters
    ----------
    item : Item
    sounds : SoundShelf

    Raises
    ------
    DataError
        If a file is missing, broken, or of another length or rate than the others of a recording.
    """
    heard = [source for source in item.sources if source.role != "tag"]
    pieces = [sounds.piece(source, sample_rate=item.sample_rate, protocol=item.protocol) for source in heard]
    waveform, rate = pieces[0]
    samples = round(item.seconds * rate) if item.seconds else len(waveform)
    targets: dict[str, Waveform] = {}
    given: Waveform | None = None
    summed = np.zeros(samples, np.float32)
    for source, (piece, own_rate) in zip(heard, pieces, strict=True):
        if own_rate != rate:
            raise DataError(source.path, expected=f"{rate} Hz, as the rest", found=f"{own_rate} Hz")
        if not item.seconds and abs(len(piece) - samples) > _LENGTHS_APART * rate:
            raise DataError(
                source.path,
                expected=f"{samples / rate:g} s, as the rest",
                found=f"{len(piece) / rate:g} s",
            )
        placed = _placed(piece * np.float32(source.gain), round(source.position_seconds * rate), samples)
        if source.role == "mixture":
            given = placed
            continue
        summed += placed
        if source.role == "target":
            targets[source.label] = targets[source.label] + placed if source.label in targets else placed
    mixture = summed if given is None else given
    if item.protocol == "published":
        mixture = rounded(mixture)
        targets = {label: rounded(target) for label, target in targets.items()}
    return MixedItem(item, mixture, targets, rate)


def rounded(waveform: Waveform) -> Waveform:
    """Give what a 16-bit WAV of it holds: rounded, and clipped at full scale, as the released lists are."""
    file = io.BytesIO()
    soundfile.write(file, waveform, 8000, format="WAV", subtype="PCM_16")
    file.seek(0)
    return np.asarray(soundfile.read(file, dtype="float32")[0])


def _at_rate(waveform: Waveform, from_rate: int, to_rate: int, protocol: Protocol) -> Waveform:
    if from_rate == to_rate:
        return waveform
    if protocol == "strict":
        return BlockResampler(from_rate, to_rate).resample(waveform[None])[0]
    samples = -(-len(waveform) * to_rate // from_rate)
    converted = soxr.resample(waveform, from_rate, to_rate, quality="HQ").astype(np.float32)
    return np.pad(converted[:samples], (0, max(0, samples - len(converted))))


def _cut_at_rate(waveform: Waveform, from_rate: int, to_rate: int, source: ItemSource) -> Waveform:
    """Give what a cut of the whole file, converted, would be; only the cut and what the filter hears is converted."""
    resampler = BlockResampler(from_rate, to_rate)
    first = round(source.start_seconds * to_rate)
    count = min(round(source.seconds * to_rate), resampler.output_frames(len(waveform)) - first)
    grid, reach = resampler.grid_frames, resampler.context_frames
    before = first * from_rate // to_rate // grid * grid
    left = min(before, reach)
    kept = -(-(first + count) * from_rate // to_rate) - before
    block = waveform[before - left : before + kept + reach]
    right = max(0, len(block) - left - kept)
    converted = resampler.resample(block[None], left_context=left, right_context=right)[0]
    skipped = first - before * to_rate // from_rate
    return converted[skipped : skipped + count]


def _placed(piece: Waveform, start: int, samples: int) -> Waveform:
    placed = np.zeros(samples, np.float32)
    kept = piece[: max(0, samples - start)]
    placed[start : start + len(kept)] = kept
    return placed


def _faded(piece: Waveform, frames: int) -> Waveform:
    edge = min(frames, len(piece) // 2)
    if not edge:
        return piece
    ramp = ((np.arange(edge) + 0.5) / edge).astype(np.float32)
    faded = piece.copy()
    faded[:edge] *= ramp
    faded[-edge:] *= ramp[::-1]
    return faded


def _read(place: Store, channel: int | None) -> tuple[Waveform, int]:
    with open_stored_recording(place) as reader:
        if channel is not None and channel >= reader.channels:
            raise DataError(
                str(place), expected=f"{channel + 1} channels or more", found=str(reader.channels)
            )
        blocks = [
            block.mean(axis=0, dtype=np.float32) if channel is None else block[channel]
            for block in reader.blocks(_BLOCK_FRAMES)
        ]
        return np.concatenate(blocks) if blocks else np.zeros(0, np.float32), reader.sample_rate


def _read_track(place: Store, track: int) -> tuple[Waveform, int]:
    """Decode one sound track of an MP4 that has several, as stems are published in."""
    try:
        av = pyav()
    except DecodingError as error:
        raise ConfigError("stem.mp4", expected=str(error.expected), found=error.found) from error
    with place.open() as file:
        try:
            with av.open(file) as container:
                tracks = container.streams.audio
                if track >= len(tracks):
                    raise DataError(
                        str(place), expected=f"{track + 1} sound tracks or more", found=str(len(tracks))
                    )
                frames = [waveform_of(frame) for frame in container.decode(tracks[track])]
                rate = int(tracks[track].rate)
        except av.error.FFmpegError as error:
            raise DataError(str(place), expected="a stem file in MP4", found=str(error)) from error
    if not frames:
        raise DataError(str(place), expected=f"sound in its track {track}", found="an empty track")
    return np.concatenate(frames, axis=1).mean(axis=0, dtype=np.float32), rate
