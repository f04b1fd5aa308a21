from __future__ import annotations

import pytest

from tests.unit.results.conftest import stem_run
from uss_ray.results.blocks import StemRequest


@pytest.mark.parametrize(("dbfs", "peak"), [(-70.0, 10**-3.5), (-20.0, 0.1), (0.0, 1.0)])
def test_a_stem_is_heard_above_its_threshold(run_facts, dbfs, peak):
    run = stem_run([StemRequest(key="/m/1", label="Dog")], run_facts, silent_below_dbfs=dbfs)
    assert run.heard_above_peak == pytest.approx(peak)


def test_without_a_threshold_even_silence_is_heard(run_facts):
    run = stem_run([StemRequest(key="/m/1", label="Dog")], run_facts, silent_below_dbfs=None)
    assert run.heard_above_peak < 0.0
