from __future__ import annotations

import numpy as np

from uss_ray.pipelines.mining.listing import ClipClaims


def rows(*numbers: int):
    return np.array(numbers, np.int32)


def test_a_clip_is_whose_reader_asked_first_in_every_attempt() -> None:
    claims = ClipClaims(6)
    assert claims.claim(rows(0, 1, 2), 0).tolist() == [True, True, True]
    assert claims.claim(rows(2, 3), 1).tolist() == [False, True]
    assert claims.claim(rows(0, 3, 5), 0).tolist() == [True, False, True], "a reader that is tried again"
    assert claims.claim(rows(), 1).tolist() == []


def test_a_clip_that_a_reader_has_twice_is_its_own_both_times() -> None:
    assert ClipClaims(3).claim(rows(1, 1), 4).tolist() == [True, True]
