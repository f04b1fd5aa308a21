from __future__ import annotations

import io

import pytest

from uss_ray.audio.blank import is_blank


@pytest.mark.parametrize(
    ("behind", "expected"),
    [
        (b"", True),
        (b"few", True),
        (bytes(3 << 20), True),
        (b"TAG".ljust(128, b"x"), True),
        (b"APETAGEX" + b"x" * 99, True),
        (b"x" * 20, False),
        (bytes(2 << 20) + b"x", False),
    ],
)
def test_tags_zeros_and_a_few_bytes_are_no_sound(behind: bytes, expected: bool) -> None:
    content = b"sound" + behind
    assert is_blank(io.BytesIO(content), 5, file_bytes=len(content)) is expected


def test_what_lies_behind_the_stretch_does_not_count() -> None:
    assert is_blank(io.BytesIO(bytes(100) + b"x" * 100), 0, file_bytes=100)
