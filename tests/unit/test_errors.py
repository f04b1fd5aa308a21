from __future__ import annotations

import pickle

import pytest

from uss_ray.errors import (
    ConfigError,
    DataError,
    OutputError,
    QueryError,
    RecordingError,
    UssRayError,
    WeightsError,
)

CODES = {
    ConfigError: 2,
    RecordingError: 3,
    QueryError: 4,
    WeightsError: 5,
    OutputError: 6,
    DataError: 7,
}


@pytest.mark.parametrize(("kind", "code"), CODES.items(), ids=lambda value: getattr(value, "__name__", value))
def test_each_kind_has_its_exit_code_and_survives_the_way_from_a_worker(
    kind: type[UssRayError], code: int
) -> None:
    error = kind("a.wav", expected="sound", found="nothing")
    back = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(back) is kind
    assert (back.item, back.expected, back.found) == ("a.wav", "sound", "nothing")
    assert str(back) == "a.wav: expected sound, found nothing"
    assert back.exit_code == code


def test_a_reason_is_one_line() -> None:
    assert UssRayError("a", expected="b", found="c\nd").reason == "a: expected b, found c d"
