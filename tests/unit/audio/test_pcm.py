from __future__ import annotations

import numpy as np

from uss_ray.audio.pcm import to_float, to_int16


def test_sixteen_bits_clip_and_round() -> None:
    samples = to_int16(np.array([-2.0, -1.0, 0.4 / 32767, 0.6 / 32767, 1.0, 2.0]))
    assert samples.tolist() == [-32767, -32767, 0, 1, 32767, 32767]
    assert to_float(samples).max() == 1.0


def test_what_was_16_bits_comes_back_the_same() -> None:
    every = np.arange(-32767, 32768, dtype=np.int16)
    assert to_float(every).dtype == np.float32
    np.testing.assert_array_equal(to_int16(to_float(every)), every)
