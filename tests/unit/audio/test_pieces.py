"""Pieces of one length come out, whatever blocks went in."""

from __future__ import annotations

import numpy as np
import pytest

from uss_ray.audio.pieces import EvenPieces

SAMPLES = np.random.default_rng(0).uniform(-1, 1, (1001, 2)).astype(np.float32)


@pytest.mark.parametrize("block_frames", [1, 3, 7, 99, 100, 101, 1001])
def test_all_samples_come_out_in_order_and_in_pieces_of_one_length(block_frames: int) -> None:
    pieces = EvenPieces(100)
    out = []
    for start in range(0, len(SAMPLES), block_frames):
        out += list(pieces.cut(SAMPLES[start : start + block_frames]))
    out += list(pieces.rest())
    assert [len(piece) for piece in out] == [100] * 10 + [1]
    assert np.array_equal(np.concatenate(out), SAMPLES)
    assert list(pieces.rest()) == []


def test_a_block_that_is_used_again_by_its_owner_changes_nothing() -> None:
    pieces = EvenPieces(10)
    block = np.ones((4, 1), np.float32)
    assert list(pieces.cut(block)) == []
    block[:] = -1
    assert [piece.tolist() for piece in pieces.rest()] == [[[1.0]] * 4]


def test_integers_are_brought_to_full_scale_1() -> None:
    pieces = EvenPieces(3)
    (piece,) = pieces.cut(np.array([[-32768], [0], [16384]], np.int16))
    assert piece.dtype == np.float32
    assert piece.tolist() == [[-1.0], [0.0], [0.5]]
