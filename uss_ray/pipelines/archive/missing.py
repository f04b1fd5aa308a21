"""What of a listing is not done yet. Workers run this without the networks' libraries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import ray

from uss_ray.pipelines.archive.ledger import Ledger, is_in
from uss_ray.pipelines.runtime.listed_keys import Flags, Keys
from uss_ray.pipelines.runtime.run_state import Earlier
from uss_ray.pipelines.runtime.source import TableReader
from uss_ray.pipelines.runtime.stages import Pass
from uss_ray.records import recording_key
from uss_ray.store.options import StoreOptions
from uss_ray.store.store import Store

_ASKED_AT_A_TIME = 32


Changed = Literal["redo", "keep", "fail"]
ListKeys = Callable[[Keys, Keys], tuple[Flags, Flags]]
"""Notes keys and a hash of where each lies; see `ListedKeys.add`."""


@dataclass(frozen=True, kw_only=True)
class WhatToDo:
    """Which recordings of a listing a pass is about.

    Parameters
    ----------
    changed : {"redo", "keep", "fail"}
        What becomes of those that have another content than when they were done: done again, left without a look, or
        left and told.
    storage : StoreOptions
        How they are reached, where the listing does not tell their content.
    may_repeat : bool
        Whether the listing may give an id more than once.
    """

    changed: Changed
    storage: StoreOptions
    may_repeat: bool


def undone_readers(
    readers: Sequence[TableReader], *, run: Pass, is_first: bool, what: WhatToDo
) -> list[TableReader]:
    """Make readers of what is not done yet: rows of `RECORDING_SCHEMA`, counted as they are found.

    Parameters
    ----------
    readers : sequence of TableReader
    run : Pass
    is_first : bool
        Whether what is done was done by earlier runs, and counts as that.
    what : WhatToDo
    """
    return [
        _Undone(reader, run=run, number=number, is_first=is_first, what=what)
        for number, reader in enumerate(readers)
    ]


@dataclass(frozen=True)
class TellState:
    """Tells the state of the run what a listing passes over, or leaves out."""

    state: Any
    method: str = "add_passed_over"

    def __call__(self, told: Sequence[Any]) -> None:
        """Pass it on."""
        getattr(self.state, self.method).remote(list(told))


class _Undone:
    """A reader of recordings that leaves out what is done, and counts the rest."""

    def __init__(
        self, reader: TableReader, *, run: Pass, number: int, is_first: bool, what: WhatToDo
    ) -> None:
        self._reader = reader
        self._ledger = run.ledger
        self._retry_failed = run.retry_failed
        self._state = run.state
        self._number = number
        self._is_first = is_first
        self._what = what

    def __call__(self) -> Iterator[pa.Table]:
        known: Ledger = ray.get(self._ledger)
        self._state.begin_earlier.remote(self._number)
        for table in self._reader():
            earlier = Earlier()
            once = self._once(table, earlier) if self._what.may_repeat else table
            tags = content_tags(once, known=known, what=self._what)
            kept = sort_out(
                once,
                known=known,
                content_tags=tags,
                retry_failed=self._retry_failed,
                changed=self._what.changed,
                earlier=earlier,
            )
            self._state.add_found.remote(len(kept))
            if self._is_first:
                self._state.add_earlier.remote(self._number, earlier)
            yield kept

    def _once(self, table: pa.Table, earlier: Earlier) -> pa.Table:
        return without_duplicates(
            table,
            earlier,
            list_keys=lambda keys, places: ray.get(self._state.list_keys.remote(self._number, keys, places)),
        )


def without_duplicates(table: pa.Table, earlier: Earlier, *, list_keys: ListKeys) -> pa.Table:
    """Leave out the rows whose id was listed before; `earlier` counts them."""
    keys = table["recording_key"].to_numpy()
    places = np.array([recording_key(uri) for uri in table["recording_uri"].to_pylist()], np.int64)
    is_first, is_stranger = list_keys(keys, places)
    if is_first.all():
        return table
    again = table.filter(pa.array(~is_first))
    earlier.duplicates.add(
        [f"{row['recording_id']} from {row['recording_uri']}" for row in again.to_pylist()]
    )
    earlier.strangers += int(is_stranger.sum())
    return table.filter(pa.array(is_first))


def content_tags(table: pa.Table, *, known: Ledger, what: WhatToDo) -> list[str | None]:
    """Give the tag of each row's content; where the listing does not tell it, that of known ones is asked for."""
    tags: list[str | None] = table["content_tag"].to_pylist()
    if what.changed == "keep":
        return [None] * len(tags)
    is_known = is_in(table["recording_key"].to_numpy(), known.content_keys)
    asked = [row for row in np.flatnonzero(is_known).tolist() if tags[row] is None]
    if asked:
        uris = table["recording_uri"].to_pylist()
        with ThreadPoolExecutor(_ASKED_AT_A_TIME) as pool:
            found = pool.map(lambda row: Store(uris[row], what.storage).content_tag(), asked)
            for row, tag in zip(asked, found, strict=True):
                tags[row] = tag
    return tags


def sort_out(
    table: pa.Table,
    *,
    known: Ledger,
    content_tags: Sequence[str | None],
    retry_failed: bool,
    changed: Changed,
    earlier: Earlier,
) -> pa.Table:
    """Keep the rows that are still to do; `earlier` takes what becomes of the others."""
    keys = table["recording_key"].to_numpy()
    failed, separated = is_in(keys, known.failed), is_in(keys, known.separated)
    is_changed = known.has_changed(keys, content_tags)
    if changed == "redo":
        # What broke after it was separated has failed, and is no new content at each run.
        is_spoilt = known.is_spoilt(keys, content_tags) & is_changed
        failed, separated, is_changed = failed | is_spoilt, separated & ~is_spoilt, is_changed & ~is_spoilt
    again = is_changed if changed == "redo" else np.zeros(len(keys), np.bool_)
    wanted = failed if retry_failed else ~(failed | separated) | again
    # An id that a table gives twice is separated once.
    first = np.zeros(len(keys), np.bool_)
    first[np.unique(keys, return_index=True)[1]] = True
    told = is_changed & first
    if changed == "fail":
        separated, failed = separated & ~is_changed, failed & ~is_changed
    if told.any():
        earlier.changed.add(table.filter(pa.array(told))["recording_id"].to_pylist())
    earlier.skipped += int((separated & ~wanted & first).sum())
    if (failed & ~wanted).any():
        earlier.failed.append(keys[failed & ~wanted & first])
    return table.filter(pa.array(wanted & first))
