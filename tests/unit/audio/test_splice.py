"""A spliced file reads like the same bytes put together in memory."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest

from uss_ray.audio.splice import Splice, SplicedFile

CONTENT = bytes(range(200))


@pytest.mark.parametrize(
    "splice",
    [Splice(0, 0, b"front"), Splice(0, 50, b"x"), Splice(40, 4, b"size"), Splice(190, 10, b"longer than it")],
)
def test_any_reads_and_seeks_agree_with_the_bytes_put_together(splice: Splice) -> None:
    whole = io.BytesIO(CONTENT[: splice.at] + splice.shown + CONTENT[splice.at + splice.dropped_bytes :])
    spliced = SplicedFile(io.BytesIO(CONTENT), splice)
    random = np.random.default_rng(3)
    for _ in range(300):
        whence = int(random.integers(3))
        offset = {os.SEEK_SET: random.integers(210), os.SEEK_CUR: 3, os.SEEK_END: -random.integers(100)}[
            whence
        ]
        assert spliced.seek(int(offset), whence) == whole.seek(int(offset), whence)
        count = int(random.integers(80))
        assert spliced.read(count) == whole.read(count)
        assert spliced.tell() == whole.tell()
