from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.kept_run import Kept
from tests.synthetic_set import SyntheticSet, small_recipe
from uss_ray.errors import WeightsError
from uss_ray.models.specifications import ClassCalibration
from uss_ray.separation.engine import build_engine
from uss_ray.separation.mixture import ArraySource
from uss_ray.separation.settings import SeparationSettings
from uss_ray.separation.targets import SeparationPlan, targets_for_classes
from uss_ray.training.export import check_tagger, export_separator
from uss_ray.training.fit import Fit
from uss_ray.training.separator import SeparatorTask
from uss_ray.weights.folder import Weights, read_folder, save_weights, specify
from uss_ray.weights.tensors import StoredType


def trained(synthetic_set: SyntheticSet, **values: object) -> tuple[SeparatorTask, Kept]:
    task = SeparatorTask(small_recipe(**values), synthetic_set.open(), vocabulary=synthetic_set.vocabulary)
    keeper = Kept()
    Fit(task, settings=task.recipe.fit, lanes=range(2), lane_count=2, keeper=keeper).run()
    return task, keeper


def export(
    synthetic_set: SyntheticSet,
    task: SeparatorTask,
    keeper: Kept,
    output: Path,
    dtype: StoredType = "float16",
) -> Weights:
    return read_folder(
        export_separator(
            keeper.states[-1],
            output,
            task=task,
            weights=read_folder(synthetic_set.weights),
            class_ids=synthetic_set.vocabulary.classes.ids,
            dtype=dtype,
        )
    )


def test_exported_weights_load_and_say_what_they_are(synthetic_set: SyntheticSet, tmp_path: Path) -> None:
    task, keeper = trained(synthetic_set)
    weights = export(synthetic_set, task, keeper, tmp_path / "weights")
    weights.check_classes(synthetic_set.vocabulary.classes.ids)
    assert weights.class_means is not None
    assert weights.class_means[1].numpy() == pytest.approx(task.class_means[1], abs=1e-6)
    assert weights.specifications.segment_seconds == 0.5
    assert weights.specifications.training_rms_dbfs == (-35.0, -15.0)
    assert weights.source is not None
    assert (weights.source["step"], weights.source["anchors"]) == (6, 160)
    assert weights.source["anchors_sha256"] == task.anchors.manifest.data_sha256
    card = (tmp_path / "weights" / "MODEL_CARD.md").read_text()
    assert "160 anchors of 0.5 s" in card
    assert "6 steps of 4 items" in card
    assert "film shift, False;" in card


def test_weights_of_targets_as_recorded_say_so(synthetic_set: SyntheticSet, tmp_path: Path) -> None:
    task, keeper = trained(synthetic_set, mixtures={"target_rms_dbfs": None})
    assert export(synthetic_set, task, keeper, tmp_path / "weights").specifications.training_rms_dbfs is None


def test_what_probabilities_are_worth_goes_along_with_the_tagger(
    synthetic_set: SyntheticSet, tmp_path: Path
) -> None:
    task, keeper = trained(synthetic_set)
    plain = read_folder(synthetic_set.weights)
    calibration = (ClassCalibration(class_index=1, slope=0.5, offset=-1.0, threshold=0.4),)
    mined = replace(plain, specifications=plain.specifications.replace(calibration=calibration))
    output = export_separator(
        keeper.states[-1],
        tmp_path / "weights",
        task=task,
        weights=mined,
        class_ids=synthetic_set.vocabulary.classes.ids,
    )
    assert read_folder(output).specifications.calibration == calibration


def test_the_average_is_what_is_exported(synthetic_set: SyntheticSet, tmp_path: Path) -> None:
    task, keeper = trained(synthetic_set, fit={"ema_decay": 0.9})
    weights = export(synthetic_set, task, keeper, tmp_path / "weights")
    mean, last = (
        states["separator.film.shift.weight"] for states in (keeper.states[-1].ema, keeper.states[-1].model)
    )
    stored = weights.separator.film.shift.weight  # type: ignore[union-attr]
    assert torch.allclose(stored, mean, atol=1e-3)
    assert not torch.equal(mean, last)


def test_class_means_go_through_the_adaptor(synthetic_set: SyntheticSet, tmp_path: Path) -> None:
    adaptor = {"bottleneck_size": 4, "hidden_size": 6, "condition_size": 5}
    task, keeper = trained(synthetic_set, query={"adaptor": adaptor}, separator={"condition_size": 5})
    weights = export(synthetic_set, task, keeper, tmp_path / "weights")
    assert weights.class_means is not None
    assert weights.query_net is not None
    with torch.no_grad():
        adapted = weights.query_net.adapt(torch.from_numpy(task.class_means[2])[None])[0]
    assert np.allclose(weights.class_means[2].numpy(), adapted.numpy(), atol=1e-2)


