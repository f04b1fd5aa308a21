"""What a run says of each estimate: rows, and the files that chunks of them make.

Reading a run takes no network: of those who write rows and what is in them, nothing is needed here.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from uss_ray.arrow import parquet_of, schema_of, table_of
from uss_ray.errors import DataError
from uss_ray.store.store import Location, Store

CHUNK_ITEMS: Final = 16
ITEMS_FOLDER: Final = "items"
RANDOM_CLASS: Final = "random-class"
"""The query that asks for another class than the target's."""
EVENTS: Final = "events"
"""What stands for a query where nothing is asked for."""
LEVEL: Final = "level-"
"""What stands for a query where all nodes of a level are asked for, with its number behind."""
TAGS: Final = "tags"
"""What stands for a query where clips are tagged."""
CONSTANT: Final = "constant"
"""The system that tags every clip alike: what chance scores."""
BASELINE_NAMES: Final = frozenset({"mixture", "half", "ideal-ratio-mask", "wiener-mask", CONSTANT})
"""Systems that know the answer, or do nothing."""


def is_beside(system: str, query: str) -> bool:
    """Whether a system and query are what others are compared with, and nobody asked for them."""
    return system in BASELINE_NAMES or query == RANDOM_CLASS


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """What one system's estimate of one target is worth.

    Parameters
    ----------
    item_id, label : str
        The label is what scores are grouped by.
    system, query : str
    scores : dict of str to float
        What is defined, by measure.
    undefined : tuple of str
        Measures that are not.
    is_detected : bool or None
        Whether the target reached the threshold anywhere, of systems that tell.
    input_sdr : float or None
        Of the mixture, in dB.
    sources : int
        In the item.
    seconds : float
    reason : str or None
        Why there is no estimate: the item could not be mixed, or not be asked for.
    true, found : tuple of str
        Node ids, of a scene of which nothing was asked.
    probs : dict of str to float
        Highest probability of each event in such a scene.
    counts : dict of str to float
        What is summed up over scenes: of a level see `scene_rows.level_rows`, of events `TIME_COUNTS` there.
    """

    item_id: str
    label: str
    system: str
    query: str
    scores: dict[str, float]
    undefined: tuple[str, ...] = ()
    is_detected: bool | None = None
    input_sdr: float | None = None
    sources: int = 0
    seconds: float = 0.0
    reason: str | None = None
    true: tuple[str, ...] = ()
    found: tuple[str, ...] = ()
    probs: dict[str, float] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)

    @property
    def is_broken(self) -> bool:
        """Whether the item could not be mixed, so that no system was asked."""
        return self.reason is not None and not self.seconds


_SCHEMA = schema_of(ScoreRow)
_MAPS = ("scores", "probs", "counts")
_LISTS = ("undefined", "true", "found")


def rows_to_parquet(rows: Sequence[ScoreRow]) -> bytes:
    """Give the file of a chunk."""
    records = [
        {**dataclasses.asdict(row), **{name: sorted(getattr(row, name).items()) for name in _MAPS}}
        for row in rows
    ]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records, schema=_SCHEMA), buffer, compression="zstd")
    return buffer.getvalue()


def rows_from_parquet(content: bytes, *, item: str) -> list[ScoreRow]:
    """Read the file of a chunk.

    Raises
    ------
    DataError
        If it is none.
    """
    expected = "scores of an evaluation"
    try:
        with parquet_of(item, expected=expected):
            return [
                ScoreRow(
                    **record
                    | {name: dict(record.get(name, ())) for name in _MAPS}
                    | {name: tuple(record[name]) for name in _LISTS}
                )
                for record in table_of(content, item, expected=expected).to_pylist()
            ]
    except TypeError as error:
        raise DataError(item, expected=expected, found=repr(error)) from error


def chunk_name(number: int) -> str:
    """Name the file of a chunk, below the folder of the run."""
    return f"{ITEMS_FOLDER}/{number:06d}.parquet"


def read_rows(output: Location | Store, *, items: int | None = None) -> list[ScoreRow]:
    """Read the rows of a run, in the order of its list.

    Parameters
    ----------
    output : Store, str or path
        Folder of the run, or its `result.json`.
    items : int, optional
        How many its result tells of.

    Raises
    ------
    DataError
        If one is damaged, or there are not as many files of them as the items make.
    """
    place = Store.of(output, DataError)
    folder = (place.parent if str(place).endswith(".json") else place) / ITEMS_FOLDER
    rows: list[ScoreRow] = []
    chunks = sorted((found.place for found in folder.files()), key=lambda chunk: chunk.name)
    if items is not None and len(chunks) != -(-items // CHUNK_ITEMS):
        raise DataError(
            str(folder),
            expected=f"{-(-items // CHUNK_ITEMS)} files, of the {items} items that the result is of",
            found=str(len(chunks)),
        )
    for chunk in chunks:
        rows += rows_from_parquet(chunk.read(), item=str(chunk))
    return rows
