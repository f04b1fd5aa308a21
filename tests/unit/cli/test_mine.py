"""What `uss-ray mine` says when a run has ended."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from uss_ray.cli.main import run
from uss_ray.cli.mine import show_mining
from uss_ray.errors import ConfigError


def result(**values: Any) -> Any:
    totals = SimpleNamespace(
        rejects={"silent": 3}, anchors=40, classes=7, clips=30, shards=2, shard_bytes=1_500_000
    )
    summary = {
        "totals": totals,
        "failures": {"no audio of that name": 2},
        "broken_containers": ("bad.tar: cut off",),
        "mined": 30,
        "audio_hours": 0.5,
        "clips_per_second": 12.34,
        "missing": 2,
        "failed": 3,
        "skipped": 0,
        "changed": {"count": 0},
        "failed_before": 0,
        "unfinished": 0,
    }
    summary |= {name: values.pop(name) for name in summary.keys() & values.keys()}
    defaults = {
        "output": "out",
        "summary": SimpleNamespace(**summary),
        "summary_name": "summary.json",
        "counters": SimpleNamespace(unfinished_reason="the store is away"),
        "signal_number": None,
        "report": "out/report.html",
    }
    return SimpleNamespace(**(defaults | values))


def test_rejects_failures_totals_and_places_are_said(capsys):
    show_mining(result())
    said = capsys.readouterr().out
    for words in (
        "silent",
        "2 × no audio of that name",
        "Broken container: bad.tar: cut off",
        "Mined 30 clips, 0.50 h of sound, 12.3 clips/s; missing: 2; broken: 1",
        "40 anchors of 7 classes from 30 clips, 2 shards, 1.5 MB",
        "Anchors: out/anchors/*.parquet, manifest.json, summary.json",
        "Report:  out/report.html",
    ):
        assert words in said


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"skipped": 9}, "9 clips were done before"),
        ({"failed_before": 1}, "1 clips failed before, and count until --retry-failed"),
        ({"unfinished": 5}, "5 clips are not done (the store is away); the same command goes on."),
        ({"signal_number": 2}, "Stopped: what was in flight is finished; the same command goes on."),
    ],
)
def test_what_is_left_to_do_is_said(capsys, values, words):
    show_mining(result(**values, report=None))
    said = capsys.readouterr().out
    assert words in said
    assert "Report:" not in said


def test_a_command_without_audio_is_refused(capsys):
    assert run(["mine", "a.csv", "b"]) == ConfigError.exit_code
    assert "SEGMENTS_CSV" in capsys.readouterr().err
