"""What `uss-ray archive` says when a run has ended."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from uss_ray.cli.archive import COMMAND, show_archive
from uss_ray.errors import ConfigError, OutputError
from uss_ray.results.passed_over import PassedOver


def outcome(name: str, **values: Any) -> SimpleNamespace:
    defaults = {
        "status": "separated",
        "seconds": 2.5,
        "processing_seconds": 1.0,
        "written": 3,
        "reason": None,
    }
    return SimpleNamespace(recording_id=name, loudest=("Dog", "Rain"), **(defaults | values))


def result(**values: Any) -> Any:
    counts = {"separated": 2, "failed": 1, "unfinished": 0, "skipped": 0, "failed_before": 0, "total": 3}
    counts |= {name: values.pop(name) for name in counts.keys() & values.keys()}
    named = {name: {"count": values.pop(name, 0)} for name in ("changed", "duplicates")}
    defaults = {
        "output": "out",
        "matches": (),
        "examples": (outcome("a.wav"),),
        "failed_examples": (outcome("b.wav", status="failed", written=0, reason="no audio"),),
        "counters": SimpleNamespace(audio_seconds=5.0, unfinished_reason="disk full"),
        "summary": SimpleNamespace(stems=6, recordings=SimpleNamespace(**counts), **named),
        "summary_name": "summary.json",
        "passed_over": PassedOver(),
        "signal_number": None,
    }
    return SimpleNamespace(**(defaults | values))


def test_the_failed_come_first_with_their_reason_and_the_rest_is_counted(capsys):
    show_archive(result(), has_reports=True)
    said = capsys.readouterr().out
    assert said.index("no audio") < said.index("Dog, Rain")
    assert "Separated 2 of 3 recordings" in said
    assert "… and 1 more" in said
    assert "6 stems from 5 s of sound; failed: 1" in said
    assert "Index:   out/index/*.parquet, summary.json, failed.jsonl" in said
    assert "Reports: out/index.html, out/<recording>/report.html" in said


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"skipped": 4, "total": 7}, "4 recordings were done before"),
        ({"failed_before": 1, "total": 4}, "1 recordings failed before, and count until --retry-failed"),
        ({"changed": 3}, "3 recordings have changed since they were separated (--changed); see summary.json"),
        ({"duplicates": 5}, "5 rows of the input have the id of another"),
        ({"unfinished": 2}, "2 recordings are not done (disk full); the same command goes on."),
        ({"signal_number": 15}, "Stopped: what was in flight is finished; the same command goes on."),
    ],
)
def test_what_is_left_to_do_is_said(capsys, values, words):
    show_archive(result(**values), has_reports=False)
    said = capsys.readouterr().out
    assert words in said
    assert "Reports" not in said


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"failed_before": 2}, "error: recordings: 3 failed; see out/summary.json\n"),
        ({"failed": 0, "unfinished": 4}, "error: recordings: 4 not done; see out/summary.json\n"),
        ({"unfinished": 4}, "error: recordings: 1 failed, 4 not done; see out/summary.json\n"),
        ({"failed": 0}, ""),
    ],
)
def test_with_quiet_nothing_is_said_but_what_is_not_done(command, tmp_path, monkeypatch, values, said):
    ended = SimpleNamespace(**vars(result(**values)), exit_code=8)
    monkeypatch.setattr("uss_ray.pipelines.archive.job.separate_archive", lambda *_, **__: ended)
    ran = command("archive", tmp_path, tmp_path / "out", "--quiet")
    assert (ran.exit_code, ran.out, ran.err) == (8, "", said)


def test_a_dry_run_refuses_what_the_run_would_refuse(command, make_recording, tiny_weights, tmp_path):
    folder = make_recording("tapes/a.wav").parent
    place = tmp_path / "out" / "run.json"
    line = ("archive", folder, tmp_path / "out", "--weights", tiny_weights, "--dry-run")
    assert command(*line, "--levels", "1").exit_code == 0
    assert not place.parent.exists()
    (place.parent / "index").mkdir(parents=True)
    ran = command(*line, "--levels", "1")
    assert (ran.exit_code, ran.out) == (6, "")
    assert "or another folder (--version NAME: one beside them), found index without run.json" in ran.err
    assert command(*line, "--levels", "1", "--overwrite").exit_code == 0


def test_a_trial_is_of_a_dry_run(command):
    ran = command("archive", "in", "out", "--trial")
    assert (ran.exit_code, ran.out) == (2, "")
    assert ran.err == "error: --trial: expected --dry-run beside it, found none\n"


def test_what_a_text_was_taken_for_is_said_before_the_job_starts(
    command, make_recording, tiny_weights, tmp_path, monkeypatch
):
    def run_job(*_args: Any, **_options: Any) -> None:
        raise OutputError("the job", expected="nothing", found="its start")

    monkeypatch.setattr("uss_ray.pipelines.archive.job.run_job", run_job)
    folder = make_recording("tapes/a.wav").parent
    ran = command("archive", folder, tmp_path / "out", "--text", "a dog", "--weights", tiny_weights)
    assert ran.err.index("'a dog' is taken as Dog") < ran.err.index("error: the job: expected nothing")


@pytest.mark.parametrize("name", ["", "..", "../x", "/x", "a/./b"])
def test_a_version_lies_in_the_output(name: str) -> None:
    with pytest.raises(
        ConfigError, match=r"uss-ray archive --version: expected a folder's name, below OUTPUT"
    ):
        COMMAND.read(["in", "out", "--version", name])
    asked, _ = COMMAND.read(["in", "out/", "--version", "a/b"])
    assert asked.request.output == "out/a/b"
