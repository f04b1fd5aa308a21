"""What a page shows of a recording: bounded, whatever its length and however it comes in blocks."""

from __future__ import annotations

import numpy as np
import pytest

from uss_ray.results.blocks import Geometry
from uss_ray.results.report import portrait
from uss_ray.results.report.portrait import PortraitPainter

RATE = 8000


def painted(mixture: np.ndarray, *, block: int, frames: int | None) -> portrait.Portrait:
    with PortraitPainter(Geometry(RATE, len(mixture)), frames=frames) as painter:
        for start in range(0, mixture.shape[1], block):
            painter.add(mixture[:, start : start + block])
        return painter.result({})


def test_blocks_make_no_difference() -> None:
    mixture = np.random.default_rng(1).standard_normal((2, 3 * RATE)).astype(np.float32) * 0.1
    one, other = (painted(mixture, block=size, frames=mixture.shape[1]) for size in (999, 3 * RATE))
    np.testing.assert_allclose(
        one.mixture_spectrogram.power_db, other.mixture_spectrogram.power_db, atol=1e-3
    )
    assert one.mixture_preview == other.mixture_preview != b""
    assert one.preview_seconds == other.preview_seconds == 3.0


def test_only_the_beginning_is_kept_to_listen_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portrait, "_PREVIEW_SECONDS", 1.0)
    quiet = np.zeros((1, 4 * RATE), np.float32)
    short = painted(quiet[:, :RATE], block=RATE, frames=RATE)
    long = painted(quiet, block=RATE, frames=None)
    assert short.preview_seconds == long.preview_seconds == 1.0
    assert len(long.mixture_preview) <= len(short.mixture_preview) + 1000
