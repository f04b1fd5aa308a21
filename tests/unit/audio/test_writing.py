"""A stem stands under its name complete or not at all, and holds what was written."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from uss_ray.audio import writing
from uss_ray.audio.codec import StemWriter, open_recording
from uss_ray.errors import ConfigError, OutputError

RATE = 32000


def noise(frames: int, *, channels: int = 1, scale: float = 0.2) -> NDArray[np.float32]:
    return (scale * np.random.default_rng(2).standard_normal((channels, frames))).astype(np.float32)


def read_back(path: Path) -> NDArray[np.float32]:
    with open_recording(path) as reader:
        return np.concatenate(list(reader.blocks(5000)), axis=1)


@pytest.mark.parametrize(
    ("format", "subtype", "tolerance"),
    [
        ("flac", "PCM_16", 1 / 32000),
        ("flac", "PCM_24", 1e-6),
        ("wav", "PCM_16", 1 / 32000),
        ("wav", "PCM_24", 1e-6),
        ("wav", "FLOAT", 0),
    ],
)
def test_what_is_written_in_blocks_is_read_back(
    format: str, subtype: str, tolerance: float, tmp_path: Path
) -> None:
    waveform = noise(30001, channels=2)
    path = tmp_path / f"stem.{format}"
    with StemWriter(path, sample_rate=44100, channels=2, format=format, subtype=subtype) as writer:
        writer.write(waveform[:, :12345])
        writer.write(waveform[:, 12345:12345])
        writer.write(waveform[:, 12345:])
    assert soundfile.info(path).subtype == subtype
    assert soundfile.info(path).samplerate == 44100
    assert np.abs(read_back(path) - waveform).max() <= tolerance


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_integers_are_the_nearest_whichever_the_container(subtype: str, tmp_path: Path) -> None:
    step = 2.0 ** (-15 if subtype == "PCM_16" else -23)
    waveform = np.concatenate([noise(5000), 0.3 * step * noise(5000), [[1.0, -1.0, 0.0]]], axis=1)
    found = []
    for format in ("flac", "wav"):
        path = tmp_path / f"stem.{format}"
        with StemWriter(path, sample_rate=RATE, channels=1, format=format, subtype=subtype) as writer:
            writer.write(waveform.astype(np.float32))
        found.append(soundfile.read(path)[0])
    np.testing.assert_array_equal(*found)
    assert np.abs(found[1] - waveform.astype(np.float32)[0])[:-3].max() <= 0.5 * step
    assert found[1][-3:].tolist() == [1.0 - step, -1.0, 0.0]


def test_close_tells_what_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "сова 🦉.flac"
    writer = StemWriter(path, sample_rate=RATE, channels=1)
    writer.write(noise(1000))
    assert not path.exists()
    stem = writer.close()
    assert (stem.path, stem.frames, stem.clipped_samples) == (path, 1000, 0)
    assert stem.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert stem.file_bytes == path.stat().st_size
    assert os.listdir(tmp_path) == [path.name]


def test_silence_is_written_at_its_full_length(tmp_path: Path) -> None:
    path = tmp_path / "stem.flac"
    with StemWriter(path, sample_rate=RATE, channels=2) as writer:
        writer.write(noise(100, channels=2))
        writer.write_silence(200_000)
        writer.write_silence(0)
        writer.write(noise(100, channels=2))
    back = read_back(path)
    assert back.shape == (2, 200_200)
    assert not back[:, 100:-100].any()
    assert back[:, :100].any()
    assert back[:, -100:].any()


@pytest.mark.parametrize(("format", "subtype"), [("flac", "PCM_16"), ("flac", "PCM_24"), ("wav", "PCM_24")])
def test_integer_coding_clips_and_counts_instead_of_wrapping(
    format: str, subtype: str, tmp_path: Path
) -> None:
    path = tmp_path / "stem"
    with StemWriter(path, sample_rate=RATE, channels=1, format=format, subtype=subtype) as writer:
        writer.write(np.array([[1.5, -1.5, 1.0, -1.0, 0.5]], dtype=np.float32))
        writer.write(np.array([[1.0001]], dtype=np.float32))
    assert writer.clipped_samples == 3
    assert np.allclose(read_back(path), [[1, -1, 1, -1, 0.5, 1]], atol=1e-4)


def test_float_coding_clips_nothing(tmp_path: Path) -> None:
    loud = np.array([[1.5, -3.0]], dtype=np.float32)
    with StemWriter(
        tmp_path / "s.wav", sample_rate=RATE, channels=1, format="wav", subtype="FLOAT"
    ) as writer:
        writer.write(loud)
    assert writer.clipped_samples == 0
    assert np.array_equal(read_back(tmp_path / "s.wav"), loud)


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (7418, 8), (44099, 2), (192000, 2), (655350, 1)])
def test_flac_holds_every_rate_it_says_it_holds(rate: int, channels: int, tmp_path: Path) -> None:
    with StemWriter(tmp_path / "s.flac", sample_rate=rate, channels=channels) as writer:
        writer.write(noise(1, channels=channels))
    info = soundfile.info(tmp_path / "s.flac")
    assert (info.samplerate, info.channels, info.frames) == (rate, channels, 1)


@pytest.mark.parametrize(("rate", "channels"), [(48000, 9), (96001, 1), (700000, 1)])
def test_what_flac_cannot_hold_goes_to_wav(rate: int, channels: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="use wav"):
        StemWriter(tmp_path / "s.flac", sample_rate=rate, channels=channels)
    assert os.listdir(tmp_path) == []
    with StemWriter(tmp_path / "s.wav", sample_rate=rate, channels=channels, format="wav") as writer:
        writer.write(noise(10, channels=channels))
    assert soundfile.info(tmp_path / "s.wav").frames == 10


def test_a_coding_the_format_has_not_is_a_setting_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected PCM_16 or PCM_24, found 'FLOAT'"):
        StemWriter(tmp_path / "s.flac", sample_rate=RATE, channels=1, subtype="FLOAT")


def test_a_wav_that_will_outgrow_4_gib_is_rf64_and_others_are_not(tmp_path: Path) -> None:
    for expected_frames, format in ((2**30, "RF64"), (2**30 // 2 - 20000, "WAV"), (None, "WAV")):
        path = tmp_path / f"{format}.wav"
        with StemWriter(
            path, sample_rate=RATE, channels=2, format="wav", subtype="FLOAT", expected_frames=expected_frames
        ) as writer:
            writer.write(noise(100, channels=2))
        assert soundfile.info(path).format == format
        assert np.array_equal(read_back(path), noise(100, channels=2))


def test_a_wav_that_outgrows_4_gib_unexpectedly_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_WAV_MAX_BYTES", 1000)
    writer = StemWriter(tmp_path / "s.wav", sample_rate=RATE, channels=1, format="wav")
    writer.write(noise(500))
    with pytest.raises(OutputError, match="4 GiB"):
        writer.write(noise(1))
    assert os.listdir(tmp_path) == []


def test_an_exception_leaves_the_old_stem_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "stem.flac"
    path.write_bytes(b"old")

    def fail_midway() -> None:
        with StemWriter(path, sample_rate=RATE, channels=1) as writer:
            writer.write(noise(100_000))
            raise KeyError("elsewhere")

    with pytest.raises(KeyError, match="elsewhere"):
        fail_midway()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["stem.flac"]


def test_abort_after_close_keeps_the_stem(tmp_path: Path) -> None:
    writer = StemWriter(tmp_path / "stem.flac", sample_rate=RATE, channels=1)
    writer.write(noise(10))
    writer.close()
    writer.abort()
    assert os.listdir(tmp_path) == ["stem.flac"]
    with pytest.raises(ValueError, match="closed"):
        writer.write(noise(10))
    with pytest.raises(ValueError, match="closed"):
        writer.close()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(bad: float, tmp_path: Path) -> None:
    writer = StemWriter(tmp_path / "stem.wav", sample_rate=RATE, channels=1, format="wav", subtype="FLOAT")
    with pytest.raises(OutputError, match="finite"):
        writer.write(np.array([[0.0, bad, 0.5]], dtype=np.float32))
    assert os.listdir(tmp_path) == []


def test_another_number_of_channels_is_refused(tmp_path: Path) -> None:
    writer = StemWriter(tmp_path / "s.wav", sample_rate=RATE, channels=2, format="wav")
    with pytest.raises(ValueError, match=r"\(2, n\)"):
        writer.write(noise(10))
    writer.abort()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"nowhere/stem\.flac.*No such file"):
        StemWriter(tmp_path / "nowhere" / "stem.flac", sample_rate=RATE, channels=1)


def test_a_folder_in_the_stems_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "stem.flac").mkdir()
    writer = StemWriter(tmp_path / "stem.flac", sample_rate=RATE, channels=1)
    writer.write(noise(10))
    with pytest.raises(OutputError, match="Is a directory"):
        writer.close()
    assert os.listdir(tmp_path) == ["stem.flac"]


def test_a_rate_the_encoder_refuses_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="0 Hz"):
        StemWriter(tmp_path / "s.wav", sample_rate=0, channels=1, format="wav")
    assert os.listdir(tmp_path) == []


def test_a_name_as_long_as_the_file_system_allows_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 125 + ".flac")
    with StemWriter(path, sample_rate=RATE, channels=1) as writer:
        writer.write(noise(10))
    assert path.exists()


# A limit on the size of files stands in for a full disk; it holds for the whole process, so it gets its own.
_FULL_DISK = """
import json, resource, sys
from pathlib import Path
import numpy as np
from uss_ray.audio.codec import StemWriter
from uss_ray.errors import OutputError

