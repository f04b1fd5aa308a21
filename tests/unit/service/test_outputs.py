"""The stems at a place are those of one call: none of two, and none of a call that died."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tests.servers.in_process import s3_by_default
from uss_ray.errors import OutputError
from uss_ray.service import outputs
from uss_ray.service.outputs import BEGUN_NAME, check_free, put_results
from uss_ray.service.problems import Refusal
from uss_ray.store.lease import LEASE_FOLDER, Lease, hold_lease
from uss_ray.store.store import Store

FILES = {"query/dog.flac": b"woof", "query/cat.flac": b"miaow", "labels.csv": b"1,2"}
OTHERS = {"query/bird.flac": b"tweet"}
DIES = """
import os, signal, sys
from uss_ray.errors import OutputError
from uss_ray.service import outputs
from uss_ray.store.store import Store
put = Store.put
def dies_at_the_index(place, content):
    if place.name == "index.json":
        os.kill(os.getpid(), signal.SIGKILL)
    put(place, content)
Store.put = dies_at_the_index
outputs.put_results({"query/cat.flac": b"old", "events/dog.flac": b"old"}, b"{}",
    output=Store(sys.argv[1], error=OutputError))
"""


BUCKET = "outputs-test"


# From the start of the module: what a test does to the environment is undone after it.
@pytest.fixture(scope="module", autouse=True)
def s3_endpoint() -> Iterator[str]:
    with s3_by_default(BUCKET) as endpoint:
        yield endpoint


@pytest.fixture(params=["disk", "s3"])
def output(request: Any, tmp_path: Path) -> Store:
    root = str(tmp_path / "out") if request.param == "disk" else f"s3://{BUCKET}/{tmp_path.name}/out"
    return Store(root, None, OutputError)


def there(output: Store) -> dict[str, bytes]:
    if not output.exists():
        return {}
    return {found.place.relative_to(output): found.place.read() for found in output.files(with_hidden=True)}


def status_of(call: Any, *given: Any, **named: Any) -> tuple[int, str]:
    with pytest.raises(Refusal) as refused:
        call(*given, **named)
    return refused.value.status, refused.value.found


def test_stems_and_their_index_are_all_that_is_there(output: Store) -> None:
    check_free(output)
    put_results(FILES, b"{}", output=output)
    assert there(output) == FILES | {"index.json": b"{}"}


@pytest.mark.parametrize("name", ["index.json", "run.json", "index/part.parquet"])
def test_where_results_are_of_a_call_or_of_a_job_none_are_written(output: Store, name: str) -> None:
    (output / name).put(b"theirs")
    for call in (check_free, lambda place: put_results(FILES, b"{}", output=place)):
        status, found = status_of(call, output)
        assert (status, name.partition("/")[0] in found) == (409, True)
    assert there(output) == {name: b"theirs"}


def test_stems_of_others_without_an_index_stay(output: Store) -> None:
    (output / "query/dog.flac").put(b"theirs")
    assert status_of(put_results, FILES, b"{}", output=output)[0] == 409
    assert there(output) == {"query/dog.flac": b"theirs"}


def test_while_a_call_writes_another_hears_who_does(output: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second comes when the first has its stems there, and not yet its index."""
    heard: list[tuple[int, str]] = []
    put = Store.put

    def meanwhile(place: Store, content: Any) -> None:
        if place.name == "index.json" and not heard:
            heard.append(status_of(check_free, output))
            heard.append(status_of(put_results, OTHERS, b"other", output=output))
        put(place, content)

    monkeypatch.setattr(Store, "put", meanwhile)
    put_results(FILES, b"{}", output=output)
    assert [status for status, _ in heard] == [409, 409]
    assert all(f"process {os.getpid()} on" in found and "separate" in found for _, found in heard)
    assert there(output) == FILES | {"index.json": b"{}"}


