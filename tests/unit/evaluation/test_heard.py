from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.evaluation.test_result import row
from uss_ray.errors import DataError
from uss_ray.evaluation.heard import KINDS, choose_heard, read_heard
from uss_ray.store.store import Store


def test_best_median_and_worst_of_the_first_query_are_chosen_each_once() -> None:
    rows = [
        row("a/0", 50.0, system="wiener-mask", query=""),
        *(row(f"a/{number}", value) for number, value in enumerate((1.0, 5.0, 3.0, -2.0, 4.0))),
        row("a/5", None),
        row("a/0", 90.0, query="oracle"),
    ]
    chosen = choose_heard(rows)
    assert [(heard.which, heard.item_id, heard.sdri) for heard in chosen] == [
        ("best", "a/1", 5.0),
        ("median", "a/2", 3.0),
        ("worst", "a/3", -2.0),
    ]
    assert len(choose_heard(rows[:3])) == 2
    assert len(choose_heard(rows[:2])) == 1
    assert choose_heard(rows[:1]) == ()


def test_sound_that_is_none_is_named_and_what_is_gone_is_left_out(tmp_path: Path) -> None:
    chosen = choose_heard([row("a/0", 1.0)])
    assert read_heard(Store(tmp_path), chosen) == []
    (tmp_path / "heard").mkdir()
    for kind in KINDS:
        (tmp_path / "heard" / f"{chosen[0].which}-{kind}.flac").write_bytes(b"no")
    with pytest.raises(DataError, match="expected a FLAC file of a run"):
        read_heard(Store(tmp_path), chosen)
