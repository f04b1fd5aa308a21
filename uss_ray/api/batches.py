"""Separation as a stage of somebody else's pipeline: batches of columns in, batches of columns out.

Made for `ray.data.Dataset.map_batches`, and knows no Ray: a batch is a dictionary of arrays.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from uss_ray.api.inputs import ARRAY_NAME, whole_rate
from uss_ray.api.pretrained import Separator
from uss_ray.api.sounds import SeparatedSound
from uss_ray.errors import ConfigError, RecordingError
from uss_ray.results.index.table import IndexRow
from uss_ray.store.store import Location
from uss_ray.weights import STARTER

_MADE = frozenset(("label", "node_id", "level", "kind", "status", "reason", "probability", "spans"))

Batch = dict[str, NDArray[Any]]


class SeparateBatch:
    """Separates the recordings of a batch; each becomes a row for each of its sounds.

    Parameters
    ----------
    audio : str, default="audio"
        Column of the recordings: waveforms of shape (samples,) or (channels, samples), paths or URIs, or the bytes of
        files.
    sample_rate : str or int, default="sample_rate"
        Column of the rates of waveforms in Hz, or the rate of all; not needed for files.
    name : str or None, default=None
        Column that names the recordings in errors.
    faults : {"raise", "row"}, default="raise"
        A recording that cannot be read, or whose rate is none, ends the pipeline, or becomes one row with the status
        `failed` and its reason.
    weights : str or path, default="starter"
        Name, folder or URI.
    device : str, default="auto"
        As of `Separator`.
    **options
        As of `separate`.

    Raises
    ------
    UssRayError
        If weights, query or settings are wrong; where the actor starts.

    Notes
    -----
    Rows keep the other columns of their recording, which must have other names, and have besides:

    ========================================  ======================================================================
    `label`, `node_id`, `level`, `kind`       The sound; `kind` is `residual` for what the sounds leave; `level` is 0
                                              where it has none
    `status`, `reason`                        What became of it
    `probability`                             NaN where nothing was tagged
    `spans`                                   Where it was detected, in seconds, of shape (spans, 2)
    `audio` (as the column of the input)      float32, of shape (channels, samples)
    `sample_rate`                             In Hz
    ========================================  ======================================================================

    An event, or a node of a level, has a row where it is there; what was asked for by name always has one, silent if it
    is not there.

    Examples
    --------
    >>> import numpy as np
    >>> noise = 0.1 * np.random.default_rng(0).standard_normal((2, 16_000)).astype(np.float32)
    >>> stage = SeparateBatch(sample_rate=16_000, classes=["Speech"], residual=False)
    >>> rows = stage({"audio": noise, "id": np.array(["a", "b"])})
    >>> rows["id"].tolist(), rows["label"].tolist()
    (['a', 'b'], ['Speech', 'Speech'])
    """

    def __init__(
        self,
        *,
        audio: str = "audio",
        sample_rate: str | int = "sample_rate",
        name: str | None = None,
        faults: Literal["raise", "row"] = "raise",
        weights: Location = STARTER,
        device: str = "auto",
        **options: Any,
    ) -> None:
        if faults not in ("raise", "row"):
            raise ConfigError("option faults", expected="'raise' or 'row'", found=repr(faults))
        self._separator = Separator.from_pretrained(weights, device=device, **options)
        self._audio = audio
        self._rate = sample_rate
        self._name = name
        self._faults = faults

    def __call__(self, batch: Mapping[str, NDArray[Any]]) -> Batch:
        """Separate one batch."""
        for option, column in (("audio", self._audio), ("name", self._name)):
            if column is not None and column not in batch:
                raise ConfigError(f"option {option}", expected=f"one of {sorted(batch)}", found=repr(column))
        taken = _MADE.intersection(batch)
        if taken:
            raise ConfigError(
                "columns of a batch",
                expected=f"none of {sorted(_MADE)}",
                found=f"{sorted(taken)}: rename them",
            )
        found = [self._rows(batch, place) for place in range(len(batch[self._audio]))]
        rows = [row for rows in found for row in rows]
        if not rows:
            return {}
        made = {name: _column([row[name] for row in rows]) for name in rows[0]}
        places = np.repeat(np.arange(len(found)), [len(rows) for rows in found])
        kept = {name: _kept(column, places) for name, column in batch.items() if name != self._audio}
        return {**kept, **made}

    def _rows(self, batch: Mapping[str, NDArray[Any]], place: int) -> list[dict[str, Any]]:
        given = batch[self._audio][place]
        try:
            sounds = self._separate(given, batch, place)
        except RecordingError as error:
            if self._faults == "raise":
                raise
            return [self._failed(error)]
        return [
            self._row(row, sounds)
            for row in sounds.rows
            if row.is_kept or (row.level is None and row.kind != "residual")
        ]

    def _separate(
        self, given: Any, batch: Mapping[str, NDArray[Any]], place: int
    ) -> SeparatedSound[NDArray[np.float32]]:
        name = None if self._name is None else str(batch[self._name][place])
        if isinstance(given, bytes | bytearray | memoryview):
            return self._separator(cast("Any", io.BytesIO(given)), name=name)
        if isinstance(given, str | os.PathLike):
            return self._separator(given, name=name)
        rate: Any = self._rate
        if isinstance(rate, str):
            if rate not in batch:
                raise ConfigError("option sample_rate", expected=f"one of {sorted(batch)}", found=repr(rate))
            rate = batch[rate][place]
            if isinstance(rate, str | Decimal):  # of tables
                with suppress(ValueError):
                    rate = float(rate)
            try:
                rate = whole_rate(rate)
            except ConfigError as error:  # of this recording alone, unlike a rate of all
                item = f"{name or ARRAY_NAME}: column {self._rate}"
                raise RecordingError(item, expected=error.expected, found=error.found) from error
        return self._separator(np.asarray(given), rate, name=name)

    def _row(self, row: IndexRow, sounds: SeparatedSound[NDArray[np.float32]]) -> dict[str, Any]:
        return {
            "label": row.label,
            "node_id": row.node_id,
            "level": row.level or 0,
            "kind": row.kind,
            "status": row.status,
            "reason": row.reason or "",
            "probability": np.float32(np.nan if row.probability is None else row.probability),
            "spans": _spans(row),
            self._audio: np.atleast_2d(sounds.sound_of(row)),
            "sample_rate": sounds.sample_rate,
        }

    def _failed(self, error: RecordingError) -> dict[str, Any]:
        return {
            "label": "",
            "node_id": "",
            "level": 0,
            "kind": "recording",
            "status": "failed",
            "reason": error.reason,
            "probability": np.float32(np.nan),
            "spans": np.zeros((0, 2)),
            self._audio: np.zeros((1, 0), np.float32),
            "sample_rate": 0,
        }


def _spans(row: IndexRow) -> NDArray[np.float64]:
    edges = [(span.start_seconds, span.end_seconds) for span in row.heard_spans]
    return np.array(edges, np.float64).reshape(-1, 2)


def _kept(column: Any, places: NDArray[np.intp]) -> NDArray[Any]:
    """Give a column of the input a row for each place, its values as they are: numpy would turn some into others."""
    return (np.asarray(column) if hasattr(column, "__array__") else _objects(column))[places]


def _column(values: list[Any]) -> NDArray[Any]:
    return _objects(values) if isinstance(values[0], np.ndarray) else np.array(values)


def _objects(values: Iterable[Any]) -> NDArray[Any]:
    kept = list(values)
    column = np.empty(len(kept), dtype=object)  # arrays of different lengths, whatever their shape
    column[:] = kept
    return column
