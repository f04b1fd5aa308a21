"""One output root has one driver: others are refused while it lives, and take over when it is dead."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest

from uss_ray.errors import OutputError
from uss_ray.store import lease as lease_module
from uss_ray.store.lease import (
    LEASE_FOLDER,
    TURN_FOLDER,
    Lease,
    hold_lease,
    process_started,
    read_leases,
    take_turn,
)
from uss_ray.store.store import Store

HOLD = """
import sys, time
from uss_ray.store.lease import hold_lease
from uss_ray.store.store import Store
with hold_lease(Store(sys.argv[1]), job="archive", on_lost=print):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(params=["disk", "memory"])
def output(request, tmp_path):
    return Store(str(tmp_path / "out") if request.param == "disk" else f"memory://{tmp_path.name}/out")


@pytest.fixture
def holder(tmp_path):
    """Hold the lease of `out` in a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def hold(output, **changes):
    return hold_lease(output, **{"job": "archive", "on_lost": pytest.fail, **changes})


def leases(output):
    return read_leases(output.raising(OutputError) / LEASE_FOLDER)


def put(output, lease):
    (output / LEASE_FOLDER / f"{lease.token}.json").put(json.dumps(asdict(lease)).encode())


def foreign(**changes):
    """A lease of another machine."""
    lease = replace(
        Lease.of_this_process(job="mining", shard=None), host="elsewhere", machine="elsewhere 1", pid=7
    )
    return replace(lease, **changes)


def test_a_lease_is_there_while_the_block_runs(output):
    with hold(output) as lease:
        (found,) = leases(output)
        assert found == lease
        assert (found.pid, found.job) == (os.getpid(), "archive")
    assert leases(output) == []


def test_nothing_is_left_on_a_disk(tmp_path):
    with hold(Store(tmp_path / "out")):
        pass
    assert list((tmp_path / "out").iterdir()) == []


def test_it_is_let_go_of_when_the_run_fails(output):
    with pytest.raises(ZeroDivisionError), hold(output):
        _ = 1 / 0
    with hold(output):
        pass


def test_a_second_run_is_told_who_holds_the_output(output):
    with (
        hold(output),
        pytest.raises(OutputError, match=rf"held by process {os.getpid()} on .*archive.*since 20"),
        hold(output),
    ):
        pass


def test_different_shards_hold_one_output_together(output):
    with hold(output, shard=(1, 3)), hold(output, shard=(2, 3)):
        assert len(leases(output)) == 2
        for shard in ((1, 3), (1, 2), None):
            with pytest.raises(OutputError, match=r"shard \d/3"), hold(output, shard=shard):
                pass
        with hold(output, shard=(3, 3)):
            pass
    with hold(output), pytest.raises(OutputError, match="held by"), hold(output, shard=(1, 3)):
        pass


def test_a_process_that_lives_keeps_others_out(holder, tmp_path):
    with pytest.raises(OutputError, match=f"process {holder.pid} on"), hold(Store(tmp_path / "out")):
        pass


def test_what_a_killed_process_held_is_taken_over_at_once(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    output = Store(tmp_path / "out")
    assert [lease.pid for lease in leases(output)] == [holder.pid]
    with hold(output):
        assert [lease.pid for lease in leases(output)] == [os.getpid()]


def test_a_process_with_the_id_of_a_dead_one_holds_nothing(output):
    mine = Lease.of_this_process(job="archive", shard=None)
    put(output, replace(mine, pid=os.getppid(), process_started=1))
    with hold(output):
        pass


def test_a_lease_that_this_process_could_not_release_does_not_count(output):
    put(output, Lease.of_this_process(job="archive", shard=None))
    with hold(output):
        pass


def test_another_machine_is_believed_while_it_renews(output):
    put(output, foreign())
    with pytest.raises(OutputError, match="process 7 on elsewhere"), hold(output):
        pass


def test_a_lease_of_a_later_version_is_one_too(output):
    other = foreign()
    place = output / LEASE_FOLDER / f"{other.token}.json"
    place.put(json.dumps(asdict(other) | {"cluster": "new"}).encode())
    with pytest.raises(OutputError, match="process 7 on elsewhere"), hold(output):
        pass


@pytest.mark.parametrize("ahead", [-600.0, 600.0])
@pytest.mark.parametrize("renews", [True, False])
def test_by_another_clock_a_lease_is_dead_only_if_nobody_renews_it_while_it_is_watched(
    output, monkeypatch, ahead, renews
):
    there = foreign(renewed_at=time.time() + ahead)
    put(output, there)
    watched = []

    def watch(seconds):
        watched.append(seconds)
        if renews:
            put(output, replace(there, renewed_at=there.renewed_at + 20))

    clock = SimpleNamespace(time=time.time, strftime=time.strftime, gmtime=time.gmtime, sleep=watch)
    monkeypatch.setattr(lease_module, "time", clock)
    if renews:
        with pytest.raises(OutputError, match="process 7 on elsewhere"), hold(output):
            pass
    else:
        with hold(output) as mine:
            assert leases(output) == [mine]
    assert watched[0] == 50.0


def test_a_clock_that_jumps_makes_no_process_of_this_machine_dead(holder, tmp_path, monkeypatch):
    now = time.time()
    clock = SimpleNamespace(
        time=lambda: now + 86_400, strftime=time.strftime, gmtime=time.gmtime, sleep=time.sleep
    )
    monkeypatch.setattr(lease_module, "time", clock)
    with pytest.raises(OutputError, match=f"process {holder.pid} on"), hold(Store(tmp_path / "out")):
        pass


def test_shards_bring_an_output_into_order_one_after_the_other(output, monkeypatch):
    order, inside = [], threading.Lock()
    monkeypatch.setattr(lease_module, "_TURN_SECONDS", 0.1)
    monkeypatch.setattr(lease_module, "_QUIET_SECONDS", 0.0)

    def settle(part):
        with take_turn(output, job="archive", shard=(part, 3)):
            assert inside.acquire(blocking=False)
            time.sleep(0.05)
            order.append(part)
            inside.release()

    threads = [threading.Thread(target=settle, args=(part,)) for part in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(order) == [1, 2, 3]
    with take_turn(output, job="archive", shard=None):  # it has the whole output for itself
        assert read_leases(output.raising(OutputError) / TURN_FOLDER) == []


@pytest.mark.parametrize("waits_for", ["watching", "a turn"])
def test_whoever_is_stopped_waits_for_no_lease(output, waits_for):
    def stopped(_seconds):
        raise SystemExit(143)

    if waits_for == "watching":
        there = foreign(renewed_at=time.time() - 600)
        put(output, there)
        with pytest.raises(SystemExit), hold(output, sleep=stopped):
            pass
        assert leases(output) == [there]
    else:
        with take_turn(output, job="archive", shard=(1, 2)) as _:
            with pytest.raises(SystemExit), take_turn(output, job="archive", shard=(2, 2), sleep=stopped):
                pass
            assert len(read_leases(output.raising(OutputError) / TURN_FOLDER)) == 1


def test_two_that_come_at_the_same_moment_do_not_both_hold_it(output, monkeypatch):
    """The other's lease appears after the first look, and before the second."""
    other = foreign()
    write = lease_module._write

    def write_beside(place, lease):
        write(place, lease)
        put(output, other)

    monkeypatch.setattr(lease_module, "_write", write_beside)
    with pytest.raises(OutputError, match="elsewhere"), hold(output):
        pass
    assert [lease.token for lease in leases(output)] == [other.token]


