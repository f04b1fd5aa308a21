"""The lines at the end of a run."""

from __future__ import annotations

from uss_ray.results.index.table import ActiveSpan, IndexRow, RecordingFacts, RunFacts, failed_row
from uss_ray.results.report.summary import summary_table


def test_the_summary_shows_what_was_found_and_counts_what_was_not(
    recording_facts: RecordingFacts, run_facts: RunFacts
) -> None:
    common = {
        "run_id": "r",
        "recording_id": "a.wav",
        "recording_uri": "a.wav",
        "weights_name": "w",
        "weights_sha256": "0",
    }
    stem = {"status": "written", "stem_sha256": "0", "stem_bytes": 1}
    rows = [
        IndexRow(**common, **stem, node_id="residual", label="Residual", level=1, kind="residual", level_db=-1.0,
                 stem_uri="residual.flac"),
        IndexRow(**common, node_id="q", label="Query", level=None, kind="text", status="absent"),
        IndexRow(**common, node_id="c", label="Cat", level=1, kind="node", status="silent", probability=0.3),
        IndexRow(**common, **stem, node_id="d", label="Dog", level=1, kind="node", level_db=-12.34, probability=0.875,
                 active_spans=(ActiveSpan(start_seconds=1.0, end_seconds=2.5),), stem_uri="dog.flac"),
        failed_row(recording_facts, run=run_facts, reason="broken"),
    ]  # fmt: skip
    summary = summary_table(reversed(rows))
    assert summary.lines == (
        ("a.wav", "1", "Dog", "written", "0.88", "1.5 s", "-12.3", "dog.flac"),
        ("a.wav", "1", "Cat", "silent", "0.30", "", "", ""),
        ("a.wav", "1", "Residual", "written", "", "", "-1.0", "residual.flac"),
        ("field trip/å.wav", "", "", "failed", "", "", "", "broken"),
    )
    assert summary.counts == {"written": 1, "silent": 1, "absent": 1, "failed": 1}
    assert summary.recordings == 2
    assert all(len(line) == len(summary.columns) for line in summary.lines)


def test_spans_are_named_by_their_folder_and_what_was_only_detected_is_shown() -> None:
    common = {
        "run_id": "r",
        "recording_id": "a.wav",
        "recording_uri": "a.wav",
        "weights_name": "w",
        "weights_sha256": "0",
        "level": 2,
        "kind": "node",
    }
    spans = [
        ActiveSpan(
            start_seconds=start,
            end_seconds=start + 1,
            stem_uri=f"a.wav/level-2/dog/00000{start}.000.flac",
            stem_sha256="0",
            stem_bytes=1,
            stem_start_frame=0,
        )
        for start in (1, 5)
    ]
    quiet = ActiveSpan(start_seconds=8.0, end_seconds=9.0)
    rows = [
        IndexRow(
            **common, node_id="d", label="Dog", status="written", active_spans=(*spans, quiet), level_db=-9.0
        ),
        IndexRow(
            **common, node_id="c", label="Cat", status="detected", active_spans=(quiet,), probability=0.5
        ),
    ]
    summary = summary_table(rows)
    assert summary.lines == (
        ("a.wav", "2", "Dog", "written", "", "3.0 s", "-9.0", "a.wav/level-2/dog/ (2 files)"),
        ("a.wav", "2", "Cat", "detected", "0.50", "1.0 s", "", ""),
    )
    assert summary.counts == {"written": 1, "detected": 1}


def test_no_rows_give_an_empty_table() -> None:
    assert summary_table([]).lines == ()
