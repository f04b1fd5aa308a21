from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.mp4 import empty_mp4, encoded_mp4
from uss_ray.audio.media_decoder import has_media_decoder
from uss_ray.audio.resample import BlockResampler
from uss_ray.errors import DataError
from uss_ray.evaluation.items import Item, ItemSource
from uss_ray.evaluation.sounds import SoundShelf, mix, rounded
from uss_ray.store.store import Store

RATE = 8_000


def source(path: str, **values: object) -> ItemSource:
    return ItemSource(**{"role": "target", "path": path, "label": path, **values})  # type: ignore[arg-type]


def item(*sources: ItemSource, **values: object) -> Item:
    told = {"item_id": "a", "label": "", "seconds": 0.0, "sample_rate": 0, "protocol": "strict", "seed": 0}
    return Item(**{**told, **values}, sources=sources)  # type: ignore[arg-type]


@pytest.fixture
def shelf(tmp_path: Path) -> SoundShelf:
    ramp = np.arange(RATE, dtype=np.float32) / RATE
    soundfile.write(tmp_path / "ramp.wav", ramp, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "two.wav", np.stack([ramp, -ramp / 2], axis=1), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "other.wav", ramp, RATE * 2, subtype="FLOAT")
    (tmp_path / "cut.wav").write_bytes((tmp_path / "ramp.wav").read_bytes()[:50])
    return SoundShelf(Store(tmp_path))


def test_channels_are_averaged_and_pieces_stand_at_their_place_with_their_gain(shelf: SoundShelf) -> None:
    piece = source("two.wav", start_seconds=0.5, seconds=0.25, position_seconds=1.0, gain=2.0)
    found = mix(item(piece, seconds=2.0), shelf)
    expected = np.zeros(2 * RATE)
    expected[RATE : RATE + 2000] = (np.arange(4000, 6000) / RATE) / 4 * 2
    np.testing.assert_allclose(found.mixture, expected, atol=1e-6)


def test_what_is_too_short_is_repeated_and_edges_are_faded(shelf: SoundShelf) -> None:
    found = mix(item(source("ramp.wav", seconds=1.5, fade_seconds=0.01)), shelf)
    assert len(found.mixture) == 12_000
    assert found.mixture[8_500] == pytest.approx(500 / RATE)
    assert found.mixture[-1] == pytest.approx(3_999 / RATE * 0.5 / 80)


def test_a_piece_is_kept_when_its_file_is_not(shelf: SoundShelf, tmp_path: Path) -> None:
    # a file is 32 kB here, a piece 2 kB
    narrow, decoded = SoundShelf(Store(tmp_path), keep_bytes=20_000), []
    decode = narrow._decoded
    narrow._decoded = lambda path, *place: decoded.append(path) or decode(path, *place)  # type: ignore[method-assign, func-returns-value]
    cuts = [source(path, start_seconds=0.5, seconds=0.0625) for path in ("ramp.wav", "two.wav", "ramp.wav")]
    first, _, again = (narrow.piece(cut, sample_rate=0, protocol="strict")[0] for cut in cuts)
    assert decoded == ["ramp.wav", "two.wav"]
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, shelf.piece(cuts[0], sample_rate=0, protocol="strict")[0])
    narrow.piece(replace(cuts[0], start_seconds=0.25), sample_rate=0, protocol="strict")
    assert decoded == ["ramp.wav", "two.wav", "ramp.wav"]


def test_a_given_mixture_is_no_sum(shelf: SoundShelf) -> None:
    found = mix(item(source("ramp.wav"), source("two.wav", role="mixture")), shelf)
    np.testing.assert_allclose(found.mixture, np.arange(RATE) / RATE / 4, atol=1e-6)


def test_the_published_protocol_rounds_and_clips(shelf: SoundShelf) -> None:
    loud = mix(item(source("ramp.wav", gain=2.0), protocol="published"), shelf)
    assert loud.mixture.max() == pytest.approx(1.0, abs=1e-4)
    np.testing.assert_array_equal(rounded(loud.mixture), loud.mixture)


@pytest.mark.parametrize("rate", [44_100, 48_000, 22_050, 16_000])
@pytest.mark.parametrize("start_seconds", [0.0, 1.2345, 2.0])
def test_a_cut_has_the_samples_of_the_whole_converted(
    tmp_path: Path, rate: int, start_seconds: float
) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * rate + 17).astype(np.float32)
    soundfile.write(tmp_path / "noise.wav", noise, rate, subtype="FLOAT")
    piece = source("noise.wav", start_seconds=start_seconds, seconds=0.7)
    found, own_rate = SoundShelf(Store(tmp_path)).piece(piece, sample_rate=32_000, protocol="strict")
    whole = BlockResampler(rate, 32_000).resample(noise[None])[0]
    first = round(start_seconds * 32_000)
    assert own_rate == 32_000
    np.testing.assert_allclose(found, whole[first : first + 22_400], atol=2e-6)
    beyond, _ = SoundShelf(Store(tmp_path)).piece(
        replace(piece, start_seconds=2.9), sample_rate=32_000, protocol="strict"
    )
    np.testing.assert_allclose(beyond, np.resize(whole[round(2.9 * 32_000) :], 22_400), atol=2e-6)


@pytest.mark.parametrize(
    ("sources", "what"),
    [
        ((source("none.wav"),), "none.wav"),
        ((source("cut.wav"),), "cut.wav"),
        ((source("two.wav", channel=2),), "two.wav: expected 3 channels or more, found 2"),
        ((source("ramp.wav", start_seconds=1.0, seconds=1.0),), "expected sound at 1 s, found 1 s"),
        ((source("ramp.wav"), source("other.wav")), "expected 8000 Hz, as the rest, found 16000 Hz"),
    ],
)
def test_bad_data_are_named(shelf: SoundShelf, sources: tuple[ItemSource, ...], what: str) -> None:
    with pytest.raises(DataError, match=what):
        mix(item(*sources), shelf)


@pytest.mark.skipif(not has_media_decoder(), reason="PyAV is not installed")
def test_a_stem_file_whose_track_holds_no_sound_is_named(tmp_path: Path) -> None:
    (tmp_path / "song.stem.mp4").write_bytes(empty_mp4(rate=RATE))
    with pytest.raises(
        DataError, match=r"song\.stem\.mp4: expected sound in its track 0, found an empty track"
    ):
        SoundShelf(Store(tmp_path)).read("song.stem.mp4")


@pytest.mark.skipif(not has_media_decoder(), reason="PyAV is not installed")
def test_integers_of_a_stem_file_are_read_at_full_scale_one(tmp_path: Path) -> None:
    sound = np.array([[0.5, -0.25, 0.125], [0.25, -0.5, 0.125]], np.float32).repeat(4096, axis=1)
    (tmp_path / "song.stem.mp4").write_bytes(encoded_mp4(sound, rate=RATE, coding="alac"))
    found, rate = SoundShelf(Store(tmp_path)).read("song.stem.mp4")
    assert rate == RATE
    assert np.array_equal(found, sound.mean(axis=0))
