"""A training run whose store goes away: for a while, and for good."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import tenacity

from tests.servers.faulty_proxy import FaultyProxy
from tests.synthetic_set import make_synthetic_set, training_of
from uss_ray.anchors.packed_reader import PackedAnchors
from uss_ray.errors import OutputError
from uss_ray.pipelines.training.checkpoints import find_checkpoints, read_checkpoint
from uss_ray.pipelines.training.local import train_here
from uss_ray.pipelines.training.pack_request import PackRequest
from uss_ray.pipelines.training.packing import pack_here
from uss_ray.pipelines.training.run_folder import read_lines
from uss_ray.store import patience
from uss_ray.store.store import Store

PATIENCE_SECONDS = 300


def at_step_4(deed: Callable[[], None]) -> Callable[..., None]:
    return lambda step, _: deed() if step == 4 else None


def test_a_batch_takes_a_request_a_row_group(faulty_s3: FaultyProxy, s3_root: str, tmp_path: Path) -> None:
    place = Store(f"{s3_root}/pack")
    pack_here(PackRequest(anchors=str(make_synthetic_set(tmp_path).anchors), output=str(place)))
    anchors = PackedAnchors(place)
    rows = list(range(0, 160, 5)) * 4
    assert len(anchors.catalogue) == 160
    anchors.class_means("soft")
    anchors.read([0])  # the footers too
    before = len(faulty_s3.seen)
    read = anchors.read(rows)
    groups = {(int(anchors.catalogue.shards[row]), int(anchors.catalogue.groups[row])) for row in rows}
    assert [anchor.class_index for anchor in read] == anchors.catalogue.class_indexes[rows].tolist()
    asked = faulty_s3.seen[before:]
    assert {request.method for request in asked} == {"GET"}
    assert len(asked) == len(groups) - 1
    anchors.close()


class OutageClock:
    """A clock that only waiting for the store moves; the store comes back at a time of its."""

    def __init__(self, proxy: FaultyProxy) -> None:
        self.now = 0.0
        self._proxy = proxy
        self._back_at = math.inf

    def monotonic(self) -> float:
        return self.now

    def outage(self, seconds: float) -> None:
        self._back_at = self.now + seconds
        self._proxy.refuse(503)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now >= self._back_at:
            self._proxy.heal()

    async def sleep_awaited(self, seconds: float) -> None:
        self.sleep(seconds)


@pytest.fixture
def clock(faulty_s3: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> OutageClock:
    clock = OutageClock(faulty_s3)
    monkeypatch.setattr(tenacity, "time", clock)
    monkeypatch.setattr(tenacity.nap, "time", clock)
    monkeypatch.setattr(patience, "AsyncRetrying", partial(tenacity.AsyncRetrying, sleep=clock.sleep_awaited))
    monkeypatch.setenv("USS_RAY_STORAGE_PATIENCE_SECONDS", str(PATIENCE_SECONDS))
    return clock


def test_a_store_that_goes_away_is_waited_for_or_leaves_the_state_here(
    faulty_s3: FaultyProxy, s3_root: str, tmp_path: Path, clock: OutageClock
) -> None:
    run = training_of(make_synthetic_set(tmp_path), Path()).replace(output=f"{s3_root}/waited")
    # As long as patience allows: a wait is 15 s at most, and so is what the lease's adds to it.
    almost = PATIENCE_SECONDS - 20
    assert train_here(run, on_step=at_step_4(lambda: clock.outage(almost))) == 6
    assert clock.now >= almost
    assert [line["step"] for line in read_lines(run.run_store / "metrics.jsonl")] == [2, 4, 6]
    lost = run.replace(output=f"{s3_root}/lost")
    before = clock.now
    with pytest.raises(OutputError) as caught:
        train_here(lost, on_step=at_step_4(lambda: clock.outage(math.inf)))
    assert clock.now - before >= PATIENCE_SECONDS
    assert caught.value.exit_code == 6
    kept = re.search(r"goes on from its local copy, (\S+)", str(caught.value))
    assert kept is not None
    facts, state = read_checkpoint(Store(kept[1]))
    assert (facts.step, state.step) == (6, 6)
    faulty_s3.heal()
    assert [place.name for place in find_checkpoints(lost.run_store)] == ["step-000000003"]
    for file in Path(kept[1]).iterdir():
        (lost.run_store / "checkpoints" / "step-000000006" / file.name).put(file)
    assert train_here(lost, on_step=lambda *_: pytest.fail("a step is done again")) == 6
