"""Learning-rate schedules as functions of the step."""

from __future__ import annotations

import math


def warmup_cosine(step: int, *, warmup_steps: int, total_steps: int, floor: float = 0.02) -> float:
    """Rise linearly to 1, then fall along a cosine to `floor`.

    Examples
    --------
    >>> [round(warmup_cosine(s, warmup_steps=2, total_steps=10), 2) for s in (0, 1, 2, 6, 10)]
    [0.5, 1.0, 1.0, 0.51, 0.02]
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    done = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * done))


def published_staircase(step: int) -> float:
    """Give the released program's factor: a thousandth, a hundredth, a tenth for 10,000 steps each, then 1.

    Notes
    -----
    Package `uss` 0.0.4, `uss/models/pl_modules.py`, constant warm-up.

    Examples
    --------
    >>> [published_staircase(step) for step in (0, 9_999, 10_000, 20_000, 30_000)]
    [0.001, 0.001, 0.01, 0.1, 1.0]
    """
    return float((0.001, 0.01, 0.1, 1.0)[min(step // 10_000, 3)])