@pytest.mark.parametrize(
    ("query", "size"),
    [
        ({"kind": "hard"}, 4),
        ({"trunk": "scratch"}, 4),
        ({"trunk": "random"}, 4),
        (
            {
                "trunk": "finetuned",
                "shortcut": True,
                "adaptor": {"bottleneck_size": 4, "hidden_size": 3, "condition_size": 3},
                "mean_anchors": 5,
            },
            7,
        ),
    ],
    ids=["hard", "scratch", "random", "finetuned"],
)
def test_a_query_net_goes_into_the_weights(
    synthetic_set: SyntheticSet, tmp_path: Path, query: dict[str, object], size: int
) -> None:
    recipe = {
        "query": query,
        "separator": {"condition_size": size, "channels": [2, 2], "bottleneck_channels": 2},
        "mixtures": {"conditions": {"own": 0.5, "masked": 0.0, "class_mean": 0.5}},
        "fit": {"steps": 2, "checkpoint_steps": 2, "optimiser": {"learning_rate": 1e-2}},
    }
    tagger = read_folder(synthetic_set.weights).tagger
    task = SeparatorTask(
        small_recipe(**recipe), synthetic_set.open(), vocabulary=synthetic_set.vocabulary, tagger=tagger
    )
    keeper = Kept()
    Fit(task, settings=task.recipe.fit, lanes=range(2), lane_count=2, keeper=keeper).run()
    weights = export(synthetic_set, task, keeper, tmp_path / "weights", dtype="float32")
    assert weights.query_net is not None
    assert weights.class_means is not None
    assert weights.specifications.condition.size == size
    assert ("query" in weights.networks) == ("trunk" in query)
    net = weights.query_net
    assert (net.kind, net.shortcut) == (query.get("kind", "soft"), "shortcut" in query)
    rows = np.flatnonzero(task.anchors.catalogue.class_indexes == 2)
    some = np.linspace(0, len(rows) - 1, task.recipe.query.mean_anchors).round().astype(int)
    anchors = task.anchors.read(rows[some if query.get("mean_anchors") else slice(None)].tolist())
    with torch.no_grad():
        # A shortcut's part is stored with the anchors of this set, which no tagger has heard.
        learned = net(torch.from_numpy(np.stack([each.waveform for each in anchors]))).mean(dim=0)
    if query.get("kind") == "hard":
        assert weights.class_means[2].tolist() == [0, 0, 1, 0]
    else:
        count = 3 if "shortcut" in query else 4
        torch.testing.assert_close(weights.class_means[2][:count], learned[:count], atol=1e-4, rtol=1e-4)
    if "shortcut" in query:
        stored = np.mean([each.soft for each in anchors], axis=0)
        np.testing.assert_allclose(weights.class_means[2][3:].numpy(), stored, atol=1e-4)
    engine = build_engine(weights, vocabulary=synthetic_set.vocabulary)
    source = ArraySource(anchors[0].waveform[None].repeat(8, axis=1), sample_rate=8000)
    settings = SeparationSettings(segment_seconds=1)
    condition = engine.condition_of_examples([source], settings=settings)
    assert condition.shape == (size,)


def test_a_network_of_two_parts_that_follows_the_detector_separates_as_it_was_trained(
    synthetic_set: SyntheticSet, tmp_path: Path
) -> None:
    recipe = {
        "separator": {
            "architecture": "band-split",
            "condition_size": 4,
            "band_widths": [2, 4],
            "bands_of_width": [16, 8],
            "channels": 4,
            "hidden_channels": 4,
            "trunk_blocks": 1,
            "film": {"framewise": True, "kind": "scale-shift"},
            "window_samples": 128,
            "hop_samples": 64,
            "sample_rate": 8000,
        },
        "fit": {"steps": 2, "checkpoint_steps": 2, "optimiser": {"learning_rate": 1e-1}},
    }
    tagger = read_folder(synthetic_set.weights).tagger
    task = SeparatorTask(
        small_recipe(**recipe), synthetic_set.open(), vocabulary=synthetic_set.vocabulary, tagger=tagger
    )
    keeper = Kept()
    Fit(task, settings=task.recipe.fit, lanes=range(2), lane_count=2, keeper=keeper).run()
    weights = export(synthetic_set, task, keeper, tmp_path / "weights", dtype="float32")
    assert weights.class_means is not None
    assert weights.tagger is not None
    vocabulary = synthetic_set.vocabulary
    settings = SeparationSettings(
        segment_seconds=1, joins="hard", context_seconds=0.0, fade_seconds=0.0, condition="class-mean"
    )
    mixture = 0.1 * np.random.default_rng(0).standard_normal((1, 8000)).astype(np.float32)
    plan = SeparationPlan(targets_for_classes(vocabulary, names=["High whistle"]))
    engine = build_engine(weights, vocabulary=vocabulary)
    [block] = engine.stream(ArraySource(mixture, sample_rate=8000), plan, settings=settings)
    [found] = block.estimates.values()
    heard = torch.from_numpy(mixture)
    with torch.no_grad():
        frames = weights.tagger(heard).framewise_probs
        assert frames is not None
        expected = task.module.eval().separator(heard, weights.class_means[1][None], frames[:, :, 1])
        all_the_time = task.module.separator(heard, weights.class_means[1][None])
    # The engine lays 256 places over the window in between the detector's frames.
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-3 * float(np.abs(found).max()))
    assert np.abs(found - all_the_time.numpy()).max() > 1e-2 * np.abs(found).max()


def test_a_tagger_that_did_not_mine_is_refused(synthetic_set: SyntheticSet, tmp_path: Path) -> None:
    task, _ = trained(synthetic_set)
    ear = read_folder(synthetic_set.weights)
    networks = {"tagger": ear.tagger}
    other = save_weights(
        tmp_path / "other", networks, name="other", specifications=specify(networks, segment_seconds=1.0)
    )
    with pytest.raises(WeightsError, match="weights other: expected ear, which mined"):
        check_tagger(read_folder(other), task.anchors)
