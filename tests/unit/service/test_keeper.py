"""Keepers: two of them begin one driver; one that is silent is followed by another; what is over is forgotten."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clock import set_clock
from tests.unit.service.conftest import wait_until
from tests.unit.service.receiver import SECRET, receiving
from uss_ray.errors import ConfigError, OutputError
from uss_ray.service import jobs
from uss_ray.service.jobs import Counts, JobOrder, JobProgress, JobRequest, JobRow, JobTable, shown
from uss_ray.service.keeper import Keeper, Life, ProcessExecutor
from uss_ray.service.settings import JobSettings, Limits, ServiceSettings, WebhookSettings
from uss_ray.store.store import Store


class Noted:
    """Starts nothing, and knows of drivers what it is told."""

    def __init__(self) -> None:
        self.orders: list[JobOrder] = []
        self.lives: Life = "alive"

    def start(self, order: JobOrder) -> None:
        self.orders.append(order)

    def life(self, name: str) -> Life:
        return self.lives

    def missing(self) -> str | None:
        return "nothing runs here"

    def close(self) -> None:
        pass


def _settings(tmp_path: Path, *, webhooks: WebhookSettings | None = None, **jobs: int) -> ServiceSettings:
    return ServiceSettings(
        no_auth=True,
        store=str(tmp_path),
        jobs=JobSettings(**jobs),
        webhooks=webhooks or WebhookSettings(),
        limits=Limits(job_kept_seconds=1 if webhooks is None else 3600),
    )


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _keeper(tmp_path: Path, executor: Noted, *, clock: _Clock | None = None, **jobs: Any) -> Keeper:
    store = Store(tmp_path, None, OutputError)
    return Keeper(store, _settings(tmp_path, **jobs), executor, clock=clock or _Clock())


def _add(
    keeper: Keeper, *, tenant: str = "one", created_at: float = 1.0, webhook: dict[str, str] | None = None
) -> JobRow:
    job_id = keeper.table.new_id(tenant, None)
    said = {"digest": "d", "input": "/in", "output": "/out"}
    return keeper.table.add(
        JobRequest(job_id=job_id, tenant=tenant, created_at=created_at, sounds={}, webhook=webhook, **said)
    )


def test_two_keepers_begin_one_driver(tmp_path: Path) -> None:
    executor = Noted()
    keepers = [_keeper(tmp_path, executor) for _ in range(2)]
    _add(keepers[0])
    for keeper in (*keepers, *keepers):
        keeper.look()
    assert [order.attempt for order in executor.orders] == [1]


@pytest.mark.parametrize("step", ["folders", "take_turn", "begin"])
def test_two_keepers_begin_no_more_than_there_may_be_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """An older job comes, and the other keeper looks, between what the first saw and what it does."""
    executor = Noted()
    one, other = (_keeper(tmp_path, executor) for _ in range(2))
    _add(one)
    act = getattr(one.table, step)

    def interrupted(*given: Any, **named: Any) -> Any:
        monkeypatch.undo()
        found = act(*given, **named) if step == "folders" else None
        _add(other, created_at=0.0)
        other.look()
        return found if step == "folders" else act(*given, **named)

    monkeypatch.setattr(one.table, step, interrupted)
    one.look()
    one.look()
    assert len(executor.orders) == 1


def test_the_turn_of_a_keeper_that_died_is_that_of_its_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = Noted()
    keeper = _keeper(tmp_path, executor)
    rows = [_add(keeper, created_at=float(number)) for number in range(2)]
    table = keeper.table
    assert table.take_turn(table.turn(), rows[1])
    keeper.look()
    assert [order.job_id for order in executor.orders] == [rows[1].request.job_id]
    monkeypatch.setattr(jobs, "_TURNS_KEPT", 3)
    old = table.turn()
    for _ in range(5):
        assert table.take_turn(table.turn(), rows[0])
    assert len(list((tmp_path / "job-turns").iterdir())) == 3
    assert table.take_turn(old, rows[0]) is None  # though what it would create has gone
    assert table.turn().number == old.number + 5


def test_tenants_go_in_turn_the_oldest_first(tmp_path: Path) -> None:
    executor = Noted()
    keeper = _keeper(tmp_path, executor, at_once=2)
    wanted = [_add(keeper, created_at=1.0), _add(keeper, tenant="two", created_at=3.0)]
    _add(keeper, created_at=2.0)
    keeper.look()
    assert [order.job_id for order in executor.orders] == [row.request.job_id for row in wanted]


def test_a_driver_that_nobody_knows_is_dead_when_it_has_been_silent(tmp_path: Path) -> None:
    executor, clock = Noted(), _Clock()
    keeper = _keeper(tmp_path, executor, clock=clock)
    row = _add(keeper)
    keeper.look()
    executor.lives = "unknown"
    keeper.look()
    clock.now = 50.0
    row = keeper.table.find("one", row.request.job_id)
    keeper.table.note(row, JobProgress(attempt=1, beat=1))
    keeper.look()
    clock.now = 100.0
    keeper.look()
    assert len(executor.orders) == 1
    clock.now = 111.0
    keeper.look()
    assert [order.attempt for order in executor.orders] == [1, 2]


class Refusing(Noted):
    """Starts no driver as long as it is away, as a Ray whose agent found its port taken."""

    is_away = True

    def start(self, order: JobOrder) -> None:
        if self.is_away:
            raise RuntimeError("No available agent to submit job")
        super().start(order)

    def life(self, name: str) -> Life:
        return "alive" if name in [order.name for order in self.orders] else "unknown"

    def missing(self) -> str | None:
        return None


def test_a_driver_that_could_not_be_started_is_started_by_the_next_look(tmp_path: Path) -> None:
    executor, clock = Refusing(), _Clock()
    keeper = _keeper(tmp_path, executor, clock=clock)
    _add(keeper)
    for _ in range(9):
        clock.now += 100.0
        keeper.look()
    assert "could not be started" in keeper.missing()["jobs"]
    executor.is_away = False
    for _ in range(2):
        keeper.look()
    assert [order.attempt for order in executor.orders] == [1]
    assert keeper.missing() == {}


def test_a_job_is_not_given_up_because_none_of_its_drivers_could_be_started(tmp_path: Path) -> None:
    executor, clock = Refusing(), _Clock()
    keepers = [_keeper(tmp_path, executor, clock=clock) for _ in range(2)]
    row = _add(keepers[0])
    for _ in range(9):
        clock.now += 100.0
        for keeper in keepers:
            keeper.look()
    executor.is_away = False
    for keeper in keepers:
        keeper.look()
    found = keepers[0].table.find("one", row.request.job_id)
    assert (found.state, found.attempts) == ("running", (0, 0))  # one of each
    assert sorted(order.attempt for order in executor.orders) == [1, 2]


def test_a_job_whose_driver_cannot_be_started_can_be_cancelled(tmp_path: Path) -> None:
    executor = Refusing()
    keeper = _keeper(tmp_path, executor)
    row = _add(keeper)
    keeper.look()
    keeper.table.cancel(row)
    keeper.look()
    assert keeper.table.find("one", row.request.job_id).state == "cancelled"


class Between(Noted):
    """Does something between a look at the table and what is done about it, once."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__()
        self._acts = [act]

    def life(self, name: str) -> Life:
        if self._acts:
            self._acts.pop()()
        return "ended"


