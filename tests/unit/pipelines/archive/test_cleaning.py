from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from uss_ray.pipelines.archive import cleaning
from uss_ray.pipelines.archive.cleaning import OWNED, forget_done_parts
from uss_ray.records import recording_key
from uss_ray.results.index.table import RecordingFacts, RunFacts, failed_row, write_index
from uss_ray.results.layout import index_path
from uss_ray.results.stems.part_files import PartFacts
from uss_ray.store.store import Store

RUN = RunFacts(run_id="r", weights_name="w", weights_sha256="0", settings="{}")
EARLY = datetime(2026, 1, 1, tzinfo=UTC)


def left(output: Store) -> list[str]:
    return [file.relative_to(output) for file in output.list()]


def put_span(output: Store, name: str, *, content: str, minutes: int) -> str:
    """Put a span of a recording, written that long after its rows were made."""
    place = output / f".parts/{recording_key(name):016x}/000000/part.json"
    facts = PartFacts(
        run_id="r", recording_id=name, keys=("dog",), sample_rate=8000, channels=1, start_frame=0, frames=10,
        segments=1, files={}, recording_content=content,
    )  # fmt: skip
    place.put(facts.canonical_json().encode())
    written = EARLY.timestamp() + 60 * minutes
    os.utime(place.local_path(), (written, written))
    return place.relative_to(output)


def put_row(output: Store, name: str, *, is_failed: bool) -> None:
    recording = RecordingFacts(recording_id=name, recording_uri=name, recording_content="now")
    row = replace(failed_row(recording, run=RUN, reason="no audio"), created_at=EARLY)
    if not is_failed:
        row = replace(row, kind="node", level=1, node_id="n", label="Dog", status="absent", reason=None)
    prefix = "failed-" if is_failed else ""
    write_index([row], path=output.local_path() / index_path(f"{prefix}{recording_key(name):016x}"))


@pytest.mark.parametrize(
    ("is_failed", "content", "minutes", "stays"),
    [
        (False, "now", -1, False),
        (False, "now", 1, False),
        (False, "other", -1, False),
        (False, "other", 1, True),
        (True, "now", -1, False),
        (True, "now", 1, True),
        (True, "other", 1, True),
        (None, "now", -1, True),
    ],
)
def test_spans_go_once_their_recording_is_joined_or_has_failed_since(
    tmp_path: Path, is_failed: bool | None, content: str, minutes: int, stays: bool
) -> None:
    output = Store(tmp_path / "out")
    if is_failed is not None:
        put_row(output, "a.wav", is_failed=is_failed)
    put_row(output, "b.wav", is_failed=False)
    span = put_span(output, "a.wav", content=content, minutes=minutes)
    forget_done_parts(output)
    assert (output / span).exists() == stays


def test_spans_that_came_after_their_recording_failed_go_with_the_run_that_gave_it_up(tmp_path: Path) -> None:
    """A packet with nothing to compute takes no time, while others still compute earlier spans."""
    output = Store(tmp_path / "out")
    for name in ("a.wav", "b.wav"):
        put_row(output, name, is_failed=True)
    gone, kept = (put_span(output, name, content="now", minutes=1) for name in ("a.wav", "b.wav"))
    forget_done_parts(output, failed={recording_key("a.wav")})
    assert ((output / gone).exists(), (output / kept).exists()) == (False, True)


def test_what_is_no_span_stays_and_no_index_is_read_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaning, "last_rows", lambda _: pytest.fail("read"))
    output = Store(tmp_path / "out")
    forget_done_parts(output)
    assert not (tmp_path / "out").exists()
    (output / ".parts/x/report.html").put(b"of a recording that is called so in an older output")
    forget_done_parts(output)
    assert (output / ".parts/x/report.html").exists()


def test_starting_over_leaves_stems_and_takes_what_says_that_they_count(tmp_path: Path) -> None:
    output = Store(tmp_path / "out")
    key = f"{recording_key('a.wav'):016x}"
    kept = ["a.wav/level-1/dog.flac", "index/bell.wav", "index/birds.parquet"]
    ours = (f"index/{key}.parquet", f"index/failed-{key}.parquet", f".parts/{key}/000000/part.json")
    for place in (*ours, *kept):
        (output / place).put(b"x")
    OWNED.remove(output)
    assert left(output) == kept
    assert not (tmp_path / "out/.parts").exists()
