from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.kept_run import Kept
from tests.synthetic_set import LABELS, RATE, SyntheticSet, small_recipe, sound_of
from uss_ray.errors import ConfigError, DataError
from uss_ray.evaluation.metrics import sdr_improvement
from uss_ray.models.panns import Panns
from uss_ray.models.panns_settings import PannsConfig
from uss_ray.training.fit import Fit
from uss_ray.training.norms import settle_norms
from uss_ray.training.separator import SeparatorTask, drawn_classes
from uss_ray.weights.folder import read_folder

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


def test_two_that_are_asked_for_together_are_steered_to_by_the_mean_of_both(
    synthetic_set: SyntheticSet,
) -> None:
    mixtures = {"two_sources": 0, "three_sources": 1, "couples": 1, "conditions": MEANS}
    batch = task_of(synthetic_set, mixtures=mixtures).load(0, 0)
    means = synthetic_set.open().class_means("soft")
    for item, bottleneck in zip(batch.items, batch.bottlenecks, strict=True):
        assert item.companion is not None
        wanted = (means[item.condition_class] + means[item.companion_class]) / 2
        np.testing.assert_allclose(bottleneck.numpy(), wanted, rtol=1e-6)


FRONT_END = {"sample_rate": RATE, "window_samples": 256, "hop_samples": 80, "max_hertz": 3500.0}
CNN = FRONT_END | {
    "architecture": "panns",
    "classes": 4,
    "block_channels": [2, 4],
    "embedding_size": 5,
    "mel_bins": 16,
}
HTSAT = FRONT_END | {
    "architecture": "htsat",
    "classes": 4,
    "channels": 4,
    "stage_blocks": [1, 1],
    "stage_heads": [1, 2],
    "mel_bins": 16,
    "image_size": 64,
}


def adaptor(size: int) -> dict[str, int]:
    return {"bottleneck_size": size, "hidden_size": 6, "condition_size": 3}


# A query net: its settings, the length of its conditions, what is trained beside the separator, and what of that has no
# part in a condition.
QUERY_NETS = {
    "hard": ({"kind": "hard"}, 4, (), ()),
    "soft": ({"kind": "soft"}, 4, (), ()),
    "latent": ({"kind": "latent"}, 4, (), ()),
    "hard, adaptor": ({"kind": "hard", "adaptor": adaptor(4)}, 3, ("adaptor",), ()),
    "soft, adaptor": ({"adaptor": adaptor(4)}, 3, ("adaptor",), ()),
    "latent, adaptor": ({"kind": "latent", "adaptor": adaptor(4)}, 3, ("adaptor",), ()),
    "soft, adaptor, shortcut": ({"adaptor": adaptor(4), "shortcut": True}, 7, ("adaptor",), ()),
    "soft, finetuned": ({"trunk": "finetuned"}, 4, ("query",), ()),
    "latent, finetuned": ({"kind": "latent", "trunk": "finetuned"}, 4, ("query",), ("query.classify",)),
    "latent, finetuned, shortcut": (
        {"kind": "latent", "trunk": "finetuned", "shortcut": True},
        8,
        ("query",),
        ("query.classify",),
    ),
    "latent, finetuned, adaptor": (
        {"kind": "latent", "trunk": "finetuned", "adaptor": adaptor(4)},
        3,
        ("query", "adaptor"),
        ("query.classify",),
    ),
    "soft, scratch": ({"trunk": "scratch"}, 4, ("query",), ()),
    "latent, scratch": (
        {"kind": "latent", "trunk": "scratch", "network": CNN},
        5,
        ("query",),
        ("query.classify",),
    ),
    "soft, scratch, shortcut": ({"trunk": "scratch", "network": CNN, "shortcut": True}, 8, ("query",), ()),
    "soft, random": ({"trunk": "random", "network": CNN}, 4, ("query",), ("query",)),
    "latent, random, adaptor, shortcut": (
        {"kind": "latent", "trunk": "random", "adaptor": adaptor(4), "shortcut": True},
        7,
        ("query", "adaptor"),
        ("query",),
    ),
    "latent, foreign": ({"kind": "latent", "trunk": "foreign"}, 5, ("query",), ("query",)),
    "latent, scratch, HTS-AT": (
        {"kind": "latent", "trunk": "scratch", "network": HTSAT},
        8,
        ("query",),
        ("query.classify",),
    ),
}


EACH_PART = {
    "hard",
    "soft, adaptor",
    "latent, finetuned, shortcut",
    "soft, scratch",
    "latent, random, adaptor, shortcut",
}
"""Query nets that have each kind, trunk and part once."""


def queried(described_set: SyntheticSet, name: str, **values: object) -> SeparatorTask:
    query, size, _, _ = QUERY_NETS[name]
    recipe = small_recipe(
        **{
            "query": query,
            "separator": {"condition_size": size, "channels": [2, 2], "bottleneck_channels": 2},
            "fit": {"steps": 3, "optimiser": {"learning_rate": 1e-2, "warmup_steps": 0}},
            "mixtures": {"conditions": {"own": 0.5, "masked": 0.0, "class_mean": 0.5}},
            **values,
        }
    )
    torch.manual_seed(0)
    tagger = read_folder(described_set.weights).tagger
    foreign = None if recipe.query.trunk != "foreign" else Panns(PannsConfig(**CNN))
    return SeparatorTask(
        recipe,
        described_set.open(),
        vocabulary=described_set.vocabulary,
        tagger=tagger,
        foreign=foreign,
    )