def test_it_is_renewed_and_its_loss_is_noticed(output, monkeypatch):
    monkeypatch.setattr(lease_module, "_RENEW_SECONDS", 0.01)
    lost = []
    with hold(output, on_lost=lost.append) as lease:
        while not any(found.renewed_at > lease.renewed_at for found in leases(output)):
            time.sleep(0.01)
        while not lost:  # a renewal may be on its way, and bring it back once
            (output / LEASE_FOLDER / f"{lease.token}.json").remove()
            time.sleep(0.01)
    assert "taken over" in str(lost[0])


@pytest.mark.parametrize("holds", [True, False])
def test_who_brought_its_lease_back_while_it_was_taken_over_gives_way_to_who_holds_it(
    output, monkeypatch, holds
):
    """Two holders were there: the file was gone between a renewal's look and its writing."""
    monkeypatch.setattr(lease_module, "_RENEW_SECONDS", 0.01)
    lost = threading.Event()
    with hold(output, on_lost=lambda _: lost.set()) as lease:
        later = foreign(taken_at=lease.taken_at + 1, renewed_at=lease.taken_at + (21 if holds else 1))
        put(output, later)
        if holds:
            assert lost.wait(300.0)
        else:  # it only tries
            looks = max(found.renewed_at for found in leases(output) if found.token == lease.token)
            while not any(found.renewed_at > looks for found in leases(output) if found.token == lease.token):
                time.sleep(0.01)
            assert not lost.is_set()


def test_a_folder_that_goes_while_it_is_looked_at_holds_nothing(tmp_path, monkeypatch):
    looks = iter([True, False])
    monkeypatch.setattr(Store, "exists", lambda _: next(looks))
    assert read_leases(Store(tmp_path / LEASE_FOLDER, None, OutputError)) == []


def test_a_file_that_is_no_lease_is_passed_over(output):
    (output / LEASE_FOLDER / "notes.json").put(b"{")
    (output / LEASE_FOLDER / "other.json").put(b'{"token": 1}')
    with hold(output):
        pass


def test_a_process_knows_when_it_started():
    assert process_started(os.getpid()) > 0
    with subprocess.Popen([sys.executable, "-c", "pass"]) as child:
        while process_started(child.pid) is not None:  # a zombie is as good as gone
            time.sleep(0.01)
    assert process_started(child.pid) is None


def test_who_takes_the_lease_removes_what_killed_ones_have_half_written(tmp_path):
    for name in (
        ".0123456789abcdef.part",
        ".lease/.0123456789abcdef.part",
        ".mine",
        "a/.0123456789abcdef.part",
    ):
        Store(tmp_path / name).put(b"1")
    with hold_lease(Store(tmp_path), job="archive", on_lost=print):
        left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob(".*") if path.is_file()}
    assert left == {".mine", "a/.0123456789abcdef.part"}
