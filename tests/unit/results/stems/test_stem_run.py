from __future__ import annotations

import numpy as np
import pytest

from tests.unit.results.conftest import RATE, stem_run
from uss_ray.results.blocks import Geometry, StemRequest


@pytest.mark.parametrize(("dbfs", "peak"), [(-70.0, 10**-3.5), (-20.0, 0.1), (0.0, 1.0)])
def test_a_stem_is_heard_above_its_threshold(run_facts, dbfs, peak):
    run = stem_run([StemRequest(key="/m/1", label="Dog")], run_facts, silent_below_dbfs=dbfs)
    assert run.heard_above_peak == pytest.approx(peak)


def test_without_a_threshold_even_silence_is_heard(run_facts):
    run = stem_run([StemRequest(key="/m/1", label="Dog")], run_facts, silent_below_dbfs=None)
    assert run.heard_above_peak < 0.0


@pytest.mark.parametrize(
    ("write", "seconds"), [("stems", 100.0), ("active-spans", 100.0), ("index-only", 90.0)]
)
def test_a_report_plays_all_of_a_recording_unless_no_sound_is_to_be_kept(
    tmp_path, recording_facts, run_facts, write, seconds
):
    run = stem_run([StemRequest(key="/m/1", label="Dog")], run_facts, write=write)
    with run.painter(Geometry(RATE, 1), recording=recording_facts, root=tmp_path) as painter:
        painter.add(np.zeros((1, 100 * RATE), np.float32))
        assert painter.result({}).heard_seconds == seconds
    assert [path.name for path in tmp_path.rglob("*.*") if path.is_file()] == ["report.mp3"]


def test_without_a_report_nothing_is_painted(tmp_path, recording_facts, run_facts):
    run = stem_run([StemRequest(key="/m/1", label="Dog")], run_facts, draw=False)
    assert run.painter(Geometry(RATE, 1), recording=recording_facts, root=tmp_path) is None
