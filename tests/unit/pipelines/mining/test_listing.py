from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from uss_ray.errors import DataError
from uss_ray.pipelines.mining import listing
from uss_ray.pipelines.mining.listing import ClipClaims, ClipListing
from uss_ray.pipelines.runtime.run_state import Earlier
from uss_ray.store.store import Store


def rows(*numbers: int):
    return np.array(numbers, np.int32)


def test_a_clip_is_whose_reader_asked_first_in_every_attempt() -> None:
    claims = ClipClaims(6)
    assert claims.claim(rows(0, 1, 2), 0).tolist() == [True, True, True]
    assert claims.claim(rows(2, 3), 1).tolist() == [False, True]
    assert claims.claim(rows(0, 3, 5), 0).tolist() == [True, False, True], "a reader that is tried again"
    assert claims.claim(rows(), 1).tolist() == []


def test_a_clip_that_a_reader_has_twice_is_its_own_both_times() -> None:
    assert ClipClaims(3).claim(rows(1, 1), 4).tolist() == [True, True]


def test_a_clip_that_lies_in_two_containers_has_changed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that two readers tell of, and one that each has alone; the second of the three had failed before."""
    told: list[tuple[int, Earlier]] = []
    state = SimpleNamespace(
        add_earlier=SimpleNamespace(remote=lambda number, earlier: told.append((number, earlier)))
    )
    claims = SimpleNamespace(claim=SimpleNamespace(remote=ClipClaims(3).claim))
    monkeypatch.setattr(listing, "ray", SimpleNamespace(get=lambda value: value))
    table: Any = SimpleNamespace(clip_id="abc".__getitem__, rows_of=lambda _: [0])
    ledger: Any = SimpleNamespace(mined=np.array([True, False, True]))
    run: Any = SimpleNamespace(ledger=ledger, state=state)
    reader: Any = SimpleNamespace(place=Store(tmp_path, DataError))
    for number, changed in enumerate(([0, 1], [0, 2])):
        tables = listing._ClipTables(
            reader,
            number=number,
            listing=ClipListing(readers=(), table=table, clips=3),
            run=run,
            claims=claims,
            tags={},
        )
        tables._tell(changed, table=table, ledger=ledger)
    assert [(number, each.skipped, each.changed.count, each.changed.examples) for number, each in told] == [
        (0, -1, 2, ["a", "b"]),
        (1, -1, 1, ["c"]),
    ]
