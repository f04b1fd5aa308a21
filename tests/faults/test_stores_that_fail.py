"""An archive in an object store that refuses, drops, delays, or is away for a while."""

from __future__ import annotations

import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import ray

from tests.faults.conftest import OPTIONS, SHORT
from tests.faults.disturbances import LOOK_SECONDS, DisturbedSeparator, Gate
from tests.faults.results import assert_complete, failed, separated, stems_of
from tests.servers.ceph import ACCESS_KEY, SECRET_KEY
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.fixtures import BUCKET
from uss_ray.api.request import SeparationRequest
from uss_ray.errors import OutputError
from uss_ray.pipelines.archive.job import separate_archive
from uss_ray.pipelines.runtime.progress import Progress
from uss_ray.store import lease
from uss_ray.store.options import StoreOptions
from uss_ray.store.store import Store

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray"), pytest.mark.timeout(600)]

STATUSES = (500, 503)
DROPPED = None
TIMES = 4  # each fault, one after another; a request meets a few of them


def test_an_archive_in_a_store_that_fails_for_a_while_is_the_same_as_in_a_folder(
    archive, make_request, undisturbed, s3_server, faulty_s3, s3_root, tmp_path
):
    """Refusals, slow answers, connections dropped before and after the server did its work."""
    source, output = put(archive, s3_root), str(Store(s3_root) / "out")
    disturbed = threading.Event()

    def disturb(_progress):
        if disturbed.is_set():
            return
        disturbed.set()
        for status in STATUSES:
            faulty_s3.refuse(status, times=TIMES)
        faulty_s3.drop_request(after_bytes=100, method="PUT", times=TIMES)
        faulty_s3.drop_answer(after_bytes=None, times=TIMES)
        faulty_s3.delay(1.0, times=TIMES)

    result = separate_archive(
        source,
        # One request may meet all of them, each time after a longer wait.
        request=make_request(output, storage=StoreOptions(endpoint=faulty_s3.endpoint, patience_seconds=300)),
        options=OPTIONS,
        on_progress=disturb,
    )
    answers = [request.status for request in faulty_s3.seen]
    wanted = dict.fromkeys(STATUSES, TIMES) | {DROPPED: 2 * TIMES}
    assert {status: times for status, times in wanted.items() if answers.count(status) < times} == {}
    assert result.exit_code == 0
    assert result.summary.recordings.separated == SHORT + 1
    fetched = fetch(output, tmp_path / "fetched")
    assert_complete(fetched, stems=undisturbed)
    assert not s3_server.client().list_multipart_uploads(Bucket=BUCKET).get("Uploads")
    logs = list(Path(ray.nodes()[0]["RayletSocketName"]).parents[1].glob("logs/*"))
    assert logs
    told = [file for file in [*fetched.rglob("*"), *logs] if file.is_file()]
    assert [file for file in told if tells_a_secret(file)] == []


def test_a_store_that_is_away_or_silent_or_refuses_something_leaves_it_to_the_next_run(
    archive, make_request, go_on, undisturbed, faulty_s3, s3_root, tmp_path, monkeypatch
):
    """One output, four runs of the same job: each does what those before have left, and fails nothing."""
    source, output = put(archive, s3_root), str(Store(s3_root) / "out")
    storage = StoreOptions(endpoint=faulty_s3.endpoint, patience_seconds=1)
    monkeypatch.setattr(lease, "_PATIENCE_SECONDS", 1.0)  # once more, for letting go
    _is_away(source, make_request(output, storage=storage), faulty_s3, _gate(tmp_path / "away"))
    assert stems_of(fetch(output, tmp_path / "first")).items() <= undisturbed.items()

    silent = StoreOptions(endpoint=faulty_s3.endpoint)
    _never_answers(source, make_request(output, storage=silent), faulty_s3, _gate(tmp_path / "silent"))
    found = fetch(output, tmp_path / "second")
    assert stems_of(found).items() <= undisturbed.items()
    assert separated(found)
    assert failed(found) == {}

    name = min({f"{number}.wav" for number in range(SHORT)} - separated(found))
    faulty_s3.refuse(503, method="PUT", target=f"/{name}/")
    result, _ = go_on(output, source=source, storage=storage)
    assert result.exit_code == 8
    faulty_s3.heal()
    counts = result.summary.recordings
    assert (counts.separated + counts.skipped, counts.failed, counts.unfinished) == (SHORT, 0, 1)
    found = fetch(output, tmp_path / "third")
    assert len(separated(found)) == SHORT
    assert failed(found) == {}

    result, begun = go_on(output, source=source, storage=storage)
    assert result.exit_code == 0
    assert begun == [name]
    assert_complete(fetch(output, tmp_path / "fourth"), stems=undisturbed)


def _gate(folder: Path) -> Gate:
    """Give a gate that three units of work pass: so a recording is done, and short ones are left even by two runs."""
    gate = Gate(folder)
    gate.folder.mkdir()
    for number in range(3):
        gate.open(number)
    return gate


def _is_away(source: str, request: SeparationRequest, faulty_s3: FaultyProxy, gate: Gate) -> None:
    """The whole store is away for longer than the patience, from the fourth unit on."""

    def refuse() -> None:
        while len(gate.begun()) <= 3:
            time.sleep(LOOK_SECONDS)
        faulty_s3.refuse(503)
        gate.open()

    refusing = threading.Thread(target=refuse, daemon=True)
    refusing.start()
    with pytest.raises(OutputError, match=request.output) as caught:
        separate_archive(
            source,
            request=request,
            options=OPTIONS,
            make_separator=partial(DisturbedSeparator, deed=gate),
        )
    refusing.join()
    assert ACCESS_KEY not in str(caught.value)
    faulty_s3.heal()


def _never_answers(source: str, request: SeparationRequest, faulty_s3: FaultyProxy, gate: Gate) -> None:
    """It takes every request from the first recording on; the client itself would wait for a minute."""
    held = threading.Event()

    def hold_and_stop(_progress: Progress) -> None:
        if not held.is_set():
            held.set()
            faulty_s3.delay(600.0)
            os.kill(os.getpid(), signal.SIGTERM)
            gate.open()

    with pytest.raises(OutputError, match="no answer, and the run is to end"):
        separate_archive(
            source,
            request=request,
            options=OPTIONS,
            on_progress=hold_and_stop,
            make_separator=partial(DisturbedSeparator, deed=gate),
        )
    faulty_s3.heal()


def put(archive: Path, root: str) -> str:
    """Bring the archive to a store."""
    source = str(Store(root) / "in")
    for file in archive.iterdir():
        (Store(source) / file.name).put(file)
    return source


def fetch(output: str, folder: Path) -> Path:
    """Bring all that lies below an output root to a folder."""
    system, path = Store(output).file_system()
    for key in system.find(path):
        target = folder / key.removeprefix(path).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(system.cat_file(key))
    return folder


def tells_a_secret(file: Path) -> bool:
    """Look for the keys of the store."""
    data = file.read_bytes()
    return ACCESS_KEY.encode() in data or SECRET_KEY.encode() in data
