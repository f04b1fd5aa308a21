from __future__ import annotations

from uss_ray.audio.decoding import DecodingError


def test_an_error_says_what_was_found_and_leaves_the_rest_to_the_reader() -> None:
    error = DecodingError("noise")
    assert (str(error), error.found, error.expected) == ("noise", "noise", None)
    assert DecodingError("noise", expected="sound").expected == "sound"
