from __future__ import annotations

import pytest

from uss_ray.api.request import Query
from uss_ray.errors import QueryError
from uss_ray.pipelines.archive import plan_trial
from uss_ray.pipelines.archive.plan_trial import run_trials
from uss_ray.records import Recording


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_trial_tells_what_was_written_and_leaves_the_output_alone(make_recording, request_for, tmp_path):
    path = make_recording("a.wav", seconds=2.0)
    drawn = [Recording(recording_uri=str(path), recording_id=name) for name in ("a.wav", "b.wav", "c.wav")]
    trials = run_trials(drawn, request=request_for(), wanted=2)
    assert [trial.recording_id for trial in trials] == ["a.wav", "b.wav"]
    assert trials[0].stems == trials[1].stems > 0
    assert trials[0].stem_bytes == trials[1].stem_bytes > 0
    assert trials[0].other_bytes > 0
    assert not (tmp_path / "out").exists()


def test_a_wrong_query_is_no_fault_of_a_recording(make_recording, request_for):
    drawn = [Recording(recording_uri=str(make_recording("a.wav")), recording_id="a.wav")]
    with pytest.raises(QueryError):
        run_trials(drawn, request=request_for(query=Query(classes=("No such sound",))), wanted=1)
