"""What files say besides their sound, as other programs wrote it; damage is passed over."""

from __future__ import annotations

import base64
import io
import struct
import zlib

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


class Counted(io.BytesIO):
    """Counts the bytes that are read of it."""

    bytes_read = 0

    def read(self, count: int | None = -1) -> bytes:
        found = super().read(count)
        self.bytes_read += len(found)
        return found


def id3(frames: bytes, *, version: int = 3, flags: int = 0) -> bytes:
    size = bytes(len(frames) >> 7 * place & 127 for place in (3, 2, 1, 0))
    return b"ID3" + bytes([version, 0, flags]) + size + frames


def frame(name: bytes, body: bytes, *, flags: int = 0, version: int = 3) -> bytes:
    bits = 7 if version == 4 else 8
    size = bytes(len(body) >> bits * place & ((1 << bits) - 1) for place in (3, 2, 1, 0))
    return name + size + bytes([0, flags]) + body


WORDS = frame(b"TIT2", b"\0Dawn chorus") + frame(b"TPE1", b"\0A. Recordist")
TEXTS = (("TITLE", "Dawn chorus"), ("ARTIST", "A. Recordist"))
PICTURE = bytes(range(1, 200)) * 20_000


def with_picture(kind: str) -> bytes:
    tag = id3(frame(b"APIC", b"\0image/jpeg\0\3\0" + PICTURE) + WORDS)
    words = [
        b"METADATA_BLOCK_PICTURE=" + base64.b64encode(PICTURE),
        b"TITLE=Dawn chorus",
        b"ARTIST=A. Recordist",
    ]
    comment = (
        b"\0\0\0\0" + struct.pack("<I", 3) + b"".join(struct.pack("<I", len(one)) + one for one in words)
    )
    if kind == "MP3":
        return tag + sounding("MP3", "MPEG_LAYER_III")
    if kind == "WAV":
        return with_chunk(sounding("WAV"), chunk(b"id3 ", tag), behind=True)
    if kind == "INFO":
        info = (
            b"INFO"
            + chunk(b"IPIC", PICTURE)
            + chunk(b"INAM", b"Dawn chorus")
            + chunk(b"IART", b"A. Recordist")
        )
        return with_chunk(sounding("WAV"), chunk(b"LIST", info), behind=False)
    if kind == "AIFF":
        plain = sounding("AIFF")
        content = plain + b"ID3 " + len(tag).to_bytes(4, "big") + tag + bytes(len(tag) % 2)
        return content[:4] + (len(content) - 8).to_bytes(4, "big") + content[8:]
    if kind == "FLAC":
        plain = sounding("FLAC")
        return plain[:42] + b"\4" + len(comment).to_bytes(3, "big") + comment + plain[42:]
    first = b"\x01vorbis" + bytes(23) if kind == "VORBIS" else b"OpusHead" + bytes(11)
    packet = (b"\x03vorbis" if kind == "VORBIS" else b"OpusTags") + comment
    pieces = [packet[at : at + 255] for at in range(0, len(packet) + 1, 255)]
    pages = [(b"SAME", [first])]
    for at in range(0, len(pieces), 255):
        pages += [(b"SAME", pieces[at : at + 255]), (b"ELSE", [b"x" * 100])]
    return b"".join(
        b"OggS".ljust(14, b"\0")
        + serial
        + bytes(8)
        + bytes([len(held)])
        + bytes(map(len, held))
        + b"".join(held)
        for serial, held in pages
    )


@pytest.mark.parametrize("kind", ["MP3", "WAV", "INFO", "AIFF", "FLAC", "VORBIS", "OPUS"])
def test_a_large_picture_hides_no_words_and_is_not_read(kind):
    file = Counted(with_picture(kind))
    found = read_tags(file, file_bytes=len(file.getvalue())).texts
    assert tuple(text for text in found if text[0] in ("TITLE", "ARTIST")) == TEXTS
    assert file.bytes_read < len(PICTURE) // 8


def test_long_chunks_of_broadcast_are_read():
    bext = b"Dawn".ljust(602, b"\0") + b"A=PCM\r\n" * 10_000
    ixml = b"<BWFXML>" + b" " * 100_000 + b"</BWFXML>"
    wav = with_chunk(sounding("WAV"), chunk(b"bext", bext) + chunk(b"iXML", ixml), behind=True)
    assert tags_of(wav) == RecordingTags(bext=bext, ixml=ixml)


def test_what_itunes_notes_for_itself_is_no_comment():
    notes = frame(b"COMM", b"\0engiTunNORM\0 00000A2B 00000B7C")
    notes += frame(b"COMM", b"\x01eng" + "iTunSMPB".encode("utf-16") + b"\0\0" + "00 01".encode("utf-16"))
    notes += frame(b"TXXX", b"\0iTunPGAP\0001") + frame(b"COMM", b"\0eng\0two herons")
    assert tags_of(id3(notes) + sounding("MP3")).texts == (("COMMENT", "two herons"),)
    old = b"COM\0\0\x16\0engiTunNORM\0 00000A2B"
    assert tags_of(id3(old, version=2) + sounding("MP3")).texts == ()


TITLE = b"\x03Title!"
PACKED = zlib.compress(TITLE)
ODD = b"\x01\xff\xfeT\0\xff\0"


@pytest.mark.parametrize(
    ("version", "flags", "body", "title"),
    [
        (4, 0x01, bytes([0, 0, 0, 7]) + TITLE, "Title!"),
        (4, 0x40, b"G" + TITLE, "Title!"),
        (4, 0x41, b"G" + bytes([0, 0, 0, 7]) + TITLE, "Title!"),
        (4, 0x02, ODD.replace(b"\xff", b"\xff\0"), "T\xff"),
        (4, 0x03, bytes([0, 0, 0, 7]) + ODD.replace(b"\xff", b"\xff\0"), "T\xff"),
        (4, 0x09, bytes([0, 0, 0, 7]) + PACKED, "Title!"),
        (4, 0x09, bytes([0, 0, 0, 7]) + PACKED[:4], None),
        (4, 0x05, b"E" + bytes([0, 0, 0, 7]) + TITLE, None),
        (3, 0x80, bytes([0, 0, 0, 7]) + PACKED, "Title!"),
        (3, 0x20, b"G" + TITLE, "Title!"),
        (3, 0x40, b"E" + TITLE, None),
    ],
)
def test_what_flags_of_a_frame_say_is_undone(version, flags, body, title):
    frames = frame(b"TIT2", body, flags=flags, version=version)
    frames += frame(b"TPE1", b"\0Ann", version=version)
    found = dict(tags_of(id3(frames, version=version) + sounding("MP3")).texts)
    assert (found.get("TITLE"), found["ARTIST"]) == (title, "Ann")


@pytest.mark.parametrize("version", [3, 4])
def test_a_tag_that_is_unsynchronised_as_a_whole_is_read(version):
    def written(body: bytes) -> bytes:
        return body.replace(b"\xff", b"\xff\0")

    frames = frame(b"TIT2", ODD if version == 3 else written(ODD), version=version) + frame(
        b"TPE1", b"\0Ann", version=version
    )
    tag = id3(written(frames) if version == 3 else frames, version=version, flags=0x80)
    assert tags_of(tag + sounding("MP3")).texts == (("TITLE", "T\xff"), ("ARTIST", "Ann"))


FILES = [
    id3(frame(b"TIT2", bytes([0, 0, 0, 7]) + PACKED, flags=9, version=4) + WORDS, version=4)
    + sounding("MP3"),
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
