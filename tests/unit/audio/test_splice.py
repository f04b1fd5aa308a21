"""A spliced file reads like the same bytes put together in memory."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest

from uss_ray.audio.splice import Piece, SplicedFile, moved, patched

CONTENT = bytes(range(200))


@pytest.mark.parametrize(
    "pieces",
    [
        (b"front", range(200)),
        (b"x", range(50, 200)),
        patched({40: b"size"}, stop=200),
        patched({0: b"a", 199: b"z"}, stop=200),
        (range(190), b"longer than it"),
        (range(100, 120), b"", b"middle", range(20, 60), range(20, 20)),
        moved(patched({40: b"size"}, stop=100), by=60),
    ],
)
def test_any_reads_and_seeks_agree_with_the_bytes_put_together(pieces: tuple[Piece, ...]) -> None:
    shown = b"".join(p if isinstance(p, bytes) else CONTENT[p.start : p.stop] for p in pieces)
    whole = io.BytesIO(shown)
    spliced = SplicedFile(io.BytesIO(CONTENT), pieces)
    random = np.random.default_rng(3)
    for _ in range(300):
        whence = int(random.integers(3))
        offset = {
            os.SEEK_SET: random.integers(210),
            os.SEEK_CUR: 3,
            os.SEEK_END: -random.integers(len(shown)),
        }[whence]
        assert spliced.seek(int(offset), whence) == whole.seek(int(offset), whence)
        count = int(random.integers(80))
        assert spliced.read(count) == whole.read(count)
        assert spliced.tell() == whole.tell()


def test_a_seek_before_the_start_is_refused_and_reaches_no_file() -> None:
    spliced = SplicedFile(io.BytesIO(CONTENT), [range(200)])
    spliced.seek(5)
    assert spliced.seek(-6, os.SEEK_CUR) == -1
    assert spliced.read(1) == b"\x05"
