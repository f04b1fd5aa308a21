from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.unit.separation.fakes import LatentQueryNet, SoftQueryNet
from uss_ray.errors import ConfigError, QueryError, WeightsError
from uss_ray.separation.conditions import Conditioner, condition_of_examples, remove_silence
from uss_ray.separation.settings import SeparationSettings
from uss_ray.separation.targets import Target

PROBS = torch.tensor([[0.1, 0.2, 0.3], [0.7, 0.8, 0.9]])
MEANS = {0: torch.tensor([1.0, 0.0, 0.0]), 1: torch.tensor([0.0, 1.0, 0.0])}


class DoublingQueryNet(SoftQueryNet):
    adaptor = "doubles"

    def __init__(self) -> None:
        pass

    def adapt(self, bottleneck: torch.Tensor) -> torch.Tensor:
        return 2.0 * bottleneck + 1.0


def soft() -> SoftQueryNet:
    return SoftQueryNet.__new__(SoftQueryNet)


def test_a_detected_condition_keeps_the_subtree_and_is_then_adapted() -> None:
    target = Target(key="t", label="t", class_indexes=(0, 2))
    made = Conditioner(DoublingQueryNet(), class_means=None, kind="detected").conditions(
        target, class_probs=PROBS
    )
    torch.testing.assert_close(made, torch.tensor([[1.2, 1.0, 1.6], [2.4, 1.0, 2.8]]))


def test_a_class_mean_is_that_of_the_nodes_own_class() -> None:
    conditioner = Conditioner(soft(), class_means=MEANS, kind="class-mean")
    target = Target(key="t", label="t", class_indexes=(0, 1), own_indexes=(1,))
    torch.testing.assert_close(
        conditioner.conditions(target, class_probs=PROBS), torch.tensor([[0.0, 1.0, 0.0]] * 2)
    )


def test_a_node_without_anchors_is_the_average_of_its_descendants() -> None:
    conditioner = Conditioner(soft(), class_means=MEANS, kind="class-mean")
    target = Target(key="t", label="t", class_indexes=(0, 1, 2), own_indexes=(2,))
    torch.testing.assert_close(
        conditioner.conditions(target, class_probs=PROBS), torch.tensor([[0.5, 0.5, 0.0]] * 2)
    )


def test_without_any_class_mean_a_target_is_detected_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    conditioner = Conditioner(soft(), class_means=MEANS, kind="class-mean")
    target = Target(key="t", label="Rare bird", class_indexes=(2,), own_indexes=(2,))
    with caplog.at_level(logging.WARNING):
        conditioner.check(target)
        conditioner.check(target)
    assert [record.getMessage().startswith("Rare bird") for record in caplog.records] == [True]
    torch.testing.assert_close(
        conditioner.conditions(target, class_probs=PROBS), torch.tensor([[0.0, 0.0, 0.3], [0.0, 0.0, 0.9]])
    )


def test_an_embedding_cannot_be_detected() -> None:
    with pytest.raises(ConfigError, match="class-mean"):
        Conditioner(LatentQueryNet(), class_means=MEANS, kind="detected")
    conditioner = Conditioner(LatentQueryNet(), class_means=MEANS, kind="class-mean")
    with pytest.raises(WeightsError, match="Rare bird"):
        conditioner.check(Target(key="t", label="Rare bird", class_indexes=(2,)))


def test_what_is_never_separated_needs_no_condition(caplog: pytest.LogCaptureFixture) -> None:
    rare = Target(key="t", label="Rare bird", level=3, class_indexes=(2,))
    embedding = Conditioner(LatentQueryNet(), class_means=MEANS, kind="class-mean")
    assert not embedding.steers(rare)
    assert embedding.steers(Target(key="t", label="t", class_indexes=(1, 2)))
    embedding.check(replace(rare, is_separable=False))
    embedding.check(replace(rare, is_known=False))
    with pytest.raises(WeightsError, match="Rare bird"):
        embedding.check(replace(rare, is_known=False, is_gated=False))
    with caplog.at_level(logging.INFO):
        Conditioner(soft(), class_means=MEANS, kind="class-mean").check(replace(rare, is_known=False))
    assert not caplog.records


def test_auto_takes_class_means_where_the_weights_have_them() -> None:
    target = Target(key="t", label="t", class_indexes=(0, 1), own_indexes=(1,))

    def made(class_means: dict[int, torch.Tensor] | None, kind: str) -> torch.Tensor:
        conditioner = Conditioner(soft(), class_means=class_means, kind=kind)  # type: ignore[arg-type]
        return conditioner.conditions(target, class_probs=PROBS)

    assert torch.equal(made(MEANS, "auto"), made(MEANS, "class-mean"))
    assert torch.equal(made(None, "auto"), made(None, "detected"))
    assert not torch.equal(made(MEANS, "auto"), made(MEANS, "detected"))


def test_class_means_must_be_there_when_asked_for() -> None:
    with pytest.raises(WeightsError, match="class means"):
        Conditioner(soft(), class_means=None, kind="class-mean")


@pytest.mark.parametrize("kind", ["auto", "detected", "class-mean"])
def test_excluded_classes_leave_every_condition(kind: str) -> None:
    conditioner = Conditioner(soft(), class_means=MEANS, kind=kind)  # type: ignore[arg-type]
    targets = [
        Target(key="node", label="node", class_indexes=(0, 1)),
        Target(key="query:q", label="q", condition=torch.ones(3)),
    ]
    for target in targets:
        made = conditioner.conditions(target, class_probs=PROBS, excluded_indexes=(1,))
        assert (made[:, 1] == 0).all()
        assert (made[:, 0] > 0).all()
    assert float(MEANS[1][1]) == 1.0, "the weights' own class means must not change"


def test_examples_are_averaged_over_segments_and_then_over_recordings() -> None:
    rate = 100
    long = np.concatenate((np.full(200, 0.2), np.full(200, 0.4))).astype(np.float32)
    short = np.full(30, 0.8, dtype=np.float32)
    condition = condition_of_examples(
        [long, short],
        query_net=LatentQueryNet(),
        sample_rate=rate,
        settings=SeparationSettings(),
        batch_size=1,
        device=torch.device("cpu"),
    )
    # Mean of the long one 0.3 and of the repeated short one 0.8: not the mean over all three segments.
    torch.testing.assert_close(condition, torch.tensor([0.55, 0.55]))


def test_examples_without_sound_are_refused() -> None:
    with pytest.raises(QueryError, match="sound"):
        condition_of_examples(
            [np.zeros(500, dtype=np.float32)],
            query_net=LatentQueryNet(),
            sample_rate=100,
            settings=SeparationSettings(),
            batch_size=4,
            device=torch.device("cpu"),
        )


def test_silence_is_removed_relative_to_the_peak() -> None:
    loud, faint = np.full(10, 1e-3, dtype=np.float32), np.full(10, 1e-6, dtype=np.float32)
    waveform = np.concatenate((faint, loud, faint, loud[:5]))
    np.testing.assert_array_equal(
        remove_silence(waveform, sample_rate=100, below_share_of_peak=0.02),
        np.full(15, 1e-3, dtype=np.float32),
    )
