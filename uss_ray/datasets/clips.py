"""The audio of weakly labelled clips, held in memory at the model's rate.

Meant for data sets that fit (audioset_mini is 0.9 GB); larger ones stream through the mining pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from uss_ray.audio.pcm import to_float, to_int16
from uss_ray.datasets.clip_audio import BrokenContainer
from uss_ray.datasets.clip_sources import open_clip_source
from uss_ray.datasets.decode import MODEL_RATE, DecodedClip, decode_clip
from uss_ray.datasets.labelled_clips import LabelledClip, join_clips
from uss_ray.datasets.segment_table import SegmentTable
from uss_ray.datasets.segments import ClipRecord
from uss_ray.errors import DataError, RecordingError
from uss_ray.parallel import map_stream
from uss_ray.store.faults import is_infrastructure
from uss_ray.store.store import Location, Store

_THREADS = 4


class LoadedClips:
    """Clips of one split with their weak labels.

    Parameters
    ----------
    records : sequence of ClipRecord
    audio : ndarray of shape (clips, samples), dtype=int16
    sample_rate : int
        In Hz.
    classes : int
        Size of the class list.
    """

    def __init__(
        self, records: Sequence[ClipRecord], audio: np.ndarray, *, sample_rate: int, classes: int
    ) -> None:
        if len(records) != len(audio):
            raise DataError("loaded clips", expected=f"audio of {len(records)} clips", found=str(len(audio)))
        self.records = list(records)
        self.audio = audio
        self.sample_rate = sample_rate
        self.labels = label_matrix(records, classes=classes)

    def __len__(self) -> int:
        return len(self.records)

    def waveform(self, clip: int | np.ndarray, *, start: int = 0, samples: int | None = None) -> np.ndarray:
        """Return float32 audio in [-1, 1] of a clip (samples,) or of several (clips, samples)."""
        stop = None if samples is None else start + samples
        return to_float(self.audio[clip, ..., start:stop])

    @classmethod
    def load(
        cls,
        records: Sequence[ClipRecord],
        location: Location | Store,
        *,
        classes: int,
        sample_rate: int = MODEL_RATE,
        clip_seconds: float = 10.0,
        progress: Callable[[int], None] | None = None,
    ) -> LoadedClips:
        """Decode every clip from any container, mixed down, resampled, cut or padded to one length.

        Parameters
        ----------
        records : sequence of ClipRecord
            Each clip and span once.
        location : Store, str or path
            What `open_clip_source` reads.
        classes : int
            Size of the class list.
        sample_rate : int, default=MODEL_RATE
            In Hz.
        clip_seconds : float, default=10.0
        progress : callable, optional
            Called with 1 for each clip.

        Raises
        ------
        DataError
            If a clip is missing, or none of its copies can be decoded.
        """
        source = open_clip_source(location)
        table = SegmentTable.from_records(records)
        audio = np.zeros((len(records), round(clip_seconds * sample_rate)), np.int16)
        rows = {_key(record): row for row, record in enumerate(records)}
        missing = set(rows)
        broken: list[BrokenContainer] = []
        faults: dict[tuple[str, float, float], RecordingError] = {}

        def decode(clip: LabelledClip) -> tuple[ClipRecord, DecodedClip | RecordingError]:
            try:
                return clip.record, decode_clip(clip, sample_rate=sample_rate, storage=source.place.options)
            except RecordingError as error:
                if is_infrastructure(error):
                    raise _as_data_error(error) from error
                return clip.record, error

        for reader in source.readers:
            clips = _whole(join_clips(reader, table=table), broken)
            for record, decoded in map_stream(decode, clips, threads=_THREADS):
                if isinstance(decoded, RecordingError):
                    faults.setdefault(_key(record), decoded)
                    continue
                waveform = decoded.waveform[: audio.shape[1]]
                audio[rows[_key(record)], : len(waveform)] = to_int16(waveform)
                missing.discard(_key(record))
                if progress is not None:
                    progress(1)
        unreadable = [fault for key, fault in faults.items() if key in missing]
        if unreadable:
            raise _as_data_error(unreadable[0]) from unreadable[0]
        if missing and broken:  # without them nothing is lost by a link in a circle, say
            raise DataError(broken[0].location, expected="clips that can be read", found=broken[0].reason)
        if missing:
            raise DataError(min(missing)[0], expected=f"a clip of that name in {location}", found="none")
        return cls(records, audio, sample_rate=sample_rate, classes=classes)


def label_matrix(records: Sequence[ClipRecord], *, classes: int) -> np.ndarray:
    """Give the weak labels of clips, 0 or 1, of shape (clips, classes)."""
    labels = np.zeros((len(records), classes), np.float32)
    for row, record in enumerate(records):
        labels[row, list(record.class_indexes)] = 1.0
    return labels


def _whole(
    items: Iterable[LabelledClip | BrokenContainer], broken: list[BrokenContainer]
) -> Iterator[LabelledClip]:
    """Give the clips, and put aside what cannot be read."""
    for item in items:
        if isinstance(item, BrokenContainer):
            broken.append(item)
        else:
            yield item


def _as_data_error(error: RecordingError) -> DataError:
    return DataError(error.item, expected=error.expected, found=error.found)


def _key(record: ClipRecord) -> tuple[str, float, float]:
    return record.clip_id, record.start_seconds, record.end_seconds