def _end(table: JobTable, row: JobRow) -> None:
    table.end(row, "succeeded", counts=Counts(finished=1))


def _begin_another(table: JobTable, row: JobRow) -> None:
    table.begin(table.find("one", row.request.job_id), finished=0)
    _end(table, row)


@pytest.mark.parametrize(
    ("act", "state", "drivers"),
    [
        (_end, "succeeded", 1),
        (lambda table, row: table.cancel(row), "cancelled", 1),
        (_begin_another, "succeeded", 2),
        (lambda table, row: table.forget(table.find("one", row.request.job_id)), None, None),
    ],
    ids=["ends", "is cancelled", "another keeper begins one", "is forgotten"],
)
def test_what_happens_while_a_driver_ends_is_seen_before_another_is_begun(
    tmp_path: Path, act: Callable[[JobTable, JobRow], object], state: str | None, drivers: int | None
) -> None:
    executor = Between(lambda: act(keeper.table, row))
    keeper = _keeper(tmp_path, executor)
    row = _add(keeper)
    for _ in range(3):
        keeper.look()
    assert [order.attempt for order in executor.orders] == [1]
    assert [(found.state, len(found.attempts)) for found in _rows(keeper)] == (
        [] if state is None else [(state, drivers)]
    )
    assert all("request.json" in names for names in keeper.table.folders().values())


def test_a_driver_that_got_on_at_last_has_a_successor_that_knows(tmp_path: Path) -> None:
    got_on = JobProgress(attempt=2, found=5, finished=4)
    executor = Between(lambda: keeper.table.note(row, got_on))
    keeper = _keeper(tmp_path, executor, attempts=2)
    row = _add(keeper)
    for _ in range(2):
        keeper.table.begin(keeper.table.find("one", row.request.job_id), finished=3)
    keeper.table.note(row, JobProgress(attempt=2, found=5, finished=3))
    keeper.look()
    assert keeper.table.find("one", row.request.job_id).attempts == (3, 3, 4)


