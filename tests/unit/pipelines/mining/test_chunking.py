"""Clips go together in whole batches."""

from __future__ import annotations

import pytest

from uss_ray.pipelines.mining.chunking import packet_clips, retried_clips


@pytest.mark.parametrize(
    ("clips", "actors", "batch_size", "together"),
    [(10_000, 2, 8, 64), (100, 2, 8, 8), (300, 2, 8, 32), (10_000, 2, 48, 48), (10_000, 2, 128, 128)],
)
def test_packets_are_whole_batches_of_which_each_worker_gets_some(clips, actors, batch_size, together):
    assert packet_clips(clips, actors=actors, batch_size=batch_size) == together


def test_few_missing_clips_are_retried_one_by_one():
    assert retried_clips(1000, batch_size=8) == 1
    assert retried_clips(1001, batch_size=8) == 8
