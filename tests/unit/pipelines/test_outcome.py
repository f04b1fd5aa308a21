from __future__ import annotations

from uss_ray.pipelines.listing import single_recording
from uss_ray.pipelines.outcome import OUTCOME_SCHEMA, Outcome, failed_outcome, separated_outcome
from uss_ray.pipelines.separate_one import SeparatedRecording
from uss_ray.results.index import IndexRow


def row(label, *, status="written", level=1, level_db=-20.0, kind="node"):
    stem = {"stem_uri": "x.flac", "stem_sha256": "0", "stem_bytes": 1} if status == "written" else {}
    return IndexRow(
        run_id="r", recording_id="a.wav", recording_uri="a.wav", node_id=label, label=label, level=level,
        kind=kind, status=status, weights_name="w", weights_sha256="0", level_db=level_db, **stem,
    )  # fmt: skip


def test_an_outcome_counts_stems_and_names_the_loudest_of_the_deepest_level():
    rows = (
        row("Animal", level_db=-3.0),
        row("Residual", kind="residual"),
        row("Dog", level=2, level_db=-30.0),
        row("Speech", level=2, level_db=-10.0),
        row("Music", level=2, status="absent", level_db=None),
        row("Wind", level=2, status="silent", level_db=-90.0),
    )
    outcome = separated_outcome(
        SeparatedRecording(
            recording=single_recording("a.wav"), rows=rows, output="o", folder="o/a.wav", report=None, seconds=2.0,
            processing_seconds=1.0,
        )
    )  # fmt: skip
    assert (outcome.written, outcome.silent, outcome.absent) == (3, 1, 1)
    assert outcome.loudest == ("Speech", "Dog")
    assert outcome.status == "separated"


def test_outcomes_survive_the_way_through_arrow():
    outcome = failed_outcome(single_recording("日の出.wav"), reason="two\nlines")
    table = outcome.to_table()
    assert table.schema.equals(OUTCOME_SCHEMA)
    assert Outcome.from_record(table.to_pylist()[0]) == outcome
    assert outcome.reason == "two lines"
