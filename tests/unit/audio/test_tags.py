"""What files say besides their sound, as other programs wrote it; damage is passed over."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from uss_ray.audio.codec import open_recording
from uss_ray.audio.tags import NO_TAGS, RecordingTags, read_tags

RATE = 48_000
SOUND = 0.1 * np.random.default_rng(0).standard_normal(RATE // 2).astype(np.float32)


def sounding(container: str, subtype: str | None = None, **texts: str) -> bytes:
    """A file of libsndfile's with texts of its own names."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", RATE, 1, subtype, format=container) as writer:
        for name, text in texts.items():
            setattr(writer, name, text)
        writer.write(SOUND)
    return file.getvalue()


def of_ffmpeg(container: str, codec: str, **metadata: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        output.metadata.update(metadata)
        stream = output.add_stream(codec, rate=RATE)
        if container in ("ogg", "opus"):
            stream.metadata.update(metadata)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray((SOUND[None] * 32767).astype(np.int16), "s16", "mono")
        frame.sample_rate = RATE
        for packet in (*stream.encode(frame), *stream.encode()):
            output.mux(packet)
    return file.getvalue()


def tags_of(content: bytes) -> RecordingTags:
    return read_tags(io.BytesIO(content), file_bytes=len(content))


def chunk(name: bytes, body: bytes) -> bytes:
    return name + len(body).to_bytes(4, "little") + body + bytes(len(body) % 2)


def with_chunk(wav: bytes, more: bytes, *, behind: bool) -> bytes:
    at = len(wav) if behind else wav.index(b"data")
    content = wav[:at] + more + wav[at:]
    return content[:4] + (len(content) - 8).to_bytes(4, "little") + content[8:]


@pytest.mark.parametrize(
    ("container", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("RF64", "PCM_16"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
    ],
)
def test_what_libsndfile_writes_is_read(container, subtype):
    content = sounding(container, subtype, title="Brook", artist="Ann", comment="two herons", date="2026")
    found = dict(tags_of(content).texts)
    expected = {"TITLE": "Brook", "ARTIST": "Ann", "COMMENT": "two herons", "DATE": "2026"}
    assert {name: found.get(name) for name in expected} == expected


def test_names_of_aiff_are_read():
    found = dict(tags_of(sounding("AIFF", title="Brook", artist="Ann", copyright="2026 Ann")).texts)
    assert (found["TITLE"], found["ARTIST"], found["COPYRIGHT"]) == ("Brook", "Ann", "2026 Ann")


@pytest.mark.parametrize(
    ("container", "codec"),
    [("wav", "pcm_s16le"), ("flac", "flac"), ("ogg", "libopus"), ("mp3", "libmp3lame")],
)
def test_what_ffmpeg_writes_is_read(container, codec):
    content = of_ffmpeg(container, codec, title="Brook é", artist="Ann", comment="two herons")
    found = dict(tags_of(content).texts)
    comment = found.get("COMMENT", found.get("DESCRIPTION"))  # as FFmpeg calls it in Vorbis comments
    assert (found["TITLE"], found["ARTIST"], comment) == ("Brook é", "Ann", "two herons")
    assert "ENCODER" not in found


@pytest.mark.parametrize("behind", [False, True])
def test_chunks_of_broadcast_are_read_wherever_they_lie(behind):
    bext, ixml = b"Dawn".ljust(602, b"\0") + b"A=PCM\r\n", b"<BWFXML/>"
    wav = with_chunk(sounding("WAV"), chunk(b"bext", bext) + chunk(b"iXML", ixml), behind=behind)
    assert tags_of(wav) == RecordingTags(bext=bext, ixml=ixml)
    with open_recording(io.BytesIO(wav), name="a") as reader:
        assert reader.tagged_spec().tags == RecordingTags(bext=bext, ixml=ixml)
        assert sum(block.shape[1] for block in reader.blocks(1000)) == len(SOUND)
        assert reader.spec.tags == NO_TAGS


def test_id3_in_a_wav_and_of_older_versions_is_read():
    def frame(name: bytes, body: bytes) -> bytes:
        return name + len(body).to_bytes(4, "big") + b"\0\0" + body

    frames = frame(b"TIT2", b"\x01" + "Brook é".encode("utf-16")) + frame(b"TYER", b"\x002026")
    frames += (
        frame(b"TXXX", b"\x00Mic\0M50") + frame(b"COMM", b"\x00eng\0two herons") + frame(b"APIC", b"\0" * 50)
    )
    id3 = b"ID3\x03\0\0" + bytes([0, 0, len(frames) >> 7, len(frames) & 127]) + frames
    expected = (("TITLE", "Brook é"), ("DATE", "2026"), ("MIC", "M50"), ("COMMENT", "two herons"))
    assert tags_of(with_chunk(sounding("WAV"), chunk(b"id3 ", id3), behind=True)).texts == expected
    assert tags_of(id3 + sounding("MP3", "MPEG_LAYER_III")).texts == expected
    old = b"TT2\0\0\x06\0Brook"
    assert tags_of(b"ID3\x02\0\0\0\0\0" + bytes([len(old)]) + old + sounding("MP3")).texts == (
        ("TITLE", "Brook"),
    )


def test_the_tag_at_the_end_of_an_mp3_is_read():
    tail = b"TAG" + b"Brook".ljust(30, b"\0") + b"Ann".ljust(30) + bytes(30) + b"2026" + bytes(31)
    found = dict(tags_of(sounding("MP3", "MPEG_LAYER_III") + tail).texts)
    assert (found["TITLE"], found["ARTIST"], found["DATE"]) == ("Brook", "Ann", "2026")


def test_pictures_gains_and_long_words_are_left_out():
    words = {
        "title": "Brook",
        "REPLAYGAIN_TRACK_GAIN": "-3 dB",
        "METADATA_BLOCK_PICTURE": "AAAA",
        "lyrics": "x" * 9000,
    }
    assert [name for name, _ in tags_of(of_ffmpeg("flac", "flac", **words)).texts] == ["TITLE"]


def test_tags_travel_as_text():
    tags = RecordingTags(texts=(("TITLE", "é"), ("A", "b")), bext=bytes(range(256)) * 3, ixml=b"<a/>")
    assert RecordingTags.from_text(tags.to_text()) == tags
    assert NO_TAGS.to_text() == ""
    assert RecordingTags.from_text("") == NO_TAGS


FILES = [
    with_chunk(sounding("WAV", title="Brook"), chunk(b"bext", bytes(700)), behind=False),
    sounding("FLAC", title="Brook"),
    sounding("OGG", "VORBIS", title="Brook"),
    sounding("MP3", "MPEG_LAYER_III", title="Brook"),
    sounding("AIFF", title="Brook"),
]


@given(st.sampled_from(FILES), st.integers(0, 1500), st.binary(min_size=1, max_size=8), st.integers(0, 2000))
def test_damage_is_passed_over(content, at, damage, stop):
    broken = content[:at] + damage + content[at + len(damage) :]
    for file in (broken, broken[:stop]):
        tags = tags_of(file)
        tags.moved(48_000)
        assert all(isinstance(text, str) for _, text in tags.comments())


def test_a_time_of_day_moves_with_the_start_of_a_piece():
    tags = RecordingTags(bext=bytes(338) + (2**32 - 1).to_bytes(8, "little") + bytes(256))
    assert tags.moved(0) is tags
    assert dict(tags.moved(2).comments())["TIME_REFERENCE"] == str(2**32 + 1)
