"""The plan against the truth: archives whose lengths are known, and a job that was really done."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from uss_ray.api.request import Query, request_with
from uss_ray.api.separator import RecordingSeparator
from uss_ray.errors import QueryError
from uss_ray.pipelines.archive import plan_trial
from uss_ray.pipelines.archive.plan import plan_archive
from uss_ray.pipelines.archive.plan_sampling import Estimate, Reservoir, estimate_rate, estimate_total
from uss_ray.pipelines.archive.plan_trial import run_trials
from uss_ray.records import Recording, recording_key
from uss_ray.sources.listing import open_listing


@pytest.fixture
def request_for(tiny_weights, tmp_path):
    def make(**changes):
        values = {
            "output": str(tmp_path / "out"),
            "query": Query(levels=(1,)),
            "weights": str(tiny_weights),
            "device": "cpu",
        }
        return request_with(**(values | changes))

    return make


def test_a_reservoir_is_fair_and_repeats_itself():
    kept = np.zeros(50)
    for seed in range(200):
        reservoir = Reservoir(5, seed=seed)
        for start in range(0, 50, 20):
            reservoir.offer(pa.table({"number": range(start, min(50, start + 20))}))
        rows = [row["number"] for row in reservoir.rows()]
        assert len(set(rows)) == 5
        kept[rows] += 1
    assert reservoir.seen == 50
    assert abs(kept - 20).max() < 5 * math.sqrt(18)
    twins = []
    for _ in range(2):
        twin = Reservoir(5, seed=1)
        twin.offer(pa.table({"number": range(1000)}))
        twins.append(twin.rows())
    assert twins[0] == twins[1]


def test_a_reservoir_with_room_keeps_everything():
    reservoir = Reservoir(10, seed=0)
    reservoir.offer(pa.table({"number": range(3)}))
    assert sorted(row["number"] for row in reservoir.rows()) == [0, 1, 2]


def test_the_error_of_an_estimate_is_right_nineteen_times_in_twenty():
    random = np.random.default_rng(0)
    lengths = random.gamma(2.0, 30.0, 3000)
    inside = 0
    for _ in range(300):
        drawn = random.choice(lengths, 100, replace=False)
        estimate = estimate_total(list(drawn), sizes=[None] * 100, count=3000, total_size=None)
        inside += abs(estimate.value - lengths.sum()) <= estimate.error
    assert 0.90 < inside / 300 < 0.985


def test_sizes_sharpen_the_estimate_when_lengths_follow_them():
    random = np.random.default_rng(0)
    lengths = random.gamma(2.0, 30.0, 3000)
    sizes = lengths * 32_000 + 44
    drawn = random.choice(3000, 100, replace=False)
    told = {"count": 3000, "total_size": float(sizes.sum())}
    sharp = estimate_total(list(lengths[drawn]), sizes=list(sizes[drawn]), **told)
    blunt = estimate_total(list(lengths[drawn]), sizes=[None] * 100, count=3000, total_size=None)
    assert sharp.error < blunt.error / 100
    assert sharp.value == pytest.approx(lengths.sum(), rel=1e-4)


def test_a_sample_of_all_is_no_estimate_and_a_sample_of_one_knows_no_error():
    assert estimate_total([1.0, 3.0], sizes=[1, 2], count=2, total_size=3.0) == Estimate(value=4.0)
    assert estimate_total([2.0], sizes=[None], count=9, total_size=None) == Estimate(
        value=18.0, error=math.inf
    )
    assert estimate_rate([6.0], sizes=[3.0]) == Estimate(value=2.0, error=math.inf)
    assert estimate_rate([2.0, 4.0], sizes=[1.0, 2.0]) == Estimate(value=2.0)


def test_counts_and_sizes_are_exact_and_lengths_come_from_all_headers_of_a_small_archive(
    make_recording, request_for
):
    paths = [make_recording(f"{number}.wav", seconds=1.0 + number, sample_rate=16_000) for number in range(5)]
    (paths[0].parent / "letter.wav").write_text("this is a letter")
    plan = plan_archive(
        open_listing(str(paths[0].parent)), request=request_for(), done=[recording_key("4.wav"), 7], trials=0
    )
    assert (plan.recordings, plan.done, plan.to_do) == (6, 1, 5)
    assert plan.bytes_to_do == sum(path.stat().st_size for path in paths[:4]) + len("this is a letter")
    assert plan.hours == Estimate(value=pytest.approx(10.0 / 3600))
    assert (plan.sampled, plan.unreadable) == (5, 1)
    assert plan.output_bytes is plan.engine_hours is None
    assert "from all 5 headers, 1 of them unreadable" in "\n".join(plan.lines())


def test_a_larger_archive_is_estimated_with_an_error(make_recording, request_for):
    for number in range(40):
        path = make_recording(
            f"{number}.wav", seconds=0.2 + number / 100, sample_rate=8000 * (1 + number % 2)
        )
    plan = plan_archive(open_listing(str(path.parent)), request=request_for(), sample=20, trials=0)
    truth = sum(0.2 + number / 100 for number in range(40)) / 3600
    assert plan.sampled == 20
    assert 0 < plan.hours.error < truth / 4
    assert abs(plan.hours.value - truth) < 2 * plan.hours.error
    assert "±" in plan.lines()[2]


def test_lengths_of_a_manifest_are_taken_as_told_and_no_header_is_read(tmp_path, request_for):
    (tmp_path / "m.csv").write_text("uri,duration_seconds\nnowhere/a.wav,1800\nnowhere/b.wav,5400\n")
    plan = plan_archive(open_listing(str(tmp_path / "m.csv")), request=request_for(), trials=0)
    assert plan.hours == Estimate(value=2.0)
    assert (plan.sampled, plan.without_size) == (0, 2)
    lines = "\n".join(plan.lines())
    assert "2.0 h, as the listing says" in lines
    assert "2 of unknown size" in lines


def test_what_is_told_and_what_is_sampled_add_up(make_recording, tmp_path, request_for):
    known = make_recording("known.wav", seconds=2.0)
    manifest = tmp_path / "m.jsonl"
    rows = [{"uri": str(known)}, {"uri": "nowhere.wav", "duration_seconds": 3598}]
    manifest.write_text("\n".join(map(json.dumps, rows)))
    plan = plan_archive(open_listing(str(manifest)), request=request_for(), trials=0)
    assert plan.hours == Estimate(value=pytest.approx(1.0))
    assert plan.hours_told == pytest.approx(3598 / 3600)


@pytest.mark.parametrize(
    "changes", [{}, {"stem_format": "wav", "residual": False, "report": False}, {"write": "index-only"}]
)
def test_the_planned_output_is_what_the_job_then_writes(make_recording, request_for, tmp_path, changes):
    for number in range(3):
        path = make_recording(f"{number}.wav", seconds=2.0, sample_rate=16_000)
    request = request_for(**changes)
    plan = plan_archive(open_listing(str(path.parent)), request=request, trials=2)
    assert not Path(request.output).exists()
    separator = RecordingSeparator(request)
    for number in range(3):
        name = f"{number}.wav"
        separator.separate(Recording(recording_uri=str(path.parent / name), recording_id=name))
    written = sum(file.stat().st_size for file in Path(request.output).rglob("*") if file.is_file())
    assert plan.output_bytes.value == pytest.approx(written, rel=0.05)
    assert len(plan.trials) == 2
    stems = {"index-only": 0}.get(request.write.write, 3 if request.write.residual is False else 4)
    assert {trial.stems for trial in plan.trials} == {stems}
    taken = sum(trial.took_seconds for trial in plan.trials) / 4.0 * 6.0 / 3600
    assert plan.engine_hours.value == pytest.approx(taken)
    assert "excerpts of at most 30 s" in "\n".join(plan.lines())


def test_a_trial_takes_the_beginning_of_a_long_recording_and_passes_over_bad_ones(
    make_recording, request_for, tmp_path, monkeypatch
):
    monkeypatch.setattr(plan_trial, "EXCERPT_SECONDS", 3)
    long = make_recording("long.wav", seconds=5.5, sample_rate=11_025, channels=2)
    letter = tmp_path / "letter.wav"
    letter.write_text("this is a letter")
    drawn = [
        Recording(recording_uri=str(path), recording_id=path.name)
        for path in (letter, tmp_path / "absent.wav", long, long)
    ]
    trials = run_trials(drawn, request=request_for(), wanted=1)
    assert [(trial.recording_id, trial.seconds) for trial in trials] == [("long.wav", 3.0)]
    assert trials[0].took_seconds > 0
    assert run_trials(drawn[:2], request=request_for(), wanted=1) == []


def test_nothing_to_do_takes_nothing(make_recording, request_for):
    path = make_recording("a.wav")
    plan = plan_archive(
        open_listing(str(path.parent)), request=request_for(weights="no such"), done=[recording_key("a.wav")]
    )
    assert (plan.to_do, plan.hours, plan.output_bytes) == (0, None, None)
    assert "0 to do" in plan.lines()[0]


def test_a_wrong_query_shows_in_the_plan(make_recording, request_for):
    path = make_recording("a.wav")
    with pytest.raises(QueryError):
        plan_archive(
            open_listing(str(path.parent)), request=request_for(query=Query(classes=("No such sound",)))
        )


def test_the_plan_is_json_even_where_an_error_is_not_known(make_recording, request_for):
    path = make_recording("a.wav", seconds=1.0)
    plan = plan_archive(open_listing(str(path.parent)), request=request_for(), trials=1)
    record = json.loads(plan.to_json())
    assert record["to_do"] == 1
    assert record["hours"] == {"value": pytest.approx(1 / 3600), "error": 0.0}
    assert record["engine_hours"]["value"] > 0
    assert record["engine_hours"]["error"] is None
    assert record["trials"][0]["recording_id"] == "a.wav"
    assert "(error unknown)" in "\n".join(plan.lines())
    told = replace(plan, output_bytes=Estimate(value=2_500_000.0, error=10_000.0))
    assert "2.5 MB ± 10.0 kB" in "\n".join(told.lines())
