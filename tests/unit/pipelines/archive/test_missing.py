from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from uss_ray.pipelines.archive.ledger import Ledger, _hash_of, content_key
from uss_ray.pipelines.archive.missing import Changed, TellState, WhatToDo, content_tags, sort_out
from uss_ray.pipelines.runtime.run_state import Earlier
from uss_ray.store.options import StoreOptions
from uss_ray.store.store import Store

TAGS = {2: "two", 3: "three", 5: "five"}
KNOWN = Ledger(
    separated=np.array([2, 5]),
    failed=np.array([3]),
    content_keys=np.array([2, 3, 5]),
    contents=np.array([content_key(tag) for tag in TAGS.values()]),
)


def table(*keys: int, tags: dict[int, str | None] | None = None) -> pa.Table:
    return pa.table(
        {
            "recording_key": pa.array(keys, pa.int64()),
            "recording_id": [f"{key}.wav" for key in keys],
            "recording_uri": [f"{key}.wav" for key in keys],
            "content_tag": pa.array([(tags or {}).get(key) for key in keys], pa.string()),
            "place": range(len(keys)),
        }
    )


def sorted_out(
    rows: pa.Table, *, retry_failed: bool = False, changed: Changed = "redo"
) -> tuple[list[int], Earlier]:
    earlier = Earlier()
    kept = sort_out(
        rows,
        known=KNOWN,
        content_tags=rows["content_tag"].to_pylist(),
        retry_failed=retry_failed,
        changed=changed,
        earlier=earlier,
    )
    return kept["place"].to_pylist(), earlier


@pytest.mark.parametrize(
    ("retry_failed", "left", "failed"),
    [(False, [0, 3], [3]), (True, [2], [])],
    ids=["first time", "repetition"],
)
def test_what_is_done_is_left_out_and_counted(retry_failed: bool, left: list[int], failed: list[int]) -> None:
    kept, earlier = sorted_out(table(1, 2, 3, 4, 5), retry_failed=retry_failed)
    assert kept == left
    assert earlier.skipped == 2
    assert earlier.failed_keys.tolist() == failed


@pytest.mark.parametrize(
    ("changed", "tags", "left", "told", "skipped", "failed"),
    [
        ("redo", {2: "other", 3: "three", 5: "five"}, [0, 1], ["2.wav"], 1, [3]),
        ("redo", {2: "two", 3: "mended", 5: None}, [0, 2], ["3.wav"], 2, []),
        ("keep", {2: "other", 5: "five"}, [0], ["2.wav"], 2, [3]),
        ("fail", {2: "other", 3: "mended"}, [0], ["2.wav", "3.wav"], 1, []),
        ("redo", {}, [0], [], 2, [3]),
    ],
)
def test_what_has_changed_is_done_again_or_told(
    changed: Changed,
    tags: dict[int, str | None],
    left: list[int],
    told: list[str],
    skipped: int,
    failed: list[int],
) -> None:
    kept, earlier = sorted_out(table(1, 2, 3, 5, tags=tags), changed=changed)
    assert kept == left
    assert earlier.changed.examples == told
    assert earlier.skipped == skipped
    assert earlier.failed_keys.tolist() == failed


@pytest.mark.parametrize(
    ("retry_failed", "tag", "left", "failed"),
    [(False, "broken", [], [2]), (True, "broken", [0], []), (False, "mended", [0], [])],
)
def test_what_broke_after_it_was_separated_has_failed_until_it_changes_again(
    retry_failed: bool, tag: str, left: list[int], failed: list[int]
) -> None:
    known = replace(KNOWN, spoilt=_hash_of(np.array([2]), np.array([content_key("broken")])))
    earlier = Earlier()
    kept = sort_out(
        table(2),
        known=known,
        content_tags=[tag],
        retry_failed=retry_failed,
        changed="redo",
        earlier=earlier,
    )
    assert kept["place"].to_pylist() == left
    assert earlier.failed_keys.tolist() == failed
    assert earlier.changed.count == (tag == "mended")


def test_a_place_is_asked_for_what_its_listing_does_not_tell(tmp_path: Path) -> None:
    place = tmp_path / "2.wav"
    place.write_bytes(b"sound")
    rows = table(1, 2, 5, tags={5: "five"})
    rows = rows.set_column(2, "recording_uri", pa.array([str(tmp_path / "1.wav"), str(place), "5.wav"]))
    what = WhatToDo(changed="redo", storage=StoreOptions(), may_repeat=True)
    assert content_tags(rows, known=KNOWN, what=what) == [None, Store(place).content_tag(), "five"]
    assert content_tags(rows, known=KNOWN, what=replace(what, changed="keep")) == [None] * 3


def test_a_recording_that_is_listed_twice_is_done_once() -> None:
    assert sorted_out(table(7, 1, 7, 1, 9))[0] == [0, 1, 4]


def test_nothing_listed_is_nothing_to_do() -> None:
    assert sorted_out(table())[0] == []


def test_what_is_passed_over_is_told_to_the_state() -> None:
    told: list[list[str]] = []
    state = SimpleNamespace(add_passed_over=SimpleNamespace(remote=told.append))
    TellState(state)(("a.txt", "b.txt"))
    assert told == [["a.txt", "b.txt"]]
