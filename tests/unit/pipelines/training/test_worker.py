from __future__ import annotations

from pathlib import Path

import pytest

from tests.synthetic_set import SyntheticSet, training_of
from uss_ray.pipelines.training.local import train_here
from uss_ray.pipelines.training.progress import look_at
from uss_ray.pipelines.training.request import read_request
from uss_ray.pipelines.training.worker import export
from uss_ray.store.store import Store
from uss_ray.weights.folder import read_folder


@pytest.mark.slow
def test_a_finished_run_is_shown_and_exported(synthetic_set: SyntheticSet, tmp_path: Path) -> None:
    request = training_of(synthetic_set, tmp_path / "run").replace(licence="CC0-1.0, of synthetic sounds")
    train_here(request)
    seen = look_at(Store(tmp_path / "run"))
    assert (seen.name, seen.step, seen.steps) == ("small", 6, 6)
    assert seen.state == "Finished; last checkpoint step-000000006."
    assert read_request(Store(tmp_path / "run")).recipe == request.recipe
    weights = read_folder(export(request, tmp_path / "weights", step=3))
    assert weights.source is not None
    assert weights.source["step"] == 3
    assert weights.source["licence"] == request.licence
    assert weights.source["hardware"].startswith("1 × ")
    card = (tmp_path / "weights" / "MODEL_CARD.md").read_text()
    assert "Licences of the recordings: CC0-1.0, of synthetic sounds" in card
    assert f"Trained on {weights.source['hardware']}." in card
    assert weights.source["anchors_sha256"][:16] in card
