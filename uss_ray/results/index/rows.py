"""The rows of one recording: those of the few stems that were active, and between them those of all that never were.

An archive asks for hundreds of nodes. A row of a node that never was active differs from the next in name and
probability only: in a table it is a number, and it is made by itself when somebody looks at it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from uss_ray.results.blocks import StemRequest
from uss_ray.results.index.activity import known
from uss_ray.results.index.table import INDEX_SCHEMA, Certainty, IndexRow, to_table
from uss_ray.results.stem_plan import StemPlan

Floats = npt.NDArray[np.float32]


class RecordingRows(Sequence[IndexRow]):
    """What became of each stem that was asked of a recording, in that order, then of the residuals.

    Parameters
    ----------
    plan : StemPlan
        The stems.
    common : IndexRow
        What all rows have in common: an `index.blank_row`.
    probabilities : ndarray of shape (stems,), dtype=float32
        The highest of each stem; NaN where nothing was tagged.
    own : mapping of int to IndexRow
        By place and in that order, the rows of stems that were active or sound, and of all residuals or none.
    sure_below : float or None, default=None
        Probability below which a stem is surely absent, in [0, 1]; None: nothing is said of it.

    Raises
    ------
    DataError
        If a probability is not in [0, 1].
    """

    def __init__(
        self,
        plan: StemPlan,
        *,
        common: IndexRow,
        probabilities: Floats,
        own: Mapping[int, IndexRow],
        sure_below: float | None = None,
    ) -> None:
        self.plan = plan
        self.common = common
        self.probabilities = probabilities
        self.own = own
        self.sure_below = sure_below
        for place in np.flatnonzero((probabilities < 0.0) | (probabilities > 1.0)).tolist():
            self._absent(place)

    @functools.cached_property
    def counts(self) -> dict[str, int]:
        """How many stems have which status; residuals are not counted."""
        own = [place for place in self.own if place < len(self.plan)]
        counts = Counter(str(self.own[place].status) for place in own)
        unknown = int(self.plan.unknown.sum() - self.plan.unknown[own].sum())
        counts.update(absent=len(self.plan) - len(own) - unknown, unknown=unknown)
        return {status: count for status, count in counts.items() if count}

    @functools.cached_property
    def kinds_of_absence(self) -> npt.NDArray[np.intp]:
        """Of each stem, as if it had never been active: 0 absent and no more is told, 1 unknown, 2 doubtful, 3 sure."""
        kinds = np.zeros(len(self.plan), np.intp)
        if self.sure_below is not None:
            tagged = ~np.isnan(self.probabilities)
            kinds[tagged] = 2 + (self.probabilities[tagged] < np.float32(self.sure_below))
        kinds[self.plan.unknown] = 1
        return kinds

    def with_recording_sha256(self, sha256: str | None) -> RecordingRows:
        """Say what the checksum of the recording's file is, which is known once all of it has been read."""
        own = {place: dataclasses.replace(row, recording_sha256=sha256) for place, row in self.own.items()}
        common = dataclasses.replace(self.common, recording_sha256=sha256)
        return RecordingRows(
            self.plan,
            common=common,
            probabilities=self.probabilities,
            own=own,
            sure_below=self.sure_below,
        )

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {status}" for status, count in self.counts.items())
        return f"RecordingRows({self.common.recording_id!r}: {counts})"

    def __len__(self) -> int:
        """Count stems, and residuals where they have rows."""
        return len(self.plan) + sum(place >= len(self.plan) for place in self.own)

    @overload
    def __getitem__(self, index: int) -> IndexRow: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[IndexRow, ...]: ...
    def __getitem__(self, index: int | slice) -> IndexRow | tuple[IndexRow, ...]:
        """Give one row, or a few."""
        return self._made[index]

    @functools.cached_property
    def _made(self) -> tuple[IndexRow, ...]:
        return tuple(self.own.get(place) or self._absent(place) for place in range(len(self)))

    def _absent(self, place: int) -> IndexRow:
        return absent_row(
            self.common,
            self.plan[place],
            probability=known(self.probabilities[place]),
            sure_below=self.sure_below,
        )


def absent_row(
    common: IndexRow,
    stem: StemRequest,
    *,
    probability: float | None = None,
    sure_below: float | None = None,
) -> IndexRow:
    """Make the row of a stem that was not active, from what all rows of its recording have in common."""
    return dataclasses.replace(
        common,
        status="absent" if stem.is_known else "unknown",
        certainty=certainty_of_absence(probability, sure_below=sure_below) if stem.is_known else None,
        node_id=stem.key,
        label=stem.label,
        level=stem.level,
        kind=stem.kind,
        probability=probability,
    )


def certainty_of_absence(probability: float | None, *, sure_below: float | None) -> Certainty | None:
    """Tell whether what was not found is surely absent; None where nothing was tagged, or it is not to be told."""
    if probability is None or sure_below is None:
        return None
    return "sure" if np.float32(probability) < np.float32(sure_below) else "doubtful"


def rows_table(recordings: Sequence[RecordingRows]) -> pa.Table:
    """Put the rows of recordings into one table of `INDEX_SCHEMA`, one recording after the other."""
    different: list[IndexRow] = []
    picks = []
    for rows in recordings:
        pick = np.full(len(rows), len(different))
        pick[: len(rows.plan)] += rows.kinds_of_absence
        pick[list(rows.own)] = len(different) + 4 + np.arange(len(rows.own))
        picks.append(pick)
        different += (
            rows.common,
            dataclasses.replace(rows.common, status="unknown"),
            dataclasses.replace(rows.common, certainty="doubtful"),
            dataclasses.replace(rows.common, certainty="sure"),
            *rows.own.values(),
        )
    table = to_table(different).take(pa.array(np.concatenate(picks)))
    for name, column in _by_stem(recordings).items():
        place = INDEX_SCHEMA.get_field_index(name)
        table = table.set_column(place, INDEX_SCHEMA.field(place), column)
    return table


def _by_stem(recordings: Sequence[RecordingRows]) -> dict[str, pa.Array]:
    """Make the columns in which the rows of stems that were not active differ."""
    columns = {
        name: pa.concat_arrays([rows.plan.columns[name].slice(0, len(rows)) for rows in recordings])
        for name in recordings[0].plan.columns
    }
    probabilities = np.full(sum(map(len, recordings)), np.nan, np.float32)
    first = 0
    for rows in recordings:
        probabilities[first : first + len(rows.plan)] = rows.probabilities
        first += len(rows)
    columns["probability"] = pa.array(probabilities, from_pandas=True)
    return columns
