from __future__ import annotations

import numpy as np
import pytest
import soundfile as sf

from uss_ray.audio.riff import settle_peak_time


def written(path, subtype):
    sf.write(path, np.linspace(-0.5, 0.5, 1000, dtype=np.float32), 8000, subtype=subtype)
    return path


def test_a_time_stamp_goes_and_the_samples_stay(tmp_path):
    path = written(tmp_path / "a.wav", "FLOAT")
    before = path.read_bytes()
    samples = sf.read(path)[0]
    assert settle_peak_time(path)
    after = path.read_bytes()
    at = before.index(b"PEAK") + 12
    assert after[at : at + 4] == bytes(4) != before[at : at + 4]
    assert after[:at] + before[at : at + 4] + after[at + 4 :] == before
    np.testing.assert_array_equal(sf.read(path)[0], samples)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_integer_samples_have_none(tmp_path, subtype):
    path = written(tmp_path / "a.wav", subtype)
    before = path.read_bytes()
    assert not settle_peak_time(path)
    assert path.read_bytes() == before
