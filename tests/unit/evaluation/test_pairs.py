from __future__ import annotations

import logging
from pathlib import Path

import pytest

from uss_ray.errors import DataError
from uss_ray.evaluation.pairs import (
    Candidate,
    EvaluationPair,
    Event,
    candidates_from_events,
    draw_pairs,
    read_events,
    read_pairs,
    write_pairs,
)


def test_the_candidate_is_where_the_event_fills_the_segment() -> None:
    events = [Event("a", "dog", 4.0, 6.5, "target"), Event("a", "cat", 4.0, 4.4, "second")]
    assert candidates_from_events(events, segment_seconds=2.0) == [Candidate("a", "dog", 4.4)]


def test_a_clip_whose_event_is_too_short_is_left_out() -> None:
    assert candidates_from_events([Event("a", "dog", 1.0, 1.2, "target")], segment_seconds=2.0) == []


def test_pairs_are_even_over_classes_free_of_conflict_and_repeatable(
    caplog: pytest.LogCaptureFixture,
) -> None:
    candidates = [Candidate(f"{c}{k}", c, 0.0) for c in "abc" for k in range(3)] + [Candidate("d0", "d", 0.0)]

    def conflict(one: Candidate, other: Candidate) -> bool:
        return one.class_id == other.class_id or {one.class_id, other.class_id} == {"a", "b"}

    with caplog.at_level(logging.WARNING):
        pairs = draw_pairs(candidates, conflict=conflict, pairs_per_class=4, seed=3)
    assert caplog.messages == ["4 of 16 pairs are left out, for want of clips that may be mixed: d (4)"]
    assert pairs == draw_pairs(candidates, conflict=conflict, pairs_per_class=4, seed=3)
    assert [p.class_id for p in pairs] == ["a"] * 4 + ["b"] * 4 + ["c"] * 4
    assert all({p.class_id, p.other_class_id} != {"a", "b"} and p.class_id != p.other_class_id for p in pairs)


def test_a_list_survives_its_csv(tmp_path: Path) -> None:
    pairs = [EvaluationPair("/m/1", "x", 0.1, "/m/2", "y", 3.5)]
    write_pairs(pairs, tmp_path / "list.csv")
    assert read_pairs(tmp_path / "list.csv") == pairs
    (tmp_path / "bad.csv").write_text("class_id\n/m/1\n")
    with pytest.raises(DataError, match="evaluation pairs"):
        read_pairs(tmp_path / "bad.csv")


def test_events_are_read_for_one_split(tmp_path: Path) -> None:
    table = tmp_path / "strong.tsv"
    table.write_text(
        "segment_id\tsplit\tonset\toffset\tmid\trole\nx\teval\t1\t2\t/m/1\ttarget\ny\ttrain\t1\t2\t/m/1\ttarget\n"
    )
    assert read_events(table, split="eval") == [Event("x", "/m/1", 1.0, 2.0, "target")]


@pytest.mark.parametrize("content", [None, "class_id\ndog\n", "letter"])
def test_a_list_that_cannot_be_read_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "pairs.csv"
    if content is not None:
        path.write_text(content + "\nmore\n")
    with pytest.raises(DataError, match=r"pairs\.csv: expected a (list of evaluation pairs|readable file)"):
        read_pairs(path)
