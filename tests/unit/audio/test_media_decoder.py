"""The decoder alone; recordings of all kinds, through the reader, are in `test_mp4` and `test_odd_files`."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest

from tests.mp4 import encoded_mp4, silent_video
from tests.odd_files import encoded_media
from uss_ray.audio.decoding import DecodingError
from uss_ray.audio.media_decoder import MediaDecoder, has_media_decoder

RATE = 16_000
SOUND = (0.1 * np.random.default_rng(0).standard_normal((2, 5000))).astype(np.float32)
needs_av = pytest.mark.skipif(not has_media_decoder(), reason="PyAV is not installed")


@needs_av
def test_a_lossless_mp4_is_cut_by_its_edit_list_and_comes_in_blocks_as_asked_for() -> None:
    decoder = MediaDecoder(io.BytesIO(encoded_mp4(SOUND, rate=RATE, coding="alac")), kind="MP4")
    spec = decoder.spec
    assert (spec.sample_rate, spec.channels, spec.frames) == (RATE, 2, 5000)
    assert (spec.format, spec.decoder) == ("MP4", "FFmpeg")
    assert not decoder.started
    blocks = [decoder.read(2048) for _ in range(4)]
    assert [block.shape for block in blocks] == [(2, 2048), (2, 2048), (2, 904), (2, 0)]
    np.testing.assert_allclose(np.concatenate(blocks, axis=1), SOUND, atol=2.0**-23)
    assert decoder.started
    decoder.close()


@needs_av
def test_a_lossy_coding_has_its_name_and_its_length() -> None:
    spec = MediaDecoder(io.BytesIO(encoded_mp4(SOUND, rate=RATE)), kind="MP4").spec
    assert (spec.subtype, spec.frames) == ("AAC", 5000)


@needs_av
def test_other_containers_leave_their_length_open_and_tell_what_is_in_them() -> None:
    content = encoded_media(SOUND, rate=RATE, container="matroska", coding="flac")
    decoder = MediaDecoder(io.BytesIO(content))
    assert decoder.spec.frames is None
    assert decoder.spec.format == "MATROSKA"
    assert decoder.spec.subtype in ("PCM_16", "PCM_32")
    assert decoder.read(10_000).shape == (2, 5000)


@needs_av
@pytest.mark.parametrize(("content", "kind"), [(b"no container" * 20, "media"), (b"\0" * 200, "MP4")])
def test_what_is_no_container_is_refused_in_one_line(content: bytes, kind) -> None:
    with pytest.raises(DecodingError, match="something that cannot be decoded") as caught:
        MediaDecoder(io.BytesIO(content), kind=kind)
    assert "\n" not in caught.value.found


@needs_av
def test_a_picture_alone_has_no_sound_track() -> None:
    with pytest.raises(DecodingError, match="a file without a sound track"):
        MediaDecoder(io.BytesIO(silent_video()))


def test_without_ffmpeg_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    assert not has_media_decoder()
    with pytest.raises(DecodingError) as caught:
        MediaDecoder(io.BytesIO(b""))
    assert caught.value.expected is not None
    assert "pip install 'uss-ray[media]'" in caught.value.expected


@pytest.mark.parametrize(("number", "is_refused"), [("14.0.1", True), ("17.0.1", True), ("17.1.0", False)])
def test_a_pyav_that_does_not_cut_lead_ins_is_named(
    monkeypatch: pytest.MonkeyPatch, number: str, is_refused: bool
) -> None:
    av = pytest.importorskip("av")
    monkeypatch.setattr(av, "__version__", number)
    content = encoded_mp4(SOUND, rate=RATE)
    if is_refused:
        with pytest.raises(DecodingError, match=f"PyAV {number}"):
            MediaDecoder(io.BytesIO(content), kind="MP4")
    else:
        MediaDecoder(io.BytesIO(content), kind="MP4").close()
