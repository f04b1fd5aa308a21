from __future__ import annotations

import dataclasses

import numpy as np

from uss_ray.pipelines.archive.outcome import (
    PACKET_REPORT_SCHEMA,
    Outcome,
    PacketReport,
    failed_outcome,
    separated_outcome,
)
from uss_ray.results.blocks import StemRequest
from uss_ray.results.index.rows import RecordingRows
from uss_ray.results.index.table import ActiveSpan, IndexRow
from uss_ray.results.stem_plan import StemPlan
from uss_ray.sources.recordings import single_recording


def row(label, *, status="written", level=1, level_db=-20.0, kind="node"):
    stem = {"stem_uri": f"{label}.flac", "stem_sha256": "0", "stem_bytes": 5} if status == "written" else {}
    return IndexRow(
        run_id="r", recording_id="a.wav", recording_uri="a.wav", node_id=label, label=label, level=level,
        kind=kind, status=status, weights_name="w", weights_sha256="0", level_db=level_db, frames=64_000,
        sample_rate=32_000, channels=1, processing_seconds=1.5, **stem,
    )  # fmt: skip


def rows_of(*own, never=()):
    """Rows of stems that were active, then as many more stems that never were, then the residuals."""
    stems = [each for each in own if each.kind != "residual"]
    residuals = [each for each in own if each.kind == "residual"]
    labels = [*(each.label for each in stems), *never]
    by_place = dict(enumerate(stems)) | dict(enumerate(residuals, start=len(labels)))
    return RecordingRows(
        StemPlan.of([StemRequest(key=label, label=label, level=2) for label in labels]),
        common=row("", status="absent", level_db=None),
        probabilities=np.full(len(labels), np.nan, np.float32),
        own=by_place,
    )


def test_an_outcome_counts_stems_and_names_the_loudest_of_the_deepest_level():
    rows = rows_of(
        row("Animal", level_db=-3.0),
        row("Residual", kind="residual"),
        row("Dog", level=2, level_db=-30.0),
        row("Speech", level=2, level_db=-10.0),
        row("Music", level=2, status="absent", level_db=None),
        row("Wind", level=2, status="silent", level_db=-90.0),
        never=("Cat", "Bird"),
    )
    outcome = separated_outcome(single_recording("a.wav"), rows)
    assert (outcome.written, outcome.silent, outcome.absent) == (3, 1, 3)
    assert outcome.loudest == ("Speech", "Dog")
    assert outcome.status == "separated"
    assert (outcome.seconds, outcome.processing_seconds, outcome.stem_bytes) == (2.0, 1.5, 15)


def test_a_file_that_several_spans_lie_in_counts_once():
    def span(start, end, *, name):
        uri = f"a.wav/level-2/dog/{name}.flac"
        return ActiveSpan(
            start_seconds=start,
            end_seconds=end,
            stem_uri=uri,
            stem_sha256="0",
            stem_bytes=7,
            stem_start_frame=0,
        )

    none = {"stem_uri": None, "stem_sha256": None, "stem_bytes": None}
    files = span(0.0, 4.0, name="000000.000"), span(6.0, 8.0, name="000006.000")
    dog = dataclasses.replace(row("Dog"), active_spans=files, **none)
    within = span(0.0, 1.0, name="000000.000"), span(2.0, 3.0, name="000000.000")
    pets = dataclasses.replace(row("Pets"), active_spans=within, **none)
    outcome = separated_outcome(single_recording("a.wav"), rows_of(dog, pets))
    assert (outcome.written, outcome.stem_bytes) == (2, 14)


def test_reports_survive_the_way_through_arrow():
    report = PacketReport(
        outcomes=(
            failed_outcome(single_recording("日の出.wav"), reason="two\nlines", part=3),
            separated_outcome(single_recording("a.wav"), rows_of(row("Dog"))),
        ),
        worker="host:1",
        decode_seconds=0.5,
        peak_bytes=7,
    )
    table = report.to_table()
    assert table.schema.equals(PACKET_REPORT_SCHEMA)
    assert PacketReport.from_record(table.to_pylist()[0]) == report
    assert report.outcomes[0].reason == "two lines"


def test_outcomes_are_what_they_add_to_the_counters():
    names = {"recording_id": "a.wav", "recording_uri": "a.wav"}
    done = Outcome(**names, status="separated", seconds=3.0, written=4, absent=2, stem_bytes=50).increment()
    assert (done.done, done.audio_seconds) == (1, 3.0)
    assert (done.amounts["written"], done.amounts["stem_bytes"]) == (4, 50)
    failed = Outcome(**names, status="failed", reason="cut off").increment()
    assert (failed.failed, failed.failures) == (1, {"cut off": 1})
    unfinished = Outcome(**names, status="unfinished", reason="no room").increment()
    assert (unfinished.unfinished, unfinished.unfinished_reason) == (1, "no room")


def test_a_packet_tells_whether_anything_of_it_got_done():
    names = {"recording_id": "a.wav", "recording_uri": "a.wav"}
    span = Outcome(**names, status="part", part=1)
    waiting = Outcome(**names, status="unfinished", reason="no room")
    assert PacketReport(outcomes=(span, waiting), worker="w").increment().got_done is True
    stuck = PacketReport(outcomes=(waiting, waiting), worker="w").increment()
    assert (stuck.got_done, stuck.unfinished_reason) == (False, "no room")
    assert PacketReport(outcomes=(), worker="w").increment().got_done is None


def test_a_stem_that_several_rows_point_to_counts_once():
    dog = row("Dog")
    pets = dataclasses.replace(dog, node_id="Pets", label="Pets")
    outcome = separated_outcome(single_recording("a.wav"), rows_of(dog, pets))
    assert (outcome.written, outcome.stem_bytes) == (2, 5)
