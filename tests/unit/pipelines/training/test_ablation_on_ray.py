from __future__ import annotations

from pathlib import Path

import pytest

from tests.synthetic_set import SyntheticSet
from tests.unit.pipelines.training.test_ablation import ablation_of
from uss_ray.pipelines.training.ablation import ablate
from uss_ray.pipelines.training.ablation_request import AblationOptions

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def test_runs_of_an_ablation_share_the_cluster(
    synthetic_set: SyntheticSet, tmp_path: Path, nothing_held_afterwards: None
) -> None:
    request = ablation_of(synthetic_set, tmp_path, seeds=1)
    summaries = ablate(request, AblationOptions(workers=2, cpus_per_worker=0.5))
    assert [(one.arm, one.finished, one.failed) for one in summaries] == [
        ("base", 1, 0),
        ("snr", 1, 0),
        ("wild", 0, 1),
    ]
    assert "training step 1: expected a finite loss" in (tmp_path / "out" / "ablation.md").read_text()