def test_of_many_at_once_one_has_its_results_there(output: Store) -> None:
    calls = {f"query/{name}.flac": name.encode() for name in ("dog", "cat", "bird", "frog")}
    begin = threading.Barrier(len(calls))
    refused: list[str] = []

    def call(name: str, content: bytes) -> None:
        begin.wait()
        try:
            put_results({name: content}, content, output=output)
        except Refusal:
            refused.append(name)

    threads = [threading.Thread(target=call, args=each) for each in calls.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = calls.keys() - set(refused)
    expected = {}
    for name in won:
        expected = {name: calls[name], "index.json": calls[name]}
    assert len(won) <= 1
    assert there(output) == expected


def test_while_a_job_writes_a_call_is_refused_and_says_so(output: Store) -> None:
    with hold_lease(output, job="archive", on_lost=pytest.fail):
        for call in (check_free, lambda place: put_results(FILES, b"{}", output=place)):
            status, found = status_of(call, output)
            assert (status, "(archive)" in found) == (409, True)


def test_a_call_that_was_killed_blocks_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    died = subprocess.run([sys.executable, "-c", DIES, str(tmp_path / "out")], check=False)
    assert died.returncode == -signal.SIGKILL
    output = Store(tmp_path / "out", None, OutputError)
    left = there(output)
    assert {"query/cat.flac", "events/dog.flac", BEGUN_NAME} < left.keys()
    assert any(name.startswith(LEASE_FOLDER) for name in left)
    check_free(output)
    put_results({"query/dog.flac": b"woof"}, b"{}", output=output)
    assert there(output) == {"query/dog.flac": b"woof", "index.json": b"{}"}


def test_what_a_call_that_died_on_another_machine_has_left_goes(
    output: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Lease.of_this_process(job="separate", shard=None)
    other = replace(here, host="elsewhere", machine="elsewhere 1", pid=7, renewed_at=here.renewed_at - 600)
    (output / LEASE_FOLDER / f"{other.token}.json").put(json.dumps(asdict(other)).encode())
    (output / BEGUN_NAME).put(b'["query"]')
    (output / "query/cat.flac").put(b"old")
    watched: list[float] = []

    def hold(place: Store, **how: Any) -> Any:
        return hold_lease(place, **how, sleep=watched.append)

    monkeypatch.setattr(outputs, "hold_lease", hold)
    put_results({"query/dog.flac": b"woof"}, b"{}", output=output)
    assert watched == [50.0]
    assert there(output) == {"query/dog.flac": b"woof", "index.json": b"{}"}


@pytest.mark.parametrize("begun", ["{", '{"a": 1}', '["../other", "/etc", "notes", 1, "query"]'])
def test_nothing_but_stems_is_taken_for_what_a_dead_call_left(output: Store, begun: str) -> None:
    for name in ("notes/a.txt", "a.wav/query/dog.flac"):
        (output / name).put(b"theirs")
    (output.parent / "other/a.txt").put(b"theirs")
    (output / BEGUN_NAME).put(begun.encode())
    put_results(FILES, b"{}", output=output)
    assert (output.parent / "other/a.txt").read() == b"theirs"
    assert {"notes/a.txt", "a.wav/query/dog.flac", "index.json"} < there(output).keys()


@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_no_link_leads_stems_out(tmp_path: Path, target: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "query").symlink_to(tmp_path / target)
    output = Store(tmp_path / "out", None, OutputError)
    assert status_of(put_results, FILES, b"{}", output=output)[0] == 409
    (output / BEGUN_NAME).put(b'["query"]')
    with pytest.raises((Refusal, OutputError)):
        put_results(FILES, b"{}", output=output)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert not (tmp_path / "nowhere").exists()


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Refuse files of these names."""
    names: list[str] = []
    put = Store.put

    def refuse(place: Store, content: Any) -> None:
        if place.name in names:
            raise OutputError(str(place), expected="room", found="No space left on device")
        put(place, content)

    monkeypatch.setattr(Store, "put", refuse)
    return names


@pytest.mark.parametrize("name", ["cat.flac", "index.json"])
def test_what_cannot_be_written_whole_is_not_there(output: Store, full: list[str], name: str) -> None:
    full.append(name)
    with pytest.raises(OutputError, match="No space"):
        put_results(FILES, b"{}", output=output)
    assert there(output) == {}
    full.clear()
    put_results(FILES, b"{}", output=output)
    assert there(output) == FILES | {"index.json": b"{}"}


def test_an_index_that_came_though_nobody_heard_so_names_no_stems_that_are_gone(
    output: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Store.put

    def unheard(place: Store, content: Any) -> None:
        put(place, content)
        if place.name == "index.json":
            raise OutputError(str(place), expected="an answer", found="none")

    monkeypatch.setattr(Store, "put", unheard)
    with pytest.raises(OutputError, match="an answer"):
        put_results(FILES, b"{}", output=output)
    assert there(output) == {}


def test_results_are_there_though_nothing_can_be_removed(
    output: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a bucket lets the service write and not remove."""

    def refuse(place: Store) -> None:
        raise OutputError(str(place), expected="a file that can be removed", found="no permission")

    monkeypatch.setattr(Store, "remove", refuse)
    put_results(FILES, b"{}", output=output)
    left = there(output)
    assert {name: left[name] for name in (*FILES, "index.json")} == FILES | {"index.json": b"{}"}
    assert status_of(check_free, output)[0] == 409


def test_who_has_lost_its_lease_writes_no_further(output: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def hold(place: Store, *, on_lost: Any, **how: Any) -> Any:
        on_lost(OutputError("a", expected="b", found="c"))
        return hold_lease(place, on_lost=on_lost, **how)

    monkeypatch.setattr(outputs, "hold_lease", hold)
    assert status_of(put_results, FILES, b"{}", output=output)[0] == 409
    assert there(output).keys() <= {BEGUN_NAME}
