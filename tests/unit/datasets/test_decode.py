from __future__ import annotations

import sys

import numpy as np
import pytest

from tests.mp4 import encoded_mp4
from tests.unit.datasets.conftest import encoded, tone
from uss_ray.datasets.clip_audio import ClipAudio
from uss_ray.datasets.decode import decode_clip, probe_clip
from uss_ray.datasets.labelled_clips import Holds, LabelledClip
from uss_ray.datasets.segments import ClipRecord
from uss_ray.errors import RecordingError
from uss_ray.store.faults import is_infrastructure
from uss_ray.store.store import Store


def labelled(data: bytes, *, start: float = 3.0, end: float = 4.0, holds: Holds = "either") -> LabelledClip:
    return LabelledClip(ClipRecord("x", start, end, (0,)), ClipAudio("x", "x.flac", data=data), holds, 0)


def steps(seconds: int, *, rate: int = 32_000) -> np.ndarray:
    """A recording whose tone rises by 200 Hz each second."""
    return np.concatenate([tone(400 + 200 * second, seconds=1, rate=rate) for second in range(seconds)])


@pytest.mark.parametrize("rate", [32_000, 44_100, 48_000])
def test_a_whole_recording_is_cut_at_the_labelled_excerpt(rate: int) -> None:
    decoded = decode_clip(labelled(encoded(steps(6, rate=rate), rate=rate)))
    assert decoded.waveform.shape == (32_000,)
    spectrum = np.abs(np.fft.rfft(decoded.waveform))
    assert spectrum.argmax() == 1000
    np.testing.assert_allclose(decoded.waveform[100:-100], tone(1000, seconds=1)[100:-100], atol=2e-3)
    assert not decoded.is_short


def test_a_file_as_long_as_the_excerpt_is_the_excerpt() -> None:
    decoded = decode_clip(labelled(encoded(tone(500, seconds=1.01))))
    np.testing.assert_allclose(decoded.waveform, tone(500, seconds=1), atol=4e-5)
    assert decode_clip(labelled(encoded(steps(6)), holds="excerpt")).waveform.shape == (32_000,)


def test_a_short_excerpt_is_padded_and_says_so() -> None:
    decoded = decode_clip(labelled(encoded(tone(500, seconds=0.75))))
    assert decoded.real_samples == 24_000
    assert decoded.is_short
    assert decoded.missing_seconds == pytest.approx(0.25)
    assert not decoded.waveform[24_000:].any()
    assert probe_clip(labelled(encoded(tone(500, seconds=0.75)))) == pytest.approx(0.75)


def test_an_m4a_on_a_disk_or_in_a_store_is_a_clip_like_any_other(root: str) -> None:
    pytest.importorskip("av")
    location = str(Store(root) / "Yx.m4a")
    Store(location).put(encoded_mp4(steps(6, rate=44_100)[None], rate=44_100))
    clip = LabelledClip(ClipRecord("x", 3.0, 4.0, (0,)), ClipAudio("x", location), "either", 0)
    decoded = decode_clip(clip)
    assert probe_clip(clip) == 1.0
    assert decoded.real_samples == 32_000
    assert np.corrcoef(decoded.waveform, tone(1000, seconds=1))[0, 1] > 0.99


def test_an_m4a_that_nothing_here_decodes_is_no_fault_of_the_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    boxes = [b"\0\0\0\x10ftypM4A \0\0\0\0", b"\0\0\0\x08mdat", b"\0\0\0\x08moov"]
    with pytest.raises(RecordingError, match="pip install 'uss-ray\\[media\\]'") as caught:
        decode_clip(labelled(b"".join(boxes)))
    assert is_infrastructure(caught.value)


def test_channels_are_averaged() -> None:
    left, right = tone(500, seconds=1), tone(900, seconds=1)
    decoded = decode_clip(labelled(encoded(np.stack((left, right), axis=1))))
    np.testing.assert_allclose(decoded.waveform, (left + right) / 2, atol=4e-5)


def test_packed_samples_need_no_decoder() -> None:
    samples = np.array([32767, -32767, 0, 16384], np.int16)
    clip = ClipAudio("x", "a.h5#x", samples=samples, sample_rate=4)
    decoded = decode_clip(LabelledClip(ClipRecord("x", 0.0, 1.0, (0,)), clip, "either", 0), sample_rate=4)
    np.testing.assert_allclose(decoded.waveform, [1, -1, 0, 0.5], atol=1e-4)


@pytest.mark.parametrize(
    ("data", "holds", "said"),
    [
        (encoded(steps(2)), "either", "excerpt of 1 s or a recording of at least 4 s, found 2 s"),
        (encoded(tone(500, seconds=1)), "recording", "expected a recording of at least 4 s, found 1 s"),
        (b"", "either", "empty"),
        (b"not audio at all", "either", "decoded"),
        (encoded(steps(1))[:3000], "either", "x.flac"),
    ],
)
def test_what_cannot_be_the_clip_is_named(data: bytes, holds: Holds, said: str) -> None:
    with pytest.raises(RecordingError, match=said):
        decode_clip(labelled(data, holds=holds))


def test_a_file_that_is_gone_is_named(tmp_path: object) -> None:
    clip = LabelledClip(ClipRecord("x", 0, 1, (0,)), ClipAudio("x", f"{tmp_path}/x.wav"), "either", 0)
    with pytest.raises(RecordingError, match=r"x\.wav"):
        decode_clip(clip)
