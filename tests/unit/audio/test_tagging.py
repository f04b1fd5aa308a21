"""What stems say of themselves, read back by FFmpeg, wavinfo and libsndfile; their sound stays as it is."""

from __future__ import annotations

import struct

import av
import numpy as np
import pytest
import soundfile
from wavinfo import WavInfoReader

from uss_ray.audio.codec import open_recording
from uss_ray.audio.tagging import Cue, StemTags, write_tagged
from uss_ray.audio.tags import RecordingTags
from uss_ray.audio.writing import StemWriter
from uss_ray.errors import OutputError

RATE = 48_000
IXML = (
    b'<?xml version="1.0" encoding="UTF-8"?><BWFXML><PROJECT>Brook</PROJECT><SPEED>'
    b"<TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI>0</TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI>"
    b"<TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO>4294967290</TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO>"
    b"</SPEED></BWFXML>"
)


def bext(*, since_midnight: int = 1_000_000) -> bytes:
    texts = (
        (b"Dawn at the brook", 256),
        (b"Recorder 7", 32),
        (b"R7-0001", 32),
        (b"2026-05-01", 10),
        (b"04:30:00", 8),
    )
    body = b"".join(text.ljust(size, b"\0") for text, size in texts)
    body += struct.pack("<QH", since_midnight, 1) + bytes(64 + 190)
    return body + b"A=PCM,F=48000,W=24,M=mono\r\n\0"


RECORDING = RecordingTags(
    texts=(
        ("TITLE", "Brook é"), ("ARTIST", "Ann"), ("ARTIST", "Ben"), ("COMMENT", "two herons"), ("MICROPHONE", "M50")
    ),
    bext=bext(),
    ixml=IXML,
)  # fmt: skip
CUES = (Cue(480, 4800, "Dog"), Cue(9600, 1, "Dog"))
TAGS = StemTags(
    recording=RECORDING, comment="Dog (/m/0bt9lr), separated by USS-Ray 1", software="USS-Ray 1", cues=CUES
)


def noise(seconds: float, *, channels: int = 1) -> np.ndarray:
    frames = int(seconds * RATE)
    return 0.1 * np.random.default_rng(1).standard_normal((channels, frames)).astype(np.float32)


def written(path, *, tags: StemTags | None, **options):
    with StemWriter(path, sample_rate=RATE, channels=1, format=path.suffix[1:], **options) as writer:
        writer.write(noise(1.5))
        return writer.close(tags)


def said(path) -> dict[str, str]:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return {name.upper(): text for name, text in (container.metadata | stream.metadata).items()}


@pytest.mark.parametrize("suffix", ["flac", "wav", "ogg", "opus", "mp3"])
def test_the_sound_is_the_same_with_words_and_without(tmp_path, suffix):
    bare = written(tmp_path / f"bare.{suffix}", tags=None)
    tagged = written(tmp_path / f"tagged.{suffix}", tags=TAGS)
    assert tagged.sha256 != bare.sha256
    assert (tagged.frames, tagged.coding) == (bare.frames, bare.coding)
    sounds = [soundfile.read(written.path, dtype="float32")[0] for written in (bare, tagged)]
    np.testing.assert_array_equal(*sounds)
    with open_recording(tagged.path) as reader:
        assert reader.spec.note is None
        assert sum(block.shape[1] for block in reader.blocks(RATE)) == bare.frames
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"bare.{suffix}", f"tagged.{suffix}"]


@pytest.mark.parametrize("suffix", ["flac", "wav", "ogg", "opus", "mp3"])
def test_the_same_words_give_the_same_bytes(tmp_path, suffix):
    digests = {written(tmp_path / f"{number}.{suffix}", tags=TAGS).sha256 for number in range(2)}
    assert len(digests) == 1


@pytest.mark.parametrize("suffix", ["flac", "ogg", "opus"])
def test_ffmpeg_reads_vorbis_comments(tmp_path, suffix):
    found = said(written(tmp_path / f"a.{suffix}", tags=TAGS).path)
    assert found["TITLE"] == "Brook é"
    assert found["ARTIST"] == "Ann;Ben"
    assert found["MICROPHONE"] == "M50"
    assert found["COMMENT"] == "two herons;Dog (/m/0bt9lr), separated by USS-Ray 1"
    assert found["ENCODER"] == "USS-Ray 1"
    assert found["ORIGINATOR"] == "Recorder 7"
    assert found["TIME_REFERENCE"] == "1000000"
    assert found["IXML"] == IXML.decode()