@pytest.mark.parametrize(
    "name", [name if name in EACH_PART else pytest.param(name, marks=pytest.mark.slow) for name in QUERY_NETS]
)
def test_exactly_what_is_trained_changes(described_set: SyntheticSet, name: str) -> None:
    _, _, trained, without_part = QUERY_NETS[name]
    task = queried(described_set, name)
    before = {key: value.clone() for key, value in task.module.state_dict().items()}
    assert {key.split(".")[0] for key in before} == {"separator", *trained}
    Fit(task, settings=task.recipe.fit, lanes=range(2), lane_count=2, keeper=Kept()).run()
    after = task.module.state_dict()
    unchanged = {key for key, value in before.items() if torch.equal(value, after[key])}
    # Parameters, norm statistics and their counters alike; what stays is what no condition hangs on, and mel filters.
    fixed = ("query.log_mel", *without_part)
    assert unchanged == {key for key in before if key.startswith(fixed)}
    stays = task.recipe.query.trunk_stays
    assert all(
        part.training != (stays and name.startswith("query")) for name, part in task.module.named_modules()
    )
    batch = task.load(0, 0)
    assert (batch.queries.numel() > 0) == ("query" in trained)
    assert (batch.bottlenecks.numel() > 0) == (task.recipe.query.kind == "hard" or bool(task.class_means))


def test_a_query_net_that_is_trained_hears_an_example_where_a_class_has_no_mean(
    described_set: SyntheticSet,
) -> None:
    task = queried(described_set, "soft, scratch", mixtures={"conditions": MEANS, "absent": 0.5})
    anchors = described_set.open()
    batches = [task.load(step, 0) for step in range(6)]
    for item, query in (pair for batch in batches for pair in zip(batch.items, batch.queries, strict=True)):
        assert item.example is not None
        example = anchors.read([item.example])[0]
        assert example.class_index == item.condition_class
        assert (query.numpy() == example.waveform).all()
        assert item.example != item.target
    assert {item.is_absent for batch in batches for item in batch.items} == {True, False}


@pytest.mark.slow
def test_a_query_net_that_is_trained_goes_on_bit_for_bit(described_set: SyntheticSet) -> None:
    name, values = (
        "soft, scratch",
        {"fit": {"steps": 4, "checkpoint_steps": 2, "optimiser": {"learning_rate": 1e-2}}},
    )
    whole, broken = Kept(), Kept()
    for keeper, until in ((whole, 4), (broken, 2), (broken, 4)):
        task = queried(described_set, name, **values)
        Fit(task, settings=task.recipe.fit, lanes=range(2), lane_count=2, keeper=keeper).run(until=until)
    for key, value in whole.states[-1].model.items():
        assert torch.equal(value, broken.states[-1].model[key]), key


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            {"kind": "hard", "trunk": "scratch"},
            "query.trunk: expected frozen: no network makes a class alone",
        ),
        ({"shortcut": True}, "query.shortcut: expected off without an adaptor or a trunk of its own"),
        ({"trunk": "finetuned", "network": CNN}, "query.network: expected off where the trunk is not from"),
        ({"trunk": "foreign"}, "query.kind: expected latent"),
        ({"kind": "latent", "trunk": "foreign"}, "query.trunk: expected foreign with query_weights"),
        ({"trunk": "scratch"}, "masked: expected 0 without stored class probabilities"),
    ],
)
def test_query_nets_that_cannot_be_are_refused(
    described_set: SyntheticSet, query: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        SeparatorTask(
            small_recipe(query=query),
            described_set.open(),
            vocabulary=described_set.vocabulary,
            tagger=read_folder(described_set.weights).tagger,
        )


def test_a_separator_that_follows_is_told_when_its_class_is_heard(described_set: SyntheticSet) -> None:
    separator = {
        "film": {"framewise": True, "kind": "scale-shift"},
        "film_places": "bottleneck",
        "passes": 2,
        "channels": [2, 2],
    }
    task = queried(
        described_set, "soft", separator=separator, fit={"steps": 3, "optimiser": {"learning_rate": 1e-2}}
    )
    before = {key: value.clone() for key, value in task.module.state_dict().items()}
    Fit(task, settings=task.recipe.fit, lanes=range(2), lane_count=2, keeper=Kept()).run()
    after = task.module.state_dict()
    films = {key for key in before if ".film." in key}
    assert {key.split(".")[2] for key in films} == {"shift", "scale", "frame_shift", "frame_scale"}
    assert not {key for key in films if torch.equal(before[key], after[key])}
    batch = task.load(0, 0)
    activity = task._activity(batch.mixtures, batch.items)
    tagger = read_folder(described_set.weights).tagger
    assert activity is not None
    assert tagger is not None
    with torch.no_grad():
        frames = tagger(batch.mixtures).framewise_probs
    assert frames is not None
    wanted = torch.stack([frames[row, :, item.condition_class] for row, item in enumerate(batch.items)])
    torch.testing.assert_close(activity, wanted)


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
    settle_norms(task.module, lambda number: task.loss(task.load(1000 + number, 0)), batches=20)
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
