"""Stretches of stems that we have encoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from uss_ray.audio.stretch import read_stretch, stem_blocks
from uss_ray.errors import OutputError

RATE = 8000
SOUND = (np.random.default_rng(0).integers(-30000, 30000, (2, 40_000)) / 32768).astype(np.float32)


@pytest.fixture(params=["FLAC", "WAV"])
def stem(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "a"
    soundfile.write(path, SOUND.T, RATE, format=request.param, subtype="PCM_16")
    return path


@pytest.mark.parametrize(
    ("start", "frames"), [(0, 100), (12_345, 6789), (39_990, 100), (40_000, 5), (90_000, 5)]
)
def test_a_stretch_is_what_was_written_there(stem: Path, start: int, frames: int) -> None:
    with stem.open("rb") as file:
        read = read_stretch(file, start=start, frames=frames, name="a")
    assert np.array_equal(read, SOUND[:, start : start + frames])


def test_blocks_are_the_whole_stem(stem: Path) -> None:
    with stem.open("rb") as file:
        blocks = list(stem_blocks(file, block_frames=15_000, most_blocks=3, name="a"))
    assert [(start, block.shape[1]) for start, block in blocks] == [
        (0, 15_000),
        (15_000, 15_000),
        (30_000, 10_000),
    ]
    assert np.array_equal(np.concatenate([block for _, block in blocks], axis=1), SOUND)


@pytest.mark.parametrize(("block_frames", "most_blocks"), [(15_000, 3), (5000, 3), (5000, 40)])
def test_who_read_side_by_side_read_all_blocks(stem: Path, block_frames: int, most_blocks: int) -> None:
    def read(share: tuple[int, int]) -> list[tuple[int, np.ndarray]]:
        with stem.open("rb") as file:
            return list(
                stem_blocks(file, block_frames=block_frames, most_blocks=most_blocks, name="a", share=share)
            )

    shares = [block for number in range(2) for block in read((number, 2))]
    for (start, block), (wanted, whole) in zip(
        sorted(shares, key=lambda each: each[0]), read((0, 1)), strict=True
    ):
        assert start == wanted
        assert np.array_equal(block, whole)


def test_of_a_long_stem_blocks_are_spread_over_it(stem: Path) -> None:
    with stem.open("rb") as file:
        blocks = list(stem_blocks(file, block_frames=5000, most_blocks=3, name="a"))
    assert [start for start, _ in blocks] == [0, 13_333, 26_666]
    for start, block in blocks:
        assert np.array_equal(block, SOUND[:, start : start + 5000])


def test_what_is_no_stem_any_more_is_said(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"something else")
    for read in (
        lambda file: read_stretch(file, start=0, frames=1, name="dog.flac"),
        lambda file: list(stem_blocks(file, block_frames=1, most_blocks=1, name="dog.flac")),
    ):
        with (
            (tmp_path / "a").open("rb") as file,
            pytest.raises(OutputError, match=r"dog\.flac: expected a stem"),
        ):
            read(file)
