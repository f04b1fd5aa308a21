"""Pages keep what they carry and get a serial number that follows from it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from uss_ray.audio.ogg import page_checksum, read_pages, settle_serial_number


def slow_checksum(data: bytes) -> int:
    """Bit by bit, as RFC 3533 describes it."""
    register = 0
    for byte in data:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1 ^ (0x04C11DB7 if register >> 31 else 0)) & 0xFFFFFFFF
    return register


def an_ogg(path: Path, *, subtype: str = "VORBIS", seed: int = 0) -> Path:
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, (40_000, 2)).astype(np.float32)
    with soundfile.SoundFile(path, "w", 48000, 2, subtype, format="OGG") as file:
        for start in range(0, len(noise), 4000):
            file.write(noise[start : start + 4000])
    return path


def pages_of(path: Path) -> list[tuple[bytes, bytes]]:
    with open(path, "rb") as file:
        return [(page.header, page.body) for page in read_pages(file)]


@pytest.mark.parametrize("length", [0, 1, 4, 255, 1000])
def test_the_checksum_is_that_of_the_standard(length: int) -> None:
    data = np.random.default_rng(length).bytes(length)
    assert page_checksum(data) == slow_checksum(data)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_only_serial_and_checksum_change_and_the_checksum_is_right(tmp_path: Path, subtype: str) -> None:
    path = an_ogg(tmp_path / "a.ogg", subtype=subtype)
    before, samples = pages_of(path), soundfile.read(path)[0]
    serial = settle_serial_number(path)
    after = pages_of(path)
    assert len(after) == len(before) > 3
    for (old, old_body), (new, body) in zip(before, after, strict=True):
        assert body == old_body
        assert (new[:14], new[18:22], new[26:]) == (old[:14], old[18:22], old[26:])
        assert int.from_bytes(new[14:18], "little") == serial
        assert int.from_bytes(new[22:26], "little") == slow_checksum(new[:22] + bytes(4) + new[26:] + body)
    assert np.array_equal(soundfile.read(path)[0], samples)


def test_the_same_content_gets_the_same_number_and_another_content_another(tmp_path: Path) -> None:
    numbers = [settle_serial_number(an_ogg(tmp_path / f"{run}.ogg", seed=run // 2)) for run in range(4)]
    assert numbers[0] == numbers[1] != numbers[2] == numbers[3]
    first, second, other, _ = ((tmp_path / f"{run}.ogg").read_bytes() for run in range(4))
    assert first == second != other


@pytest.mark.parametrize(
    "damage", [lambda d: d[:-1], lambda d: d + b"x", lambda d: b"X" + d[1:], lambda d: d[:30]]
)
def test_what_is_not_made_of_whole_pages_is_an_error(tmp_path: Path, damage) -> None:
    path = an_ogg(tmp_path / "a.ogg")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(OSError, match="whole Ogg page at byte"):
        settle_serial_number(path)


def test_an_empty_file_has_no_pages(tmp_path: Path) -> None:
    (tmp_path / "a.ogg").touch()
    assert settle_serial_number(tmp_path / "a.ogg") == 0
    assert os.path.getsize(tmp_path / "a.ogg") == 0
