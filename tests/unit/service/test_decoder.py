from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from tests.conftest import MakeRecording
from uss_ray.errors import RecordingError
from uss_ray.service.decoder import Allowed, decode, decode_example
from uss_ray.service.problems import Refusal
from uss_ray.service.settings import Limits

ALLOWED = Allowed.of(Limits(decoded_seconds=3), "decoded_seconds")


def test_decoding_gives_what_a_reader_gives(make_recording: MakeRecording, tmp_path: Path) -> None:
    path = make_recording(channels=2)
    spec = decode(str(path), str(tmp_path / "raw"), name="a", allowed=ALLOWED, cpu_seconds=1000)
    samples = np.fromfile(tmp_path / "raw", np.float32).reshape(-1, 2)
    assert np.array_equal(samples, sf.read(path, dtype="float32")[0])
    assert (spec.channels, spec.sample_rate, spec.frames) == (2, 32_000, 96_000)


def test_an_example_becomes_a_file_of_the_same_samples(make_recording: MakeRecording, tmp_path: Path) -> None:
    path = make_recording()
    target = tmp_path / "example.wav"
    decode_example(str(path), str(target), name="a", allowed=ALLOWED, cpu_seconds=1000)
    assert np.array_equal(sf.read(target, dtype="float32")[0], sf.read(path, dtype="float32")[0])
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["example.wav"]


@pytest.mark.parametrize(
    ("allowed", "limit"),
    [
        (replace(ALLOWED, seconds=2), "decoded_seconds"),
        (replace(ALLOWED, bytes=100_000), "decoded_bytes"),
        (replace(ALLOWED, channels=1), "channels"),
    ],
)
def test_more_than_is_allowed_is_refused(
    make_recording: MakeRecording, tmp_path: Path, allowed: Allowed, limit: str
) -> None:
    path = make_recording(channels=2)
    with pytest.raises(Refusal) as refused:
        decode(str(path), str(tmp_path / "raw"), name="a", allowed=allowed, cpu_seconds=1000)
    assert (refused.value.status, refused.value.limit) == (413, limit)
    written = (tmp_path / "raw").stat().st_size if (tmp_path / "raw").exists() else 0
    assert written <= min(allowed.bytes, allowed.seconds * 32_000 * 8)


def test_a_rate_that_nothing_has_is_refused(make_recording: MakeRecording, tmp_path: Path) -> None:
    path = make_recording(sample_rate=655_350, seconds=0.1)
    with pytest.raises(RecordingError, match="192000 Hz"):
        decode(str(path), str(tmp_path / "raw"), name="a", allowed=ALLOWED, cpu_seconds=1000)