folder = Path(sys.argv[1])
noise = np.random.default_rng(0).uniform(-1, 1, (1, 10000)).astype(np.float32)
outcomes = []
for format, blocks, limit in json.loads(sys.argv[2]):
    path = folder / f"stem.{format}"
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        with StemWriter(path, sample_rate=32000, channels=1, format=format) as writer:
            for _ in range(blocks):
                writer.write(noise)
    except OutputError as error:
        outcomes.append(str(error))
    else:
        outcomes.append("committed")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(json.dumps(outcomes))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit on file sizes here")
def test_a_full_disk_is_noticed_at_any_moment_and_leaves_nothing(tmp_path: Path) -> None:
    while_writing, while_closing, at_the_first_byte = (300, 3_000_000), (2, 30_000), (2, 0)
    cases = [
        (format, *moment)
        for format in ("flac", "wav")
        for moment in (while_writing, while_closing, at_the_first_byte)
    ]
    cases += [("ogg", *moment) for moment in ((700, 1_100_000), (2, 6_000), at_the_first_byte)]
    done = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(tmp_path), json.dumps(cases)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    for (format, _, _), outcome in zip(cases, json.loads(done.stdout), strict=True):
        assert outcome.startswith(f"{tmp_path}/stem.{format}: expected")
        assert outcome.endswith("found File too large")
    assert os.listdir(tmp_path) == []


