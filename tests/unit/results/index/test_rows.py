"""The rows of a recording, looked at one by one and put into a table, say the same."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from uss_ray.errors import DataError
from uss_ray.results.blocks import StemRequest
from uss_ray.results.index.activity import known
from uss_ray.results.index.rows import RecordingRows, absent_row, rows_table
from uss_ray.results.index.table import ActiveSpan, IndexRow, RecordingFacts, RunFacts, blank_row, to_table
from uss_ray.results.stem_plan import StemPlan

STEMS = [
    StemRequest(key="/m/1", label="Dog", level=1),
    StemRequest(key="/m/2", label="Cat", level=2),
    StemRequest(key="/m/3", label="Bird", level=2),
    StemRequest(key="query:q", label="犬", kind="text"),
]


def rows_of(
    recording: RecordingFacts,
    run: RunFacts,
    *,
    plan: StemPlan,
    active: tuple[int, ...] = (),
    residual: bool = False,
    probabilities: tuple[float, ...] = (0.25, 0.5, 0.0, np.nan),
    sure_below: float | None = None,
) -> RecordingRows:
    common = blank_row(recording, run=run, processing_seconds=1.5)
    spans = (ActiveSpan(start_seconds=0.0, end_seconds=2.0),)
    own = {
        place: dataclasses.replace(
            absent_row(common, plan[place], probability=known(np.float32(probabilities[place]))),
            status="detected",
            active_spans=spans,
        )
        for place in active
    }
    for place, rest in enumerate(plan.residuals if residual else (), start=len(plan)):
        file = {"stem_uri": f"{place}.flac", "stem_sha256": "0", "stem_bytes": 7, "format": "FLAC/PCM_16"}
        own[place] = dataclasses.replace(absent_row(common, rest), status="written", level_db=-3.0, **file)
    return RecordingRows(
        plan,
        common=common,
        probabilities=np.array(probabilities, np.float32),
        own=own,
        sure_below=sure_below,
    )


def test_every_stem_has_its_row_in_the_order_asked_for(
    recording_facts: RecordingFacts, run_facts: RunFacts
) -> None:
    rows = rows_of(recording_facts, run_facts, plan=StemPlan.of(STEMS), active=(1,), residual=True)
    assert [(row.node_id, row.label, row.level, row.kind, row.status, row.probability) for row in rows] == [
        ("/m/1", "Dog", 1, "node", "absent", 0.25),
        ("/m/2", "Cat", 2, "node", "detected", 0.5),
        ("/m/3", "Bird", 2, "node", "absent", 0.0),
        ("query:q", "犬", None, "text", "absent", None),
        ("residual", "Residual", 1, "residual", "written", None),
        ("residual", "Residual", 2, "residual", "written", None),
        ("residual", "Residual", None, "residual", "written", None),
    ]
    assert len(rows) == 7
    assert rows.counts == {"absent": 3, "detected": 1}
    assert rows[-1].stem_uri == "6.flac"
    assert [row.label for row in rows[1:3]] == ["Cat", "Bird"]
    assert {(row.recording_id, row.frames, row.processing_seconds) for row in rows} == {
        (recording_facts.recording_id, recording_facts.frames, 1.5)
    }


def test_what_the_weights_do_not_know_is_unknown_and_not_absent(
    recording_facts: RecordingFacts, run_facts: RunFacts
) -> None:
    plan = StemPlan.of([dataclasses.replace(stem, is_known=stem.label != "Bird") for stem in STEMS])
    rows = rows_of(recording_facts, run_facts, plan=plan, active=(1,), residual=True)
    assert [row.status for row in rows[:4]] == ["absent", "detected", "unknown", "absent"]
    assert rows.counts == {"absent": 2, "detected": 1, "unknown": 1}
    assert rows_table([rows, rows])["status"].to_pylist() == [row.status for row in rows] * 2


def test_a_table_holds_what_the_rows_say(recording_facts: RecordingFacts, run_facts: RunFacts) -> None:
    plan = StemPlan.of(STEMS)
    others = (
        dataclasses.replace(recording_facts, recording_id=f"{number}.wav", frames=number, channels=number)
        for number in range(1, 4)
    )
    recordings = [
        rows_of(next(others), run_facts, plan=plan, active=(0, 3), residual=True),
        rows_of(next(others), run_facts, plan=plan, probabilities=(np.nan, 1.0, 0.75, 0.125)),
        rows_of(
            next(others),
            run_facts,
            plan=StemPlan.of(STEMS[:1]),
            active=(0,),
            probabilities=(0.5,),
            sure_below=0.1,
        ),
    ]
    table = rows_table(recordings)
    one_by_one: list[IndexRow] = [row for rows in recordings for row in rows]
    assert len(one_by_one) == 7 + 4 + 1
    assert table.schema.equals(to_table([]).schema, check_metadata=True)
    assert table.to_pylist() == to_table(one_by_one).to_pylist()
    assert pa.concat_tables([rows_table([rows]) for rows in recordings]).equals(table)


def test_what_is_hardly_probable_is_surely_absent_and_the_rest_doubtfully(
    recording_facts: RecordingFacts, run_facts: RunFacts
) -> None:
    plan = StemPlan.of([dataclasses.replace(stem, is_known=stem.label != "Bird") for stem in STEMS])
    asked = {"plan": plan, "active": (1,), "probabilities": (0.1, 0.5, 0.0, np.nan)}
    rows = rows_of(recording_facts, run_facts, **asked, sure_below=0.1)
    lower = rows_of(recording_facts, run_facts, **asked, sure_below=0.125)
    silent = rows_of(recording_facts, run_facts, **asked)
    assert [row.certainty for row in rows] == ["doubtful", None, None, None]
    assert [row.certainty for row in lower.with_recording_sha256("0")] == ["sure", None, None, None]
    assert {row.certainty for row in silent} == {None}
    told = rows_table([rows, silent, lower])["certainty"].to_pylist()
    assert told == [row.certainty for row in (*rows, *silent, *lower)]


@pytest.mark.parametrize("probability", [-0.25, 1.5, np.inf])
def test_what_is_no_probability_is_refused_before_anybody_looks(
    recording_facts: RecordingFacts, run_facts: RunFacts, probability: float
) -> None:
    with pytest.raises(DataError, match=r"/m/3, probability"):
        rows_of(
            recording_facts, run_facts, plan=StemPlan.of(STEMS), probabilities=(0.5, 0.5, probability, np.nan)
        )
