"""Reads of an open remote file repeat, arrive whole, and fail as OSErrors."""

from __future__ import annotations

from typing import Any

import pytest
from fsspec.caching import ReadAheadCache

from uss_ray.store import patience
from uss_ray.store.reading import make_reads_patient

CONTENT = bytes(range(256)) * 40


class File:
    """What of an fsspec file reads go through."""

    def __init__(self, faults: list[Any]) -> None:
        self.faults = faults
        self.asked = 0
        self.cache = ReadAheadCache(1000, self.fetch, len(CONTENT))

    def fetch(self, start: int, end: int) -> bytes:
        self.asked += 1
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, Exception):
            raise fault
        return CONTENT[start:end][:fault]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setenv("USS_RAY_STORAGE_PATIENCE_SECONDS", "300")


def test_dropped_and_short_answers_are_asked_for_again() -> None:
    file = File([ConnectionResetError(), 10, TimeoutError()])
    make_reads_patient(file)
    assert file.cache._fetch(100, 400) == CONTENT[100:400]
    assert file.asked == 4


def test_the_end_of_the_file_is_no_short_answer() -> None:
    file = File([])
    make_reads_patient(file)
    assert file.cache._fetch(len(CONTENT) - 5, len(CONTENT) + 5) == CONTENT[-5:]
    assert file.asked == 1


def test_a_file_that_stays_short_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USS_RAY_STORAGE_PATIENCE_SECONDS", "0.2")
    file = File([10] * 100_000)
    make_reads_patient(file)
    with pytest.raises(ConnectionError, match="10 of"):
        file.cache._fetch(0, 400)


def test_what_a_client_raises_becomes_an_oserror_that_keeps_it() -> None:
    botocore = pytest.importorskip("botocore.exceptions")
    fault = botocore.NoCredentialsError()
    file = File([fault])
    make_reads_patient(file)
    with pytest.raises(OSError, match="no credentials") as caught:
        file.cache._fetch(0, 400)
    assert caught.value.__cause__ is fault
    assert file.asked == 1


def test_a_stream_without_a_cache_is_left_alone() -> None:
    stream = object()
    assert make_reads_patient(stream) is stream
