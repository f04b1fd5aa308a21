"""Rows become lanes: one a sound, below what it belongs to."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from uss_ray.results.index.table import ActiveSpan, IndexRow, RecordingFacts, RunFacts, Span, blank_row
from uss_ray.results.report.lanes import db_text, group_of, lanes_of, size_text
from uss_ray.results.report.player import Lane
from uss_ray.results.report.spectrogram import Spectrogram

ANIMAL, PETS, DOG, BARK, MUSIC = "/m/0jbk", "/m/068hy", "/m/0bt9lr", "/m/05tny_", "/m/04rlf"


@pytest.fixture
def blank(recording_facts: RecordingFacts, run_facts: RunFacts) -> IndexRow:
    return blank_row(dataclasses.replace(recording_facts, recording_id="a.wav"), run=run_facts)


def row(blank: IndexRow, node_id: str, label: str, **facts: object) -> IndexRow:
    level = facts.pop("level", 1)
    uri = facts.pop("uri", f"a.wav/level-{level}/{label}.flac".lower())
    defaults: dict[str, object] = {
        "kind": "node", "status": "written", "level": level, "level_db": -20.0, "probability": 0.5,
        "stem_uri": uri, "stem_sha256": "0", "stem_bytes": 1000, "format": "FLAC/PCM_24",
    }  # fmt: skip
    return dataclasses.replace(blank, node_id=node_id, label=label, **(defaults | facts))  # type: ignore[arg-type]


def lanes(rows: list[IndexRow], **options: object) -> list[Lane]:
    defaults: dict[str, object] = {
        "activities": {}, "spectrograms": {}, "total_seconds": 5.0, "top_db": 0.0, "picture_bytes": 10**6,
    }  # fmt: skip
    return lanes_of(rows, **(defaults | options))  # type: ignore[arg-type]


def outline(found: list[Lane]) -> list[tuple[str, int, int]]:
    return [(lane.name, lane.parent, lane.depth) for lane in found]


def test_sounds_hang_below_the_nearest_that_holds_them_the_loudest_first(blank: IndexRow) -> None:
    rows = [
        row(blank, BARK, "Bark", level=4),
        row(blank, MUSIC, "Music", level_db=-10.0),
        row(blank, ANIMAL, "Animal"),
        row(blank, "residual", "Residual", kind="residual", level=1),
        row(blank, DOG, "Dog", level=3, level_db=-25.0),
    ]
    assert outline(lanes(rows)) == [
        ("Music", 0, 0),
        ("Animal", 0, 0),
        ("Dog", 2, 1),
        ("Bark", 3, 2),
        ("Rest of level 1", 0, 0),
    ]
    without_dog = [one for one in rows if one.label != "Dog"]
    assert ("Bark", 2, 1) in outline(lanes(without_dog))


def test_rows_of_one_file_are_one_lane_with_all_names(blank: IndexRow) -> None:
    same = "a.wav/level-2/x.flac"
    found = lanes(
        [
            row(blank, PETS, "Domestic animals, pets", level=2, uri=same),
            row(blank, "/m/other", "Livestock", level=2, uri=same),
            row(blank, DOG, "Dog", level=3),
        ]
    )
    assert outline(found) == [("Domestic animals, pets, Livestock", 0, 0), ("Dog", 1, 1)]
    assert [lane.groups for lane in found] == [("level 2",), ("level 3",)]
    assert [file.url for file in found[0].files] == ["level-2/x.flac"]


def test_a_lane_of_several_names_has_the_events_and_files_of_all(blank: IndexRow) -> None:
    def spans(*numbers: int) -> tuple[ActiveSpan, ...]:
        return tuple(
            ActiveSpan(
                start_seconds=n, end_seconds=n + 0.5, stem_uri=f"a.wav/level-1/x/{n}.flac", stem_sha256="0",
                stem_bytes=1,
            )
            for n in numbers
        )  # fmt: skip

    whole = {"uri": None, "stem_sha256": None, "stem_bytes": None}
    weak = row(blank, "n1", "Weak", active_spans=spans(1, 4), probability=0.3, **whole)
    strong = row(blank, "n2", "Strong", active_spans=spans(1, 2), probability=0.9, **whole)
    (found,) = lanes([weak, strong])
    assert found.name == "Strong, Weak"
    assert found.spans == ((1, 1.5), (2, 2.5), (4, 4.5))
    assert [file.url for file in found.files] == ["level-1/x/1.flac", "level-1/x/2.flac", "level-1/x/4.flac"]


def test_a_lane_shows_where_a_sound_was_detected_and_plays_all_that_was_separated(blank: IndexRow) -> None:
    file = ActiveSpan(
        start_seconds=0, end_seconds=9, stem_uri="a.wav/level-1/x/0.flac", stem_sha256="0", stem_bytes=1
    )
    whole = {"uri": None, "stem_sha256": None, "stem_bytes": None}
    for heard in ((), (Span(start_seconds=2, end_seconds=3),)):
        (found,) = lanes([row(blank, "n1", "X", active_spans=(file,), detected_spans=heard, **whole)])
        assert found.spans == tuple((span.start_seconds, span.end_seconds) for span in heard)
        assert [one.url for one in found.files] == ["level-1/x/0.flac"]


def test_what_was_asked_for_comes_first_and_strange_nodes_are_roots(blank: IndexRow) -> None:
    rows = [
        row(blank, "my-node", "Mine"),
        row(blank, "query:q", "犬", level=None, kind="text", uri="a.wav/query/q.flac", level_db=-60.0),
    ]
    found = lanes(rows)
    assert outline(found) == [("犬", 0, 0), ("Mine", 0, 0)]
    assert found[0].groups == (group_of(rows[1]),) == ("queries",)
    assert found[0].note == "text query · p 0.50 · −60.0 dB"


def test_what_was_not_heard_has_no_lane(blank: IndexRow) -> None:
    nothing = {"uri": None, "stem_sha256": None, "stem_bytes": None}
    rows = [row(blank, f"n{s}", s, status=s, **nothing) for s in ("silent", "absent", "unknown", "detected")]
    (found,) = lanes(rows)
    assert (found.name, found.files, found.links) == ("detected", (), ())


def test_what_is_explained_is_what_events_hang_from(blank: IndexRow) -> None:
    nothing = {"uri": None, "stem_sha256": None, "stem_bytes": None, "level_db": None}
    rows = [
        row(blank, MUSIC, "Music", kind="event", level_db=-15.0),
        row(blank, ANIMAL, "Animal", kind="event", status="explained", **nothing),
        row(
            blank,
            BARK,
            "Bark",
            kind="event",
            level=4,
            level_db=-10.0,
            certainty="doubtful",
            stem_probability=0.125,
        ),
    ]
    found = lanes(rows)
    assert outline(found) == [("Animal", 0, 0), ("Bark", 1, 1), ("Music", 0, 0)]  # by the loudest in it
    assert found[0].note == "level 1 · p 0.50 · in those below"
    assert found[1].note == "level 4 · p 0.50? · −10.0 dB"
    assert "p 0.12 in the stem itself" in found[1].facts
    assert [bool(lane.files) for lane in found] == [False, True, True]


def test_pictures_get_coarser_before_any_is_left_out(blank: IndexRow) -> None:
    power = np.random.default_rng(0).uniform(-75, 0, (80, 600)).astype(np.float32)
    rows = [row(blank, f"n{n}", f"N{n}", level_db=-20.0 - n) for n in range(3)]
    drawn = {(1, f"n{n}"): Spectrogram(power, 4000.0) for n in range(3)}
    full = [len(lane.picture) for lane in lanes(rows, spectrograms=drawn)]
    some = [len(lane.picture) for lane in lanes(rows, spectrograms=drawn, picture_bytes=sum(full) // 2)]
    assert 0 < sum(some) <= sum(full) // 2
    assert min(some) > 0
    few = lanes(rows, spectrograms=drawn, picture_bytes=9_000)
    assert [bool(lane.picture) for lane in few] == [True, False, False]
    assert [bool(lane.no_picture) for lane in few] == [False, True, True]


def test_sizes_and_levels_are_written_for_people() -> None:
    assert [size_text(n) for n in (1, 1_400, 2_340_000)] == ["1 kB", "1 kB", "2.3 MB"]
    assert (db_text(-3.25), db_text(None)) == ("−3.2 dB", "")
