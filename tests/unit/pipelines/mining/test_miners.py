from __future__ import annotations

from pathlib import Path

import pytest

from uss_ray.errors import WeightsError
from uss_ray.mining.clip_miner import ClipMiner
from uss_ray.pipelines.mining.miners import load_checked_weights, load_vocabulary, make_miner
from uss_ray.pipelines.mining.request import MiningRequest


def request_for(weights: Path, **changes: object) -> MiningRequest:
    values = {"segments": ("a.csv",), "audio": "audio", "output": "out", "weights": str(weights)}
    return MiningRequest(**{**values, "device": "cpu", **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def with_detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from uss_ray.models.panns import Panns
    from uss_ray.models.panns_settings import PannsConfig
    from uss_ray.weights.folder import save_weights, specify

    tagger = Panns(PannsConfig(block_channels=(2, 4), embedding_size=4, mel_bins=16, head="frame"))
    networks = {"tagger": tagger.eval()}
    folder = tmp_path_factory.mktemp("weights") / "small"
    return save_weights(folder, networks, name="small", specifications=specify(networks, segment_seconds=0.5))


def test_a_tagger_that_tells_frames_apart_makes_a_miner(with_detector: Path) -> None:
    assert load_checked_weights(request_for(with_detector)).name == "small"
    assert isinstance(make_miner(request_for(with_detector)), ClipMiner)


def test_weights_without_a_detector_are_refused(tiny_weights: Path) -> None:
    with pytest.raises(WeightsError, match="weights tiny: expected a detector, found none"):
        load_checked_weights(request_for(tiny_weights))


def test_classes_of_a_request_are_its_own(tmp_path: Path) -> None:
    classes = tmp_path / "two.csv"
    classes.write_text("index,mid,display_name\n0,/m/0bt9lr,Dog\n1,/m/06mb1,Rain\n")
    vocabulary = load_vocabulary(request_for(tmp_path, class_list=str(classes)))
    assert list(vocabulary.classes.ids) == ["/m/0bt9lr", "/m/06mb1"]
    assert len(load_vocabulary(request_for(tmp_path)).classes.ids) == 527
