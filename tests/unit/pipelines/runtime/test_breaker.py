"""A run in which nothing, or too little, gets done any more is ended."""

from __future__ import annotations

from uss_ray.pipelines.runtime.breaker import CircuitBreaker


def test_four_packets_in_a_row_without_anything_done_open_it_once():
    breaker = CircuitBreaker()
    assert [breaker.is_opened_by(got_done=False) for _ in range(6)] == [
        False,
        False,
        False,
        True,
        False,
        False,
    ]


def test_anything_that_gets_done_closes_it_again():
    breaker = CircuitBreaker()
    for got_done in (False, False, False, True, False, False, False):
        assert not breaker.is_opened_by(got_done=got_done)
    assert breaker.is_opened_by(got_done=False)


def test_failures_are_judged_by_their_share_after_a_hundred():
    breaker = CircuitBreaker(max_failed_fraction=0.1)
    assert not breaker.has_too_many_failures(failed=99, finished=99)
    assert not breaker.has_too_many_failures(failed=10, finished=100)
    assert breaker.has_too_many_failures(failed=11, finished=100)
    assert not CircuitBreaker().has_too_many_failures(failed=100, finished=100)
