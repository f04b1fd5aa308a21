from __future__ import annotations

import pytest

from uss_ray.errors import ConfigError
from uss_ray.pipelines.training.options import TrainOptions


@pytest.mark.parametrize(("said", "meant"), [("0", (0, 0)), (4, (4, 4)), ("1:8", (1, 8))])
def test_workers_are_a_number_or_a_range(said, meant):
    assert TrainOptions(workers=said).worker_range == meant


@pytest.mark.parametrize("said", ["-1", "8:1", "0:4", "many", "1:2:3", ""])
def test_other_words_are_refused(said):
    with pytest.raises(ConfigError, match="workers: expected N or MIN:MAX"):
        TrainOptions(workers=said)
