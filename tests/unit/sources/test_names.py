"""What counts as a recording by its name alone."""

from __future__ import annotations

import pytest

from uss_ray.sources.names import (
    RECORDING_SUFFIXES,
    has_other_suffix,
    has_recording_suffix,
    looks_like_recording,
)


@pytest.mark.parametrize("suffix", sorted(RECORDING_SUFFIXES))
def test_a_suffix_counts_in_any_case(suffix: str) -> None:
    assert has_recording_suffix(f"s3://b/deep.d/été{suffix}")
    assert has_recording_suffix(f"A{suffix.upper()}")
    assert not has_recording_suffix(suffix)
    assert not has_recording_suffix(f"a{suffix}.txt")


def test_a_uri_may_be_a_recording_whatever_its_suffix() -> None:
    names = ("s3://bucket/x", "a.wav", "Dog", "/m/0bt9lr", "m.csv")
    assert [looks_like_recording(name) for name in names] == [True, True, False, False, False]


def test_what_lies_beside_recordings_is_known_by_its_name_in_any_case() -> None:
    names = ("notes.TXT", "tapes/cover.jpg", "a.wav", "tapes", "a.txt.b")
    assert [has_other_suffix(name) for name in names] == [True, True, False, False, False]
