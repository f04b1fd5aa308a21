from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from uss_ray.audio.decoding import DecodingError
from uss_ray.audio.sndfile_decoder import SndfileDecoder

SOUND = (np.arange(-600, 600, dtype=np.float32) / 1024).reshape(600, 2)  # exact in 16 bits


def encoded(format: str = "WAV") -> io.BytesIO:
    file = io.BytesIO()
    soundfile.write(file, SOUND, 8000, format=format, subtype="PCM_16")
    file.seek(0)
    return file


@pytest.mark.parametrize("format", ["WAV", "FLAC", "AIFF"])
def test_blocks_are_channels_first_contiguous_and_whole(format: str) -> None:
    decoder = SndfileDecoder(encoded(format))
    spec = decoder.spec
    assert (spec.sample_rate, spec.channels, spec.frames) == (8000, 2, 600)
    assert (spec.format, spec.subtype) == (format, "PCM_16")
    assert not decoder.started
    blocks = [decoder.read(250) for _ in range(4)]
    assert [block.shape for block in blocks] == [(2, 250), (2, 250), (2, 100), (2, 0)]
    assert all(block.flags.c_contiguous and block.dtype == np.float32 for block in blocks)
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), SOUND.T)
    assert decoder.started
    decoder.close()


def test_what_comes_behind_a_known_length_is_left_out() -> None:
    decoder = SndfileDecoder(encoded(), frames=300)
    assert decoder.spec.frames == 300
    assert [decoder.read(200).shape[1] for _ in range(3)] == [200, 100, 0]


def test_a_header_that_states_less_than_there_is_known_to_be_is_refused() -> None:
    with pytest.raises(DecodingError, match="a guess of 600 samples where there are 601"):
        SndfileDecoder(encoded(), frames=601)


def test_what_is_no_sound_is_refused_in_one_line() -> None:
    with pytest.raises(DecodingError, match="something that cannot be decoded") as caught:
        SndfileDecoder(io.BytesIO(b"no sound at all" * 10))
    assert "\n" not in caught.value.found
