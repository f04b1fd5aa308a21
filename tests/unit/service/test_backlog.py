from __future__ import annotations

import pytest

from uss_ray.service.backlog import Backlog
from uss_ray.service.problems import Refusal


def test_one_request_is_always_taken() -> None:
    with Backlog(1.0).taken(1e6):
        pass


def test_beyond_the_queue_a_request_is_put_off_until_there_is_room() -> None:
    backlog = Backlog(10.0)
    with backlog.taken(16.0 / backlog.pace):
        with pytest.raises(Refusal) as refused, backlog.taken(1.0 / backlog.pace):
            pass
        assert refused.value.status == 503
        assert refused.value.retry_after == pytest.approx(7.0)
    with backlog.taken(1.0):
        assert backlog.seconds == pytest.approx(backlog.pace)
    assert backlog.seconds == 0


def test_the_pace_is_that_of_what_was_done_lately() -> None:
    backlog = Backlog(10.0)
    for _ in range(100):
        backlog.learn(sound=100.0, work=200.0)
    assert backlog.pace == pytest.approx(2.0)
