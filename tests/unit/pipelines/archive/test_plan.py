"""The plan against the truth: archives whose lengths are known, and a job that was really done."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from uss_ray.api.request import Query
from uss_ray.api.separator import RecordingSeparator
from uss_ray.errors import OccupiedError, QueryError
from uss_ray.pipelines.archive.job import archive_job
from uss_ray.pipelines.archive.ledger import Ledger, content_key
from uss_ray.pipelines.archive.plan import plan_archive
from uss_ray.pipelines.runtime.identity import RunIdentity, open_run
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.records import Recording, recording_key
from uss_ray.sources.listing import open_listing
from uss_ray.store.store import Store


def done(*names, failed=(), contents=()):
    keys = np.sort(np.array([recording_key(name) for name in names], np.int64))
    tags = sorted((recording_key(name), content_key(tag)) for name, tag in contents)
    return Ledger(
        keys,
        np.sort(np.array([recording_key(name) for name in failed], np.int64)),
        np.array([key for key, _ in tags], np.int64),
        np.array([tag for _, tag in tags], np.int64),
    )


def test_counts_and_sizes_are_exact_and_lengths_come_from_all_headers_of_a_small_archive(
    make_recording, request_for
):
    paths = [make_recording(f"{number}.wav", seconds=1.0 + number, sample_rate=16_000) for number in range(5)]
    (paths[0].parent / "letter.wav").write_text("this is a letter")
    plan = plan_archive(
        open_listing(str(paths[0].parent)), request=request_for(), ledger=done("4.wav", "gone.wav")
    )
    assert (plan.recordings, plan.done, plan.to_do) == (6, 1, 5)
    assert plan.bytes_to_do == sum(path.stat().st_size for path in paths[:4]) + len("this is a letter")
    assert plan.hours == pytest.approx(10.0 / 3600)
    assert (plan.headers, plan.unreadable) == (5, 1)
    assert plan.engine_hours is None
    assert "from all 5 headers, 1 of them unreadable" in "\n".join(plan.lines())


def test_a_larger_archive_is_estimated_from_some_headers(make_recording, request_for):
    for number in range(40):
        path = make_recording(
            f"{number}.wav", seconds=0.2 + number / 100, sample_rate=8000 * (1 + number % 2)
        )
    listing = open_listing(str(path.parent))
    plan = plan_archive(listing, request=request_for(), headers=20)
    assert (plan.headers, plan.is_extrapolated) == (20, True)
    assert plan.hours == pytest.approx(sum(0.2 + number / 100 for number in range(40)) / 3600, rel=0.2)
    assert plan == plan_archive(listing, request=request_for(), headers=20)
    assert "about" in plan.lines()[2]


def test_lengths_of_a_manifest_are_taken_as_told_and_no_header_is_read(tmp_path, request_for):
    (tmp_path / "m.csv").write_text("uri,duration_seconds\nnowhere/a.wav,1800\nnowhere/b.wav,5400\n")
    plan = plan_archive(open_listing(str(tmp_path / "m.csv")), request=request_for())
    assert plan.hours == 2.0
    assert (plan.headers, plan.without_size) == (0, 2)
    lines = "\n".join(plan.lines())
    assert "2.0 h, as the listing says" in lines
    assert "2 of unknown size" in lines


def test_what_is_told_and_what_is_sampled_add_up(make_recording, tmp_path, request_for):
    known = make_recording("known.wav", seconds=2.0)
    manifest = tmp_path / "m.jsonl"
    rows = [{"uri": str(known)}, {"uri": "nowhere.wav", "duration_seconds": 3598}]
    manifest.write_text("\n".join(map(json.dumps, rows)))
    plan = plan_archive(open_listing(str(manifest)), request=request_for())
    assert plan.hours == pytest.approx(1.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{}, {"stem_format": "wav", "residual": False, "report": False}, {"write": "index-only"}]
)
def test_the_planned_output_is_what_the_job_then_writes(make_recording, request_for, tmp_path, changes):
    for number in range(3):
        path = make_recording(f"{number}.wav", seconds=2.0, sample_rate=16_000)
    request = request_for(**changes)
    plan = plan_archive(open_listing(str(path.parent)), request=request, trial=True)
    assert not Path(request.output).exists()
    separator = RecordingSeparator(request)
    for number in range(3):
        name = f"{number}.wav"
        separator.separate(Recording(recording_uri=str(path.parent / name), recording_id=name))
    written = sum(file.stat().st_size for file in Path(request.output).rglob("*") if file.is_file())
    assert plan.output_bytes == pytest.approx(written, rel=0.05)
    assert len(plan.trials) == 3
    stems = {"index-only": 0}.get(request.write.write, 3 if request.write.residual is False else 4)
    assert {trial.stems for trial in plan.trials} == {stems}
    taken = sum(trial.took_seconds for trial in plan.trials) / 6.0 * 6.0 / 3600
    assert plan.engine_hours == pytest.approx(taken)
    assert "excerpts of at most 30 s" in "\n".join(plan.lines())


def test_nothing_to_do_takes_nothing(make_recording, request_for):
    path = make_recording("a.wav")
    plan = plan_archive(
        open_listing(str(path.parent)), request=request_for(weights="no such"), ledger=done("a.wav")
    )
    assert (plan.to_do, plan.hours, plan.output_bytes) == (0, None, None)
    assert "0 to do" in plan.lines()[0]


def test_a_wrong_query_shows_in_the_plan(make_recording, request_for):
    path = make_recording("a.wav")
    with pytest.raises(QueryError):
        archive_job(
            path.parent, request=request_for(query=Query(classes=("No such sound",))), options=JobOptions()
        )


def test_a_plan_counts_what_is_done_only_where_the_run_would(make_recording, request_for):
    path = make_recording("a.wav")

    def job(**asked):
        return archive_job(path.parent, request=request_for(**asked), options=JobOptions())

    assert not job().goes_on
    first = job()
    identity = RunIdentity.of(first.source, run=first.facts(), threads=1)
    open_run(identity, output=first.output, owned=first.owned)
    assert job().goes_on
    assert not job(overwrite=True).goes_on
    with pytest.raises(OccupiedError, match="query"):
        assert job(query=Query(levels=(3,))).goes_on
    open_run(identity, output=first.output, owned=first.owned, overwrite=True)
    assert job(overwrite=True).goes_on  # it has begun to, and was stopped


def test_without_a_trial_nothing_is_separated_and_the_output_is_reckoned(make_recording, request_for):
    path = make_recording("a.wav", seconds=3.0)
    plan = plan_archive(open_listing(str(path.parent)), request=request_for(query=Query(levels=(1, 2))))
    assert plan.trials == ()
    # Two levels, three seconds, 66,000 bytes a second of each channel.
    assert plan.output_bytes == 2 * 3 * 66_000 * sf.info(path).channels
    assert "as the example archive gives" in plan.lines()[3]
    assert "--trial" in plan.lines()[4]
    spans = plan_archive(open_listing(str(path.parent)), request=request_for(write="active-spans"))
    assert "unknown: --trial" in spans.lines()[3]
    record = json.loads(plan.to_json())
    assert (record["to_do"], record["engine_hours"]) == (1, None)


@pytest.mark.parametrize(("changed", "left"), [("redo", 2), ("keep", 1), ("fail", 1)])
@pytest.mark.parametrize("kind", ["folder", "manifest"])
def test_recordings_that_changed_are_counted_and_planned_as_the_run_does_them(
    make_recording, request_for, tmp_path, changed, left, kind
):
    """One is as it was, one has changed, one is new, one has failed; a manifest gives one twice."""
    paths = [make_recording(f"in/{name}.wav", seconds=1.0) for name in ("new", "changed", "failed", "same")]
    known = done(
        "changed.wav", "same.wav", failed=["failed.wav"],
        contents=[("changed.wav", "earlier"), ("same.wav", Store(paths[3]).content_tag())],
    )  # fmt: skip
    source = paths[0].parent
    if kind == "manifest":
        source = tmp_path / "m.csv"
        source.write_text("\n".join(["uri,id", *(f"{path},{path.name}" for path in (*paths, paths[0]))]))
    plan = plan_archive(open_listing(str(source)), request=request_for(changed=changed), ledger=known)
    assert (plan.to_do, plan.failed, plan.changed) == (left, 1, int(changed != "keep"))
    assert plan.done == {"redo": 1, "keep": 2, "fail": 1}[changed]
    assert plan.duplicates == int(kind == "manifest")
    lines = "\n".join(plan.lines())
    assert "1 failed" in lines
    assert ("1 of them since they were separated" in lines) == (changed != "keep")
    assert ("1 rows with the id of another" in lines) == (kind == "manifest")
    assert plan.count_as_failed == int(changed == "fail")
    assert ("will fail     1 without a try" in lines) == (changed == "fail")


@pytest.mark.parametrize("known", [None, ("a.wav",)])
def test_what_the_run_counts_as_failed_without_a_try_is_told(make_recording, request_for, tmp_path, known):
    """Two recordings of one id: the second has no place for its results."""
    paths = [make_recording(f"in/{name}.wav", seconds=1.0) for name in ("one", "other")]
    source = tmp_path / "m.csv"
    source.write_text("\n".join(["uri,id", *(f"{path},a.wav" for path in paths)]))
    ledger = done(*known) if known else None
    plan = plan_archive(open_listing(str(source)), request=request_for(), ledger=ledger)
    assert (plan.duplicates, plan.count_as_failed) == (1, 1)
    assert json.loads(plan.to_json())["count_as_failed"] == 1


def test_only_what_failed_is_planned_to_be_tried_again(make_recording, request_for):
    paths = [make_recording(f"{name}.wav", seconds=1.0) for name in "abc"]
    known = done("a.wav", failed=["b.wav"])
    plan = plan_archive(
        open_listing(str(paths[0].parent)), request=request_for(), ledger=known, retry_failed=True
    )
    assert (plan.done, plan.to_do) == (1, 1)
