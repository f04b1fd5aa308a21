"""Stems in Vorbis, Opus and MP3: as many samples as went in, where they belong, and the same bytes each time."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.audio.test_writing import read_back
from uss_ray.audio.capacity import MP3_RATES, OPUS_RATES
from uss_ray.audio.codec import StemWriter, open_recording
from uss_ray.errors import ConfigError, OutputError

VORBIS_RATES = (8000, 11025, 16000, 22050, 32000, 44099, 44100, 48000, 96000, 200000)
CODINGS = [("ogg", rate) for rate in VORBIS_RATES] + [("opus", rate) for rate in OPUS_RATES]
CODINGS += [("mp3", rate) for rate in MP3_RATES]
SPEC = {"ogg": ("OGG", "VORBIS"), "opus": ("OGG", "OPUS"), "mp3": ("MP3", "MPEG_LAYER_III")}


def tones(frames: int, *, rate: int, channels: int) -> NDArray[np.float32]:
    """A tone of its own in each channel, 300 Hz and up."""
    seconds = np.arange(frames) / rate
    return np.stack(
        [0.3 * np.sin(2 * np.pi * (300 + 97 * channel) * seconds) for channel in range(channels)]
    ).astype(np.float32)


def write(path: Path, waveform: NDArray[np.float32], *, rate: int, block_frames: int = 4000) -> str:
    with StemWriter(
        path, sample_rate=rate, channels=len(waveform), format=path.suffix.removeprefix(".")
    ) as writer:
        for start in range(0, waveform.shape[1], block_frames):
            writer.write(waveform[:, start : start + block_frames])
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fidelity_db(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> NDArray[np.float64]:
    """Signal to difference of each channel."""
    difference = np.square(found - wanted, dtype=np.float64).sum(axis=1)
    return 10 * np.log10(np.square(wanted, dtype=np.float64).sum(axis=1) / difference)


@pytest.mark.parametrize("frames", [1, pytest.param(959, marks=pytest.mark.slow), 20_003])
@pytest.mark.parametrize(
    ("format", "rate", "channels"),
    [(*coding, channels) for coding in CODINGS for channels in ((1, 2) if coding[0] == "mp3" else (1, 2, 5))],
)
def test_rate_channels_and_every_frame_come_back(
    format: str, rate: int, channels: int, frames: int, tmp_path: Path
) -> None:
    path = tmp_path / f"stem.{format}"
    waveform = tones(frames, rate=rate, channels=channels)
    write(path, waveform, rate=rate)
    with open_recording(path) as reader:
        spec = reader.spec
    assert (spec.sample_rate, spec.channels, spec.frames) == (rate, channels, frames)
    assert (spec.format, spec.subtype) == SPEC[format]
    back = read_back(path)
    assert back.shape == waveform.shape
    if frames > 1000:  # a shift by one sample of the highest tone at 8 kHz would leave 5 dB
        assert fidelity_db(back, waveform).min() > 15


@pytest.mark.parametrize(
    ("format", "channels"), [("ogg", n) for n in (3, 4, 7, 8, 9, 32)] + [("opus", n) for n in (3, 4, 9, 32)]
)
def test_every_channel_is_kept_in_its_place(format: str, channels: int, tmp_path: Path) -> None:
    waveform = tones(12_000, rate=24000, channels=channels)
    write(tmp_path / f"s.{format}", waveform, rate=24000)
    back = read_back(tmp_path / f"s.{format}")
    heard, wanted = (np.abs(np.fft.rfft(part, axis=1)).argmax(axis=1) for part in (back, waveform))
    assert np.abs(heard - wanted).max() <= 1  # steps of 2 Hz; neighbours differ by 97 Hz
    assert np.allclose(back.std(axis=1), waveform.std(axis=1), rtol=0.1)


@pytest.mark.parametrize(("format", "channels"), [("ogg", 6), ("opus", 6), ("opus", 7), ("opus", 8)])
def test_a_number_of_channels_with_a_subwoofer_among_them_is_refused(
    format: str, channels: int, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"subwoofer") as refusal:
        StemWriter(tmp_path / f"s.{format}", sample_rate=48000, channels=channels, format=format)
    assert "use flac or wav" in str(refusal.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("format", "rate", "channels", "way_out"),
    [
        ("opus", 44100, 2, "use ogg or flac"),
        ("opus", 32000, 1, "use ogg or flac"),
        ("opus", 96000, 1, "use ogg or flac"),
        ("mp3", 96000, 2, "use ogg or flac"),
        ("mp3", 44100, 3, "at most 2 channels in MP3"),
        ("ogg", 200001, 1, "use flac or wav"),
        ("ogg", 48000, 256, "use wav"),
        ("opus", 48000, 256, "use wav"),
    ],
)
def test_what_a_lossy_format_cannot_hold_names_the_way_out(
    format: str, rate: int, channels: int, way_out: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=way_out):
        StemWriter(tmp_path / f"s.{format}", sample_rate=rate, channels=channels, format=format)
    assert os.listdir(tmp_path) == []


KINDS = [("ogg", 44100), ("ogg", 8000), ("opus", 48000), ("mp3", 44100), ("mp3", 16000)]


@pytest.fixture(scope="module")
def written_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What another process makes of a stem of each kind."""
    folder = tmp_path_factory.mktemp("elsewhere")
    program = (
        "import sys, numpy as np\n"
        "from uss_ray.audio.codec import StemWriter\n"
        "for kind in sys.argv[1:]:\n"
        "    format, rate = kind.split('-')\n"
        "    with StemWriter(kind, sample_rate=int(rate), channels=2, format=format) as writer:\n"
        "        writer.write(np.load(kind + '.npy'))\n"
    )
    names = [f"{format}-{rate}" for format, rate in KINDS]
    for name, (_, rate) in zip(names, KINDS, strict=True):
        np.save(folder / f"{name}.npy", tones(50_001, rate=rate, channels=2))
    subprocess.run([sys.executable, "-c", program, *names], cwd=folder, check=True)
    return folder


