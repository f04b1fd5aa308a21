"""The audio of weakly labelled clips, held in memory at the model's rate.

Meant for data sets that fit (audioset_mini is 0.9 GB); larger ones stream through the mining pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
import soxr

from uss_ray.datasets.segments import ClipRecord
from uss_ray.errors import DataError

_FULL_SCALE = 32767.0
_EXTENSIONS = (".wav", ".flac", ".ogg", ".mp3")


class ClipStore:
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
            raise DataError("clip store", expected=f"audio of {len(records)} clips", found=str(len(audio)))
        self.records = list(records)
        self.audio = audio
        self.sample_rate = sample_rate
        self.labels = np.zeros((len(records), classes), np.float32)
        for row, record in enumerate(self.records):
            self.labels[row, list(record.class_indexes)] = 1.0

    def __len__(self) -> int:
        return len(self.records)

    def waveform(self, clip: int | np.ndarray, *, start: int = 0, samples: int | None = None) -> np.ndarray:
        """Return float32 audio in [-1, 1] of a clip (samples,) or of several (clips, samples)."""
        stop = None if samples is None else start + samples
        return self.audio[clip, ..., start:stop].astype(np.float32) / np.float32(_FULL_SCALE)

    @classmethod
    def load(
        cls,
        records: Sequence[ClipRecord],
        folder: Path,
        *,
        classes: int,
        sample_rate: int = 32000,
        clip_seconds: float = 10.0,
        progress: Callable[[int], None] | None = None,
    ) -> ClipStore:
        """Decode clips `<folder>/<clip_id>.<ext>` (or `Y<clip_id>`), mixed down, resampled, cut or padded.

        Raises
        ------
        DataError
            If a clip's file is missing or cannot be decoded.
        """
        samples = round(clip_seconds * sample_rate)
        audio = np.zeros((len(records), samples), np.int16)

        def decode(row: int) -> None:
            path = _find(folder, records[row].clip_id)
            try:
                native, rate = soundfile.read(path, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                raise DataError(str(path), expected="a clip that can be decoded", found=str(error)) from error
            mono = soxr.resample(native.mean(axis=1), rate, sample_rate)[:samples]
            audio[row, : len(mono)] = np.clip(mono, -1, 1) * _FULL_SCALE
            if progress is not None:
                progress(1)

        with ThreadPoolExecutor(max_workers=4) as pool:
            list(pool.map(decode, range(len(records))))
        return cls(records, audio, sample_rate=sample_rate, classes=classes)


def _find(folder: Path, clip_id: str) -> Path:
    for stem in (clip_id, f"Y{clip_id}"):
        for extension in _EXTENSIONS:
            path = folder / f"{stem}{extension}"
            if path.exists():
                return path
    raise DataError(clip_id, expected=f"an audio file in {folder}", found="none")
