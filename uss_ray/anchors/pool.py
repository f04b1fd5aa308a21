"""All anchors of a set that fits in memory, as arrays to be drawn from.

Labels of a clip often share a place, so that the audio of a place is held once: 128 kB for 2 s at 32 kHz.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from uss_ray.anchors.audio import decode_flac
from uss_ray.anchors.schema import AUDIO_COLUMN
from uss_ray.anchors.stream import AnchorShards
from uss_ray.audio.pcm import to_float
from uss_ray.errors import DataError

ConditionKind = Literal["soft", "latent"]
_KEY = ("class_index", "clip_id", "start_sample")
_Place = tuple[str, int]


@dataclass(frozen=True, eq=False)
class AnchorPool:
    """Anchors by class, clip and start, however they were shared out to shards.

    Parameters
    ----------
    class_indexes : ndarray of shape (anchors,), dtype=int64
    scores : ndarray of shape (anchors,), dtype=float32
    conditions : ndarray of shape (anchors, size), dtype=float32
        Query-net bottleneck of each anchor's audio.
    label_indexes : sequence of tuple of int
        Weak labels of each anchor's clip.
    places : ndarray of shape (anchors,), dtype=int64
        Row of `audio` of each anchor.
    audio : ndarray of shape (places, samples), dtype=int16
    sample_rate : int
        In Hz.
    """

    class_indexes: NDArray[np.int64]
    scores: NDArray[np.float32]
    conditions: NDArray[np.float32]
    label_indexes: Sequence[tuple[int, ...]]
    places: NDArray[np.int64]
    audio: NDArray[np.int16]
    sample_rate: int

    def __len__(self) -> int:
        return len(self.class_indexes)

    @classmethod
    def load(cls, shards: AnchorShards, *, conditions: ConditionKind = "soft") -> AnchorPool:
        """Read every anchor.

        Parameters
        ----------
        shards : AnchorShards
        conditions : {"soft", "latent"}, default="soft"
            Which bottlenecks; they must have been mined (`MiningSettings.conditions`).

        Raises
        ------
        DataError
            If there are no anchors, they have no such bottlenecks or not all one length and rate, or a shard is
            damaged.
        """
        item = str(shards.root)
        rows = sorted(
            _records(shards, (*_KEY, "score", "samples", "sample_rate", "label_indexes", conditions)),
            key=lambda row: tuple(row[name] for name in _KEY),
        )
        if not rows:
            raise DataError(item, expected="anchors", found="none")
        if any(row[conditions] is None for row in rows):
            raise DataError(
                item, expected=f"anchors that were mined with {conditions} conditions", found="some without"
            )
        sizes = sorted({(row["samples"], row["sample_rate"]) for row in rows})
        if len(sizes) > 1:
            raise DataError(
                item, expected="anchors of one length and rate", found=f"{sizes[0]} and {sizes[1]}"
            )
        known: dict[_Place, int] = {}
        places = [known.setdefault(_place(row), len(known)) for row in rows]
        audio = np.zeros((len(known), sizes[0][0]), np.int16)
        for record in _records(shards, (*_KEY, AUDIO_COLUMN)):
            place = known.pop(_place(record), None)
            if place is not None:
                audio[place] = decode_flac(record[AUDIO_COLUMN], item=f"{item} anchor of {record['clip_id']}")
        return cls(
            class_indexes=np.array([row["class_index"] for row in rows]),
            scores=np.array([row["score"] for row in rows], np.float32),
            conditions=np.array([row[conditions] for row in rows], np.float32),
            label_indexes=[tuple(row["label_indexes"]) for row in rows],
            places=np.array(places),
            audio=audio,
            sample_rate=sizes[0][1],
        )

    def waveform(self, rows: NDArray[np.int64], *, samples: int) -> NDArray[np.float32]:
        """Give the first samples of some anchors, of shape (rows, samples), in [-1, 1]."""
        return to_float(self.audio[self.places[rows], :samples])

    def labels(self, rows: NDArray[np.int64], *, classes: int) -> NDArray[np.bool_]:
        """Tell which classes the clips of some anchors are labelled with, (rows, classes)."""
        found = np.zeros((len(rows), classes), np.bool_)
        for row, number in enumerate(rows):
            found[row, list(self.label_indexes[number])] = True
        return found


def _records(shards: AnchorShards, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    for table in shards.columns(columns):
        for batch in table.to_batches(max_chunksize=64):
            yield from batch.to_pylist()


def _place(record: dict[str, Any]) -> _Place:
    return record["clip_id"], record["start_sample"]
