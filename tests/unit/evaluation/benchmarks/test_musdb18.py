from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.evaluation.benchmarks.conftest import drawn, mixed, mixture_sdr, tone, write
from uss_ray.errors import DataError

STEMS = {"drums": 0.1, "bass": 0.2, "other": 0.1, "vocals": 0.2}
# of a stem of 0.2 against the others: 0.04 / (0.01 + 0.04 + 0.01)
VOCALS_DB = 10 * np.log10(0.04 / 0.06)


def sounds(rate: int = 44_100, seconds: float = 1.0) -> dict[str, np.ndarray]:
    made = {
        stem: tone(200 * (1 + place), rate=rate, seconds=seconds, amplitude=amplitude)
        for place, (stem, amplitude) in enumerate(STEMS.items())
    }
    return {"mixture": np.sum(list(made.values()), axis=0), **made}


def replica(data: Path) -> Path:
    for stem, sound in sounds().items():
        write(
            data / "test" / "AM Contra - Heart Peripheral" / f"{stem}.wav",
            np.stack([sound, sound], axis=1),
            44_100,
        )
    return data


@pytest.mark.parametrize(("protocol", "rate"), [("published", 32_000), ("strict", 44_100)])
def test_a_song_is_four_items_whose_scores_follow_from_the_levels(tmp_path, protocol, rate) -> None:
    listed = drawn("musdb18-hq", replica(tmp_path), protocol=protocol)
    assert [item.label for item in listed.items] == ["bass", "drums", "other", "vocals"]
    item = mixed(listed, tmp_path, 3)
    assert item.sample_rate == rate
    assert mixture_sdr(item) == pytest.approx(VOCALS_DB, abs=0.01)


def test_a_missing_stem_says_how_much_is_there(tmp_path) -> None:
    data = replica(tmp_path)
    (data / "test" / "AM Contra - Heart Peripheral" / "bass.wav").unlink()
    with pytest.raises(DataError, match=r"bass.wav: expected every file .* found 80.0% of 5"):
        drawn("musdb18-hq", data)
    listed = drawn("musdb18-hq", data, allow_missing=True)
    assert (len(listed.items), listed.missing) == (3, 1)


def test_a_stem_of_another_length_is_refused_when_it_is_mixed(tmp_path) -> None:
    data = replica(tmp_path)
    write(data / "test" / "AM Contra - Heart Peripheral" / "vocals.wav", np.zeros(22_050), 44_100)
    with pytest.raises(DataError, match=r"expected 1 s, as the rest, found 0.5 s"):
        mixed(drawn("musdb18-hq", data), data, 3)


def test_the_tracks_of_a_stem_file_are_in_their_order(tmp_path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "test" / "AM Contra - Heart Peripheral.stem.mp4"
    path.parent.mkdir()
    with av.open(str(path), "w", format="mp4") as file:
        tracks = []
        for sound in sounds(seconds=1.5).values():
            track = file.add_stream("aac", rate=44_100, layout="stereo")
            track.bit_rate = 256_000
            tracks.append((track, np.stack([sound, sound]).astype(np.float32)))
        for track, sound in tracks:
            for at in range(0, sound.shape[1], 4096):
                block = np.ascontiguousarray(sound[:, at : at + 4096])
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
                frame.sample_rate, frame.pts = 44_100, at
                file.mux(track.encode(frame))
            file.mux(track.encode(None))
    listed = drawn("musdb18", tmp_path)
    assert [item.label for item in listed.items] == ["bass", "drums", "other", "vocals"]
    assert mixture_sdr(mixed(listed, tmp_path, 3)) == pytest.approx(VOCALS_DB, abs=0.3)  # a lossy coding
    assert mixture_sdr(mixed(listed, tmp_path, 1)) == pytest.approx(10 * np.log10(0.01 / 0.09), abs=0.3)
