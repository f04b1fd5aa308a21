from __future__ import annotations

import numpy as np

from uss_ray.separation.overlap import OverlapAdd


def ones(frames: int) -> np.ndarray:
    return np.ones((1, frames), dtype=np.float32)


def test_overlapping_pieces_add_up_across_blocks() -> None:
    joined = OverlapAdd(1)
    joined.add("a", start_frame=2, piece=ones(5))
    joined.add("a", start_frame=5, piece=ones(4))
    np.testing.assert_array_equal(joined.take(6)["a"], [[0, 0, 1, 1, 1, 2]])
    np.testing.assert_array_equal(joined.take(12)["a"], [[2, 1, 1, 0, 0, 0]])


def test_what_lies_before_the_first_block_is_dropped() -> None:
    joined = OverlapAdd(1, start_frame=4)
    joined.add("a", start_frame=0, piece=ones(6))
    joined.add("b", start_frame=0, piece=ones(4))
    taken = joined.take(8)
    assert set(taken) == {"a"}
    np.testing.assert_array_equal(taken["a"], [[1, 1, 0, 0]])


def test_a_target_without_a_piece_in_the_block_is_left_out() -> None:
    joined = OverlapAdd(1)
    joined.add("early", start_frame=0, piece=ones(4))
    joined.add("late", start_frame=4, piece=ones(4))
    assert set(joined.take(4)) == {"early"}
    assert set(joined.take(8)) == {"late"}
    assert joined.take(12) == {}
