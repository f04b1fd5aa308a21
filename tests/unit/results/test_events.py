from __future__ import annotations

import dataclasses

import pytest

from uss_ray.results.events import EVENTS_SCHEMA, events_table
from uss_ray.results.index.table import ActiveSpan, RecordingFacts, RunFacts, blank_row

BLANK = blank_row(
    RecordingFacts(recording_id="a.wav", recording_uri="a.wav"),
    run=RunFacts(run_id="r", weights_name="w", weights_sha256="s"),
)


def row(label, *spans, level=3, kind="node", probability=0.5):
    return dataclasses.replace(
        BLANK,
        status="detected",
        node_id=f"/m/{label}",
        label=label,
        level=level,
        kind=kind,
        probability=probability,
        active_spans=tuple(ActiveSpan(start_seconds=start, end_seconds=stop) for start, stop in spans),
    )


def test_each_stretch_is_a_line_by_when_it_begins_and_residuals_have_none():
    table = events_table(
        [
            row("Dog", (4.0, 6.0), (8.0, 9.0)),
            row("Animal", (4.0, 9.0), level=1),
            row("Bark", (0.0, 2.0), level=None, kind="class"),
            row("Cat"),
            row("Residual", (0.0, 9.0), kind="residual"),
        ]
    )
    assert table.schema == EVENTS_SCHEMA
    lines = [(line["label"], line["start_seconds"], line["end_seconds"]) for line in table.to_pylist()]
    assert lines == [("Bark", 0.0, 2.0), ("Animal", 4.0, 9.0), ("Dog", 4.0, 6.0), ("Dog", 8.0, 9.0)]
    assert table["level"].to_pylist() == [None, 1, 3, 3]


def test_nothing_heard_is_an_empty_table():
    assert events_table([]).num_rows == 0


def test_pandas_takes_it():
    pytest.importorskip("pandas")
    frame = events_table([row("Dog", (4.0, 6.0))]).to_pandas()
    assert frame.loc[0, ["label", "end_seconds"]].tolist() == ["Dog", 6.0]
