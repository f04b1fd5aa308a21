from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.memory import least_peak_bytes
from tests.unit.separation.fakes import FakeWeights, bound, one_hot
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.targets import target_for_condition

RATE = 4000


class EndlessTone:
    """A recording that is made while it is read."""

    sample_rate, channels = RATE, 2

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds

    def blocks(self, block_frames: int) -> Iterator[NDArray[np.float32]]:
        total = self.seconds * RATE
        for start in range(0, total, block_frames):
            time = np.arange(start, min(start + block_frames, total)) / RATE
            yield np.stack((np.sin(1500 * time), np.sin(9000 * time))).astype(np.float32)


def peak_bytes(vocabulary: Vocabulary, *, seconds: int) -> int:
    engine = bound(FakeWeights(RATE), vocabulary)
    target = target_for_condition("speech", condition=one_hot(0))

    def separate() -> None:
        blocks = engine.stream(EndlessTone(seconds), [target])
        assert sum(block.estimates[target.key].shape[1] for block in blocks) == seconds * RATE

    return least_peak_bytes(separate, tries=2)


@pytest.mark.slow
def test_three_minutes_take_no_more_memory_than_half_a_minute(vocabulary: Vocabulary) -> None:
    short, long = peak_bytes(vocabulary, seconds=30), peak_bytes(vocabulary, seconds=180)
    held_if_it_grew = 150 * RATE * 2 * 4
    assert long - short < held_if_it_grew / 4