@pytest.mark.parametrize(("format", "rate"), KINDS)
def test_the_bytes_do_not_depend_on_the_blocks_nor_on_the_run(
    format: str, rate: int, written_elsewhere: Path, tmp_path: Path
) -> None:
    waveform = tones(50_001, rate=rate, channels=2)
    hashes = {
        write(tmp_path / f"{block_frames}.{format}", waveform, rate=rate, block_frames=block_frames)
        for block_frames in (1000, 4096, 50_001, 777)
    }
    hashes.add(hashlib.sha256((written_elsewhere / f"{format}-{rate}").read_bytes()).hexdigest())
    assert len(hashes) == 1


@pytest.mark.parametrize("format", ["ogg", "opus", "mp3"])
def test_silence_between_sounds_has_its_length(format: str, tmp_path: Path) -> None:
    path = tmp_path / f"s.{format}"
    sound = tones(24_000, rate=48000, channels=1)
    with StemWriter(path, sample_rate=48000, channels=1, format=format) as writer:
        writer.write(sound)
        writer.write_silence(200_000)
        writer.write(sound)
    back = read_back(path)
    assert back.shape == (1, 248_000)
    assert np.abs(back[:, 30_000:222_000]).max() < 1e-3
    assert fidelity_db(back[:, 225_000:], sound[:, 1000:]).min() > 15


@pytest.mark.parametrize("format", ["ogg", "opus", "mp3"])
def test_samples_beyond_full_scale_are_clipped_and_counted(format: str, tmp_path: Path) -> None:
    loud = 4 * tones(24_000, rate=48000, channels=1)
    with StemWriter(tmp_path / "s", sample_rate=48000, channels=1, format=format) as writer:
        writer.write(loud)
    assert writer.clipped_samples == np.count_nonzero(np.abs(loud) > 1) > 0
    assert np.abs(read_back(tmp_path / "s")).max() < 1.2


@pytest.mark.parametrize("format", ["ogg", "opus", "mp3"])
def test_close_tells_what_was_committed_and_an_exception_leaves_nothing(format: str, tmp_path: Path) -> None:
    path = tmp_path / f"s.{format}"
    writer = StemWriter(path, sample_rate=48000, channels=1, format=format)
    writer.write(tones(10_000, rate=48000, channels=1))
    assert not path.exists()
    stem = writer.close()
    assert (stem.frames, stem.file_bytes) == (10_000, path.stat().st_size)
    assert stem.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()

    def fail_midway() -> None:
        with StemWriter(path, sample_rate=48000, channels=1, format=format) as writer:
            writer.write(tones(10_000, rate=48000, channels=1))
            raise KeyError("elsewhere")

    with pytest.raises(KeyError, match="elsewhere"):
        fail_midway()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == stem.sha256
    assert os.listdir(tmp_path) == [path.name]


def test_a_page_that_cannot_be_read_back_is_not_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path) -> int:
        raise OSError("expected a whole Ogg page at byte 7, found something else")

    monkeypatch.setattr("uss_ray.audio.writing.settle_serial_number", broken)
    writer = StemWriter(tmp_path / "s.ogg", sample_rate=48000, channels=1, format="ogg")
    writer.write(tones(1000, rate=48000, channels=1))
    with pytest.raises(OutputError, match="whole Ogg page at byte 7"):
        writer.close()
    assert os.listdir(tmp_path) == []


def ffmpeg_decoded(path: Path, *, rate: int, channels: int) -> np.ndarray:
    """Decode with the FFmpeg libraries of PyAV, which must have nothing to complain of."""
    av = pytest.importorskip("av")
    av.logging.set_level(av.logging.WARNING)
    resampler = av.AudioResampler(format="fltp", layout="mono" if channels == 1 else "stereo", rate=rate)
    with av.logging.Capture(local=False) as complaints, av.open(str(path)) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    av.logging.set_level(None)
    assert complaints == []
    frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray() for frame in frames], axis=1)


@pytest.mark.parametrize(
    ("format", "rate"),
    [("ogg", 44100), ("ogg", 8000), ("opus", 48000), ("opus", 16000), ("mp3", 44100), ("mp3", 16000)],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_ffmpeg_hears_the_same(format: str, rate: int, channels: int, tmp_path: Path) -> None:
    waveform = tones(30_001, rate=rate, channels=channels)
    write(tmp_path / f"s.{format}", waveform, rate=rate)
    heard = ffmpeg_decoded(tmp_path / f"s.{format}", rate=rate, channels=channels)
    # ffmpeg ends Vorbis at a whole coding block, of at most 1024 samples
    assert abs(heard.shape[1] - waveform.shape[1]) <= (1024 if format == "ogg" else 0)
    common = min(heard.shape[1], waveform.shape[1])
    assert fidelity_db(heard[:, :common], waveform[:, :common]).min() > 15
