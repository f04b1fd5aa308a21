from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from uss_ray.anchors.audio import decode_flac, encode_flac
from uss_ray.errors import DataError


def test_flac_keeps_every_bit_and_shrinks_a_tone(make_anchor) -> None:
    rng = np.random.default_rng(0)
    extremes = rng.integers(-32768, 32767, 3000, endpoint=True).astype(np.int16)
    data = encode_flac(extremes, sample_rate=32_000)
    assert np.array_equal(decode_flac(data, item="x"), extremes)
    tone = make_anchor(1, 1, samples=64_000).waveform
    assert len(encode_flac(tone, sample_rate=32_000)) < 0.65 * tone.nbytes


def test_what_is_no_mono_flac_is_named() -> None:
    with pytest.raises(DataError, match="anchor 7: expected FLAC audio"):
        decode_flac(b"a letter", item="anchor 7")
    stereo = io.BytesIO()
    soundfile.write(stereo, np.zeros((100, 2), np.int16), 32_000, format="FLAC")
    with pytest.raises(DataError, match="anchor 7: expected one channel, found 2"):
        decode_flac(stereo.getvalue(), item="anchor 7")
