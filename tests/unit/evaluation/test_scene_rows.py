"""Rows of scenes by themselves; what results make of those of levels is `test_scene_scores`."""

from __future__ import annotations

import numpy as np
import pytest

from uss_ray.evaluation.scene_rows import event_shares, time_counts

DOG, CAT, PIANO = np.eye(3, 10, dtype=np.float32)


def test_shares_are_of_the_energy_and_what_is_beside_is_neither_false_nor_residual() -> None:
    mixture = DOG + CAT + 2 * PIANO
    found = event_shares(
        mixture,
        {"dog": 0.5 * DOG, "cat": CAT, "cricket": PIANO},
        judged={"dog": 0.5 * DOG, "cat": CAT},
        wholes={"dog": DOG, "piano": 2 * PIANO},
    )
    assert found == {
        "residual": pytest.approx((0.25 + 1) / 6),
        "false_stems": pytest.approx(1 / 6),
        "missed": pytest.approx(4 / 6),
    }
    assert event_shares(mixture, {}, judged={}, wholes={})["residual"] == 1.0
    silence = np.zeros_like(mixture)
    assert set(event_shares(silence, {}, judged={}, wholes={}).values()) == {None}


def test_events_and_steps_are_counted_by_name() -> None:
    counts = time_counts({"a": [(0.0, 1.0)], "b": [(0.0, 1.0)]}, {"a": [(0.0, 1.0)]}, seconds=2.0)
    assert counts == {
        "events_right": 1.0, "events_found": 2.0, "events_true": 1.0,
        "frames_right": 20.0, "frames_found": 40.0, "frames_true": 20.0,
    }  # fmt: skip
