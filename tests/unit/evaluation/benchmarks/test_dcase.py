from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.unit.evaluation.benchmarks.conftest import drawn, mixed, tone
from uss_ray.errors import DataError
from uss_ray.evaluation.benchmarks.known import find_benchmark
from uss_ray.evaluation.request import EvaluationRequest
from uss_ray.evaluation.run import Evaluator, open_list
from uss_ray.store.store import Store

RATE = 32_000


def four_channels(path: Path, first: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.stack([first, *np.full((3, len(first)), 0.25)], axis=1), RATE, subtype="FLOAT")


def mono(path: Path, sound: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, RATE, subtype="FLOAT")


@pytest.fixture
def of_2026(tmp_path: Path) -> Path:
    """A scene with a label twice, one whose name begins with another's, and an empty one."""
    folder = tmp_path / "data" / "dev_set" / "synthesized" / "test"
    bell, cough, again = (tone(hertz, rate=RATE, seconds=2.0, amplitude=0.1) for hertz in (400, 700, 1100))
    four_channels(folder / "soundscape" / "s_1.wav", bell + cough + again)
    for name, sound in (("s_1_Doorbell", bell), ("s_1_0_Cough", cough), ("s_1_1_Cough", again)):
        mono(folder / "oracle_target" / f"{name}.wav", sound)
    four_channels(folder / "soundscape" / "s_12.wav", bell)
    mono(folder / "oracle_target" / "s_12_Doorbell.wav", bell)
    four_channels(folder / "soundscape" / "s_3.wav", 0.001 * bell)
    return tmp_path / "data"


def test_the_first_channel_is_heard_a_label_may_come_twice_and_a_scene_be_empty(of_2026: Path) -> None:
    listed = drawn("dcase2026", of_2026)
    assert [item.item_id for item in listed.items] == ["s_1", "s_12", "s_3"]
    item = mixed(listed, of_2026)
    assert list(item.targets) == ["Cough", "Cough (2)", "Doorbell"]
    np.testing.assert_allclose(item.mixture, np.sum(list(item.targets.values()), axis=0), atol=1e-6)
    assert not mixed(listed, of_2026, 2).targets
    found = find_benchmark("dcase2026").check(Store(of_2026), "test")
    assert (found.expected, found.found, found.labels["Cough"]) == (7, 7, 2)


def test_scenes_are_scored_by_the_labels_of_the_challenge_alone(
    of_2026: Path, two_means: Path, tmp_path: Path
) -> None:
    request = EvaluationRequest(
        benchmark="dcase2026", data=str(of_2026), output=str(tmp_path / "run"), weights=str(two_means),
        queries=("oracle",),
    )  # fmt: skip
    scored = open_list(request)
    rows = Evaluator(request=request, scored=scored).rows(scored.items)
    events = {row.item_id: row for row in rows if row.query == "events"}
    assert not events["s_1"].found  # the rain that these weights hear everywhere is none of the labels
    scores = events["s_1"].scores
    assert (scores["ca_sdri"], scores["capi_sdri"], scores["false_stems"]) == (0.0, 0.0, 0.0)
    assert (scores["residual"], scores["missed"]) == pytest.approx((1.0, 1.0), abs=1e-3)
    assert not events["s_1"].counts  # when they sound is not told
    assert len(events["s_1"].true) == 3
    assert events["s_3"].undefined == ("ca_sdri", "capi_sdri")
    assert not any(row.query.startswith("level") for row in rows)
    oracle = [row for row in rows if row.query == "oracle"]
    assert [(row.item_id, row.label) for row in oracle] == [
        ("s_1", "Cough"), ("s_1", "Cough (2)"), ("s_1", "Doorbell"), ("s_12", "Doorbell"),
    ]  # fmt: skip
    # two sounds of one class are two examples
    assert oracle[0].scores["level"] != oracle[1].scores["level"]


def test_names_that_are_none_and_layouts_of_another_year_are_refused(of_2026: Path) -> None:
    with pytest.raises(DataError, match="expected scenes in WAV, found none"):
        drawn("dcase2025", of_2026)
    target = of_2026 / "dev_set" / "synthesized" / "test" / "oracle_target" / "s_12_Owl.wav"
    mono(target, np.zeros(10))
    with pytest.raises(DataError, match="expected a target named <scene>_<Label>"):
        drawn("dcase2026", of_2026)
