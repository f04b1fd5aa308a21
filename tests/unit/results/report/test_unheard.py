"""What has no lane is named, with what became of it."""

from __future__ import annotations

import dataclasses
import re

import pytest

from uss_ray.results.index.table import IndexRow, RecordingFacts, RunFacts, blank_row
from uss_ray.results.report.unheard import unheard_markup


@pytest.fixture
def blank(recording_facts: RecordingFacts, run_facts: RunFacts) -> IndexRow:
    return blank_row(recording_facts, run=run_facts)


def texts(markup: str) -> list[str]:
    return [" ".join(re.sub("<[^>]+>", "", line).split()) for line in markup.splitlines() if line.strip()]


def test_every_state_without_a_lane_is_told(blank: IndexRow) -> None:
    rows = [
        dataclasses.replace(blank, label=label, kind="class", status=status, **facts)
        for label, status, facts in (
            ("Dog", "detected", {}),
            ("Owl", "failed", {"reason": "Owl: expected <a sound>"}),
            ("Cat", "absent", {"probability": 0.2}),
            ("Cow", "silent", {"probability": 0.1}),
            ("Bat", "unknown", {}),
        )
    ]
    rows.append(dataclasses.replace(blank, label="Residual", kind="residual", status="silent"))
    found = texts(unheard_markup(rows, heard=True))
    assert "Owl failed: Owl: expected &lt;a sound&gt;" in found
    assert found.index("Cow silent 0.10") < found.index("Cat 0.20")
    assert "1 that the weights cannot know" in found
    assert "Nothing else is left: the rest is silent." in found
    assert not any("Dog" in text for text in found)


def test_nothing_is_told_where_all_was_heard(blank: IndexRow) -> None:
    assert texts(unheard_markup([dataclasses.replace(blank, status="detected")], heard=True)) == []
    assert texts(unheard_markup([], heard=False)) == ["Nothing that was asked for is in this recording."]
