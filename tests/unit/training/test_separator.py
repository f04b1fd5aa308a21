from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.kept_run import Kept
from tests.synthetic_set import LABELS, RATE, SyntheticSet, small_recipe, sound_of
from uss_ray.errors import ConfigError, DataError
from uss_ray.evaluation.metrics import sdr_improvement
from uss_ray.training.fit import Fit
from uss_ray.training.norms import settle_norms
from uss_ray.training.separator import SeparatorTask, drawn_classes

MEANS = {"own": 0.0, "masked": 0.0, "class_mean": 1.0}


def task_of(synthetic_set: SyntheticSet, **values: object) -> SeparatorTask:
    return SeparatorTask(small_recipe(**values), synthetic_set.open(), vocabulary=synthetic_set.vocabulary)


def test_a_lane_is_mixtures_and_what_steers_to_their_targets(synthetic_set: SyntheticSet) -> None:
    task = task_of(synthetic_set, mixtures={"conditions": MEANS})
    batch = task.load(3, 1)
    assert batch.mixtures.shape == batch.targets.shape == (2, 4000)
    means = synthetic_set.open().class_means("soft")
    for item, bottleneck in zip(batch.items, batch.bottlenecks, strict=True):
        assert (bottleneck.numpy() == means[item.condition_class]).all()
        assert item.step == 3
        assert item.lane == 1
    again = task_of(synthetic_set, mixtures={"conditions": MEANS}).load(3, 1)
    assert torch.equal(batch.mixtures, again.mixtures)
    assert task.names(batch)[0].startswith("step 3 lane 1 item 0: anchors ")


def test_a_masked_condition_is_zero_outside_the_class(synthetic_set: SyntheticSet) -> None:
    masked = {"own": 0.0, "masked": 1.0, "class_mean": 0.0}
    batch = task_of(synthetic_set, mixtures={"conditions": masked}).load(0, 0)
    for item, bottleneck in zip(batch.items, batch.bottlenecks, strict=True):
        assert torch.count_nonzero(bottleneck) == 1
        assert bottleneck[item.condition_class] > 0.8


def test_an_adaptor_is_trained_with_the_separator(synthetic_set: SyntheticSet) -> None:
    adaptor = {"bottleneck_size": 4, "hidden_size": 6, "condition_size": 5}
    task = task_of(
        synthetic_set, query={"adaptor": adaptor}, separator={"condition_size": 5}, fit={"steps": 3}
    )
    before = {name: value.clone() for name, value in task.module.state_dict().items()}
    Fit(task, settings=task.recipe.fit, lanes=range(2), lane_count=2, keeper=Kept()).run()
    unchanged = {name for name, value in task.module.state_dict().items() if torch.equal(value, before[name])}
    # Exactly what has no statistics and no gradient stays as it was.
    assert not {name for name in unchanged if name.startswith("adaptor")}
    assert not {name for name in unchanged if name.startswith("separator.film")}


def test_leaf_classes_can_be_drawn_more_often() -> None:
    subtrees = np.eye(4, dtype=bool)
    subtrees[0, [1, 3]] = True
    assert drawn_classes([0, 1, 2], subtrees, leaf_draws=3) == [0, 1, 1, 1, 2, 2, 2]
    assert drawn_classes([0, 2], subtrees, leaf_draws=2) == [0, 0, 2, 2]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"samples": 4001}, "samples: expected at most the 4000 of an anchor, found 4001"),
        ({"separator": {"condition_size": 5}}, "condition_size: expected 4, found 5"),
        ({"separator": {"sample_rate": 16000}}, "that of the anchors, 8000, found 16000"),
        ({"plan": {"batch_size": 2}}, "expected two items or more a lane"),
        (
            {"query": {"adaptor": {"bottleneck_size": 3, "hidden_size": 2, "condition_size": 4}}},
            "adaptor.bottleneck_size: expected 4, found 3",
        ),
    ],
)
def test_a_recipe_that_does_not_fit_the_anchors_is_refused(
    synthetic_set: SyntheticSet, values: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        task_of(synthetic_set, **values)


def test_conditions_that_the_anchors_have_not_name_the_option_of_mining(synthetic_set: SyntheticSet) -> None:
    with pytest.raises(DataError, match="mined with --conditions latent"):
        task_of(synthetic_set, query={"kind": "latent"})


@pytest.mark.slow
def test_four_classes_are_learnt_by_their_conditions_and_what_is_absent_becomes_silent(
    synthetic_set: SyntheticSet, tmp_path: Path
) -> None:
    task = task_of(
        synthetic_set,
        fit={"steps": 300, "checkpoint_steps": 300, "optimiser": {"learning_rate": 1e-2, "warmup_steps": 10}},
        plan={"batch_size": 8, "lanes": 1},
        mixtures={"absent": 0.2},
        loss={"kind": "snr"},
        separator={"channels": [4, 8, 8], "bottleneck_channels": 8, "stem_channels": 4},
        samples=2048,
    )
    Fit(task, settings=task.recipe.fit, lanes=[0], lane_count=1, keeper=Kept()).run()
    unseen = iter(range(1000, 2000))
    settle_norms(task.module, lambda _: task.loss(task.load(next(unseen), 0)), batches=20)
    rng = np.random.default_rng(9)
    means = torch.stack([torch.from_numpy(task.class_means[index]) for index in range(len(LABELS))])
    asked, shuffled, absent_db = [], [], []
    for target in range(4):
        for other in {0, 1, 2, 3} - {target}:
            sounds = [sound_of(index, rng)[: RATE // 2] for index in (target, other)]
            source, partner = (0.05 * sound / np.sqrt(np.mean(sound**2)) for sound in sounds)
            mixture = (source + partner).astype(np.float32)[None]
            with torch.inference_mode():
                estimates = task.module.separator(torch.from_numpy(mixture).expand(4, -1), means).numpy()
            nobody = next(iter({0, 1, 2, 3} - {target, other}))
            gains = [
                float(sdr_improvement(estimates[row : row + 1], source[None].astype(np.float32), mixture)[0])
                for row in (target, other, nobody)
            ]
            asked.append(gains[0])
            shuffled += gains[1:]
            absent_db.append(10 * np.log10(np.mean(estimates[nobody] ** 2) / np.mean(mixture**2)))
    assert np.mean(asked) >= 10
    assert np.mean(shuffled) < 4
    assert np.mean(absent_db) <= -20