def test_a_file_that_lost_samples_on_its_way_is_not_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = StemWriter(tmp_path / "stem.wav", sample_rate=RATE, channels=1, format="wav")
    writer.write(noise(1000))
    writer.frames += 1
    with pytest.raises(OutputError, match="expected 1001 samples in the finished file, found 1000"):
        writer.close()
    assert os.listdir(tmp_path) == []


def loud(frames: int = 50_000) -> np.ndarray:
    waveform = (
        (0.2 * np.random.default_rng(2).standard_normal((2, frames))).clip(-0.9, 0.9).astype(np.float32)
    )
    waveform[1, 30_001] = -4.0
    waveform[0, 40_000:] *= 20_000
    return waveform


@pytest.mark.parametrize("format", ["flac", "wav"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_a_stem_beyond_full_scale_goes_on_as_floats_and_loses_nothing(
    format: str, subtype: str, tmp_path: Path
) -> None:
    waveform, digests = loud(), set()
    for block_frames in (700, 30_001, 50_000):
        writer = StemWriter(
            tmp_path / f"000012.000.{format}",
            sample_rate=44100,
            channels=2,
            format=format,
            subtype=subtype,
            expected_frames=50_000,
            grows=True,
        )
        with writer:
            for at in range(0, 50_000, block_frames):
                writer.write(waveform[:, at : at + block_frames])
            stem = writer.close()
        assert (stem.path, stem.coding) == (tmp_path / "000012.000.wav", "WAV/FLOAT")
        assert (stem.frames, stem.clipped_samples) == (50_000, 0)
        digests.add(stem.sha256)
    assert len(digests) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["000012.000.wav"]
    found = soundfile.read(stem.path, dtype="float32")[0].T
    assert np.array_equal(found[:, 30_001:], waveform[:, 30_001:])
    assert np.abs(found - waveform).max() <= 2.0 ** (-15 if subtype == "PCM_16" else -23)


def test_a_stem_within_full_scale_does_not_grow(tmp_path: Path) -> None:
    quiet = loud()[:, :30_000]
    for name, grows in (("a", True), ("b", False)):
        with StemWriter(tmp_path / f"{name}.flac", sample_rate=44100, channels=2, grows=grows) as writer:
            writer.write(quiet)
    assert (tmp_path / "a.flac").read_bytes() == (tmp_path / "b.flac").read_bytes()


def test_silence_before_a_loud_sound_is_kept_as_it_grows(tmp_path: Path) -> None:
    with StemWriter(tmp_path / "a.flac", sample_rate=44100, channels=2, grows=True) as writer:
        writer.write_silence(100_000)
        writer.write(np.full((2, 5), 2.0, np.float32))
        writer.write_silence(7)
    found = soundfile.read(tmp_path / "a.wav")[0]
    assert found.shape == (100_012, 2)
    assert found.sum() == 20.0


def test_an_exception_after_a_stem_has_grown_leaves_nothing(tmp_path: Path) -> None:
    writer = StemWriter(tmp_path / "a.flac", sample_rate=44100, channels=1, grows=True)
    writer.write(np.full((1, 500), 2.0, np.float32))
    with pytest.raises(OutputError, match="NaN"):
        writer.write(np.full((1, 5), np.nan, np.float32))
    assert list(tmp_path.iterdir()) == []