@pytest.mark.parametrize("is_driven", [True, False])
def test_one_that_is_cancelled_before_its_driver_begins_has_none_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_driven: bool
) -> None:
    """It is cancelled after the listing; or another keeper, whose listing was older, has begun it before that."""
    executor = Noted()
    keeper = _keeper(tmp_path, executor)
    row = _add(keeper)
    if is_driven:
        keeper.table.cancel(row)
    read = keeper.table.read

    def read_early(*given: Any) -> JobRow | None:
        found = read(*given)
        monkeypatch.setattr(keeper.table, "read", read)
        if is_driven:
            keeper.table.begin(row, finished=0)
        else:
            keeper.table.cancel(row)
        return found

    monkeypatch.setattr(keeper.table, "read", read_early)
    keeper.look()
    assert (executor.orders, [found.ended for found in _rows(keeper)]) == ([], [None])
    executor.lives = "ended"
    keeper.look()
    assert (executor.orders, [found.state for found in _rows(keeper)]) == ([], ["cancelled"])


def test_what_a_keeper_that_died_has_left_of_a_forgotten_job_goes(tmp_path: Path) -> None:
    keeper = _keeper(tmp_path, Noted())
    row = _add(keeper)
    keeper.table.end(row, "succeeded", counts=Counts())
    (keeper.table.folder_of(row) / "request.json").remove()
    keeper.look()
    assert keeper.table.folders() == {}


def _rows(keeper: Keeper) -> list[JobRow]:
    return [keeper.table.find(*key) for key in keeper.table.names()]


def test_what_is_over_is_forgotten_with_its_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = _keeper(tmp_path, Noted())
    row = _add(keeper)
    keeper.table.end(row, "succeeded", counts=Counts())
    (keeper.table.results("one", row.request.job_id) / "a.flac").put(b"x")
    keeper.look()
    assert keeper.table.names()
    set_clock(monkeypatch, "uss_ray.service.keeper", time=lambda: 1e12)
    keeper.look()
    assert not keeper.table.names()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(("keepers", "statuses", "wait_seconds"), [(1, [500, 302], 0.001), (2, [], 3600.0)])
def test_the_end_is_told_until_it_is_heard_and_no_more(
    tmp_path: Path, keepers: int, statuses: list[int], wait_seconds: float
) -> None:
    with receiving() as receiver:
        receiver.statuses = list(statuses)
        hooks = WebhookSettings(
            origins=(receiver.url,), private=True, answer_seconds=300.0, first_wait_seconds=wait_seconds
        )
        looking = [_keeper(tmp_path, Noted(), webhooks=hooks) for _ in range(keepers)]
        table = looking[0].table
        row = _add(looking[0], webhook={"url": f"{receiver.url}/a", "secret": SECRET})
        looking[0].look()
        assert not receiver.got  # it has not ended
        table.end(row, "failed", reason="why", counts=Counts())

        def is_told() -> bool:
            for keeper in looking:
                keeper.look()
            return table.find("one", row.request.job_id).told is not None

        wait_until(is_told)
        for keeper in looking:
            keeper.close()
        times = len(statuses) + 1
        said = [json.loads(body) for _, _, body in receiver.got]
        assert said == [said[0]] * times
        assert (said[0]["type"], said[0]["data"]["reason"]) == ("job.failed", "why")
        assert {headers["webhook-id"] for _, headers, _ in receiver.got} == {row.request.job_id}
        hook = shown(table.find("one", row.request.job_id))["webhook"]
        assert hook == {"sent": times, "is_heard": True}


@pytest.mark.parametrize(("status", "sent"), [(500, 2), (410, 1)])
def test_who_does_not_want_to_hear_it_is_left_alone(tmp_path: Path, status: int, sent: int) -> None:
    with receiving() as receiver:
        receiver.statuses = [status] * 9
        hooks = WebhookSettings(
            origins=(receiver.url,), private=True, answer_seconds=300.0, first_wait_seconds=0.001, attempts=2
        )
        keeper = _keeper(tmp_path, Noted(), webhooks=hooks)
        row = _add(keeper, webhook={"url": receiver.url, "secret": SECRET})
        keeper.table.end(row, "cancelled", counts=Counts())

        def told() -> Any:
            keeper.look()
            return keeper.table.find("one", row.request.job_id).told

        wait_until(lambda: told() is not None)
        assert told()["is_heard"] is False
        keeper.close()
        assert len(receiver.got) == sent


def test_it_says_what_is_missing(tmp_path: Path) -> None:
    assert _keeper(tmp_path, Noted()).missing() == {"jobs": "nothing runs here"}
    with pytest.raises(ConfigError, match="store"):
        Keeper.of(ServiceSettings(no_auth=True), Noted())


def test_drivers_are_processes_that_know_their_order(tmp_path: Path) -> None:
    program = f"import os; open({str(tmp_path / 'said')!r}, 'w').write(os.environ['USS_RAY_JOB'])"
    executor = ProcessExecutor([sys.executable, "-c", program])
    order = JobOrder(store=str(tmp_path), tenant="one", job_id="a", attempt=1)
    executor.start(order)
    wait_until(lambda: executor.life(order.name) == "ended")
    assert (tmp_path / "said").read_text() == order.canonical_json()
    assert executor.life("another") == "unknown"
    assert executor.missing() is None
    executor.close()
