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
from tests.servers.fixtures import BUCKET
from uss_ray.errors import OutputError
from uss_ray.pipelines.archive.job import separate_archive
from uss_ray.store.options import StoreOptions
from uss_ray.store.store import Store

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray"), pytest.mark.timeout(600)]

STATUSES = (500, 503)
DROPPED = None
TIMES = 4  # each fault, one after another; a request meets a few of them


def test_an_archive_in_an_object_store_is_the_same_as_in_a_folder(
    archive, make_request, undisturbed, s3_server, s3_root, tmp_path
):
    source, output = put(archive, s3_root), str(Store(s3_root) / "out")
    result = separate_archive(source, request=make_request(output), options=OPTIONS)
    assert result.exit_code == 0
    assert result.summary.recordings.separated == SHORT + 1
    fetched = fetch(output, tmp_path / "fetched")
    assert_complete(fetched, stems=undisturbed)
    assert not s3_server.client().list_multipart_uploads(Bucket=BUCKET).get("Uploads")
    logs = list(Path(ray.nodes()[0]["RayletSocketName"]).parents[1].glob("logs/*"))
    assert logs
    told = [file for file in [*fetched.rglob("*"), *logs] if file.is_file()]
    assert [file for file in told if tells_a_secret(file)] == []


def test_a_store_that_fails_for_a_while_costs_nothing(
    archive, make_request, undisturbed, faulty_s3, s3_root, tmp_path
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
        request=make_request(output, storage=StoreOptions(endpoint=faulty_s3.endpoint)),
        options=OPTIONS,
        on_progress=disturb,
    )
    answers = [request.status for request in faulty_s3.seen]
    assert [answers.count(status) for status in (*STATUSES, DROPPED)] == [TIMES, TIMES, 2 * TIMES]
    assert result.exit_code == 0
    assert_complete(fetch(output, tmp_path / "fetched"), stems=undisturbed)


def test_a_store_that_is_away_ends_a_run_that_goes_on_when_it_is_back(
    archive, make_request, go_on, undisturbed, faulty_s3, s3_root, tmp_path
):
    """The whole store is away for longer than the patience."""
    source, output = put(archive, s3_root), str(Store(s3_root) / "out")
    storage = StoreOptions(endpoint=faulty_s3.endpoint, patience_seconds=1)
    gate = Gate(tmp_path / "gate")
    gate.folder.mkdir()
    for number in range(3):
        gate.open(number)

    def refuse() -> None:
        while len(gate.begun()) <= 3:
            time.sleep(LOOK_SECONDS)
        faulty_s3.refuse(503)
        gate.open()

    refusing = threading.Thread(target=refuse, daemon=True)
    refusing.start()
    with pytest.raises(OutputError, match=output) as caught:
        separate_archive(
            source,
            request=make_request(output, storage=storage),
            options=OPTIONS,
            make_separator=partial(DisturbedSeparator, deed=gate),
        )
    refusing.join()
    assert ACCESS_KEY not in str(caught.value)
    faulty_s3.heal()
    found = fetch(output, tmp_path / "first")
    assert stems_of(found).items() <= undisturbed.items()

    result, _ = go_on(output, source=source, storage=storage)
    assert result.exit_code == 0
    assert_complete(fetch(output, tmp_path / "second"), stems=undisturbed)


def test_a_store_that_never_answers_holds_no_stop(archive, make_request, faulty_s3, s3_root):
    """It takes every request from the first recording on; the client itself would wait for a minute."""
    source, output = put(archive, s3_root), str(Store(s3_root) / "out")
    held = threading.Event()

    def hold_and_stop(_progress):
        if not held.is_set():
            held.set()
            faulty_s3.delay(600.0)
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(OutputError, match="no answer, and the run is to end"):
        separate_archive(
            source,
            request=make_request(output, storage=StoreOptions(endpoint=faulty_s3.endpoint)),
            options=OPTIONS,
            on_progress=hold_and_stop,
        )


def test_a_store_that_refuses_one_recording_leaves_it_to_do_and_fails_none(
    archive, go_on, undisturbed, faulty_s3, s3_root, tmp_path
):
    source, output = put(archive, s3_root), str(Store(s3_root) / "out")
    storage = StoreOptions(endpoint=faulty_s3.endpoint, patience_seconds=1)
    faulty_s3.refuse(503, method="PUT", target="/3.wav/")
    result, _ = go_on(output, source=source, storage=storage)
    assert result.exit_code == 8
    faulty_s3.heal()
    counts = result.summary.recordings
    assert (counts.separated, counts.failed, counts.unfinished) == (SHORT, 0, 1)
    found = fetch(output, tmp_path / "first")
    assert len(separated(found)) == SHORT
    assert failed(found) == {}

    result, begun = go_on(output, source=source, storage=storage)
    assert result.exit_code == 0
    assert begun == ["3.wav"]
    assert_complete(fetch(output, tmp_path / "second"), stems=undisturbed)


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