def test_ffmpeg_reads_id3(tmp_path):
    found = said(written(tmp_path / "a.mp3", tags=TAGS).path)
    assert (found["TITLE"], found["MICROPHONE"]) == ("Brook é", "M50")
    assert found["COMMENT"] == "two herons; Dog (/m/0bt9lr), separated by USS-Ray 1"
    assert found["TIME_REFERENCE"] == "1000000"


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_wav_has_the_chunks_of_broadcast_and_cue_points(tmp_path, subtype):
    path = written(tmp_path / "a.wav", tags=TAGS, subtype=subtype).path
    info = WavInfoReader(str(path), info_encoding="utf-8")
    assert info.bext.description == "Dawn at the brook"
    assert info.bext.time_reference == 1_000_000
    assert info.bext.coding_history.strip("\r\n\0") == "A=PCM,F=48000,W=24,M=mono"
    assert info.ixml.project == "Brook"
    assert info.info.title == "Brook é"
    assert info.info.artist == "Ann; Ben"
    assert info.info.comment == "two herons; Dog (/m/0bt9lr), separated by USS-Ray 1"
    assert [(cue.name, cue.position) for cue in info.cues.cues] == [(1, 480), (2, 9600)]
    assert [(label.name, label.text) for label in info.cues.labels] == [(1, "Dog"), (2, "Dog")]
    assert [(one.name, one.length) for one in info.cues.ranges] == [(1, 4800), (2, 1)]
    found = said(path)
    assert (found["TIME_REFERENCE"], found["DATE"]) == ("1000000", "2026-05-01")
    assert soundfile.info(path).frames == int(1.5 * RATE)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_piece_of_a_recording_has_its_own_time_of_day(tmp_path, suffix):
    tags = StemTags(recording=RECORDING, comment="c", software="s", start_frame=96_000)
    found = said(written(tmp_path / f"a.{suffix}", tags=tags).path)
    assert found["TIME_REFERENCE"] == "1096000"
    with open_recording(tmp_path / f"a.{suffix}") as reader:
        ixml = reader.tagged_spec().tags.ixml or dict(reader.tagged_spec().tags.texts)["IXML"].encode()
    assert b"MIDNIGHT_HI>1<" in ixml
    assert f"MIDNIGHT_LO>{(4294967290 + 96_000) % 2**32}<".encode() in ixml


def test_a_long_wav_keeps_the_chunk_of_its_sizes_first(tmp_path):
    path = written(tmp_path / "a.wav", tags=TAGS, expected_frames=2**32).path
    content = path.read_bytes()
    assert content[:4] + content[8:16] == b"RF64WAVEds64"
    assert int.from_bytes(content[20:28], "little") == len(content) - 8
    assert said(path)["TIME_REFERENCE"] == "1000000"
    assert soundfile.info(path).frames == int(1.5 * RATE)


def test_words_that_fill_many_pages_of_ogg_are_whole(tmp_path):
    long = tuple((f"NOTE{number}", "x" * 8000) for number in range(20))
    tags = StemTags(recording=RecordingTags(texts=long), comment="c", software="s")
    for suffix in ("ogg", "opus"):
        path = written(tmp_path / f"a.{suffix}", tags=tags).path
        found = said(path)
        assert [found[f"NOTE{number}"] for number in range(20)] == ["x" * 8000] * 20
        assert soundfile.info(path).frames == int(1.5 * RATE)


def test_a_disk_that_fills_leaves_nothing(tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("uss_ray.audio.tagging.shutil.copyfileobj", full)
    with pytest.raises(OutputError, match="No space left"):
        written(tmp_path / "a.flac", tags=TAGS)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_such_file_is_a_fault(tmp_path):
    (tmp_path / "a").write_bytes(b"OggS")
    for stem_format in ("flac", "ogg"):
        with open(tmp_path / "b", "wb") as target, pytest.raises(OSError, match="expected"):
            write_tagged(tmp_path / "a", target, stem_format=stem_format, tags=TAGS)
