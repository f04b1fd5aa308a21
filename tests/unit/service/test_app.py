"""The HTTP face from outside: what it answers, and to whom."""

from __future__ import annotations

import http.client
import io
import json
import os
import socket
import threading
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import soundfile as sf

from tests.conftest import MakeRecording
from tests.unit.service.conftest import AUTH, OTHER_TOKEN, TOKEN, Running, wait_until
from uss_ray.api.pretrained import separate
from uss_ray.service import body, separation_routes
from uss_ray.service.gate import OPEN_PATHS
from uss_ray.service.places import allowed_place
from uss_ray.store.lease import hold_lease
from uss_ray.store.store import Store


def _unzipped(content: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    return json.loads(files.pop("index.json")), files


def test_the_answer_is_that_of_the_command_line(
    service: Running, make_recording: MakeRecording, tiny_weights: Path, tmp_path: Path
) -> None:
    recording = make_recording(seconds=5.0, channels=2)
    with service.client() as client:
        answer = client.post(
            "/v1/separate", params={"level": [1, 2], "format": "wav"}, content=recording.read_bytes()
        )
    assert answer.status_code == 200, answer.text
    index, files = _unzipped(answer.content)
    separated = separate(
        recording,
        output=tmp_path / "out",
        weights=tiny_weights,
        device="cpu",
        levels=(1, 2),
        stem_format="wav",
        report=False,
    )
    assert len(index["rows"]) == len(separated.rows)
    expected = [(row.node_id, row.level, row.status, row.stem_sha256) for row in separated.rows]
    assert [
        (row["node_id"], row["level"], row["status"], row["stem_sha256"]) for row in index["rows"]
    ] == expected
    written = [row for row in index["rows"] if row["status"] == "written"]
    assert written
    assert {row["stem_uri"] for row in written} == set(files)
    found, rate = sf.read(io.BytesIO(files[written[0]["stem_uri"]]), always_2d=True)
    assert (found.shape, rate) == ((5 * 32_000, 2), 32_000)


def test_tags_say_what_sounds_when(service: Running, make_recording: MakeRecording) -> None:
    with service.client() as client:
        content = make_recording(seconds=5.0).read_bytes()
        answer = client.post("/v1/tag?top=2&spectrogram=true", content=content).json()
    assert len(answer["nodes"]) == 2
    assert answer["spectrogram"].startswith("data:image/png;base64,iVBOR")
    node = answer["nodes"][0]
    assert len(node["segments"]) == 3
    assert max(node["segments"]) == pytest.approx(node["probability"], abs=1e-3)
    assert node["active_spans"]


def test_examples_and_options_come_in_parts(service: Running, make_recording: MakeRecording) -> None:
    recording, example = make_recording(), make_recording("example.wav", seconds=2.0)
    files = [("audio", recording.read_bytes()), ("example", example.read_bytes())]
    options = json.dumps({"write": {"stem_format": "wav", "residual": False}})
    with service.client() as client:
        answer = client.post(
            "/v1/separate",
            files=[(name, (f"{name}.wav", content)) for name, content in files],
            data={"options": options},
        )
        assert answer.status_code == 200, answer.text
        index, stems = _unzipped(answer.content)
        assert [row["kind"] for row in index["rows"]] == ["example"]
        assert all(name.endswith(".wav") for name in stems)
        wrong = client.post(
            "/v1/separate",
            files=[("audio", ("a.wav", recording.read_bytes())), ("other", ("b", b"x"))],
        )
        assert wrong.status_code == 422


def test_one_class_that_is_none_does_not_fail_the_rest(
    service: Running, make_recording: MakeRecording
) -> None:
    content = make_recording().read_bytes()
    with service.client() as client:
        answer = client.post("/v1/separate?class=Speech&class=Spech", content=content)
        index, _ = _unzipped(answer.content)
        statuses = {row["label"]: row["status"] for row in index["rows"]}
        assert statuses["Speech"] == "written"
        assert statuses["Spech"] == "failed"
        alone = client.post("/v1/separate?class=Spech", content=content)
    assert alone.status_code == 422
    assert "Speech" in alone.json()["expected"]


@pytest.mark.parametrize(
    ("call", "content", "status", "item"),
    [
        ("/v1/separate", b"no sound at all", 422, "recording"),
        ("/v1/separate", b"", 400, "request"),
        ("/v1/separate?threshold=7", b"x", 422, "separate parameters threshold"),
        ("/v1/separate?level=99", None, 422, "level 99"),
        ("/v1/separate?class=" + "&class=".join(map(str, range(65))), b"x", 422, "query"),
        ("/v1/separate?levels=1", b"x", 422, "parameter levels"),
        ("/v1/nothing", b"x", 404, "request"),
        ("/v1/info", b"x", 405, "request"),
    ],
)
def test_what_is_wrong_is_a_problem(
    service: Running, make_recording: MakeRecording, call: str, content: bytes | None, status: int, item: str
) -> None:
    with service.client() as client:
        answer = client.post(call, content=make_recording().read_bytes() if content is None else content)
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status), problem
    assert item in problem["item"]
    assert problem["request_id"] == answer.headers["x-request-id"]


def test_what_a_client_may_not_choose_is_refused(service: Running, make_recording: MakeRecording) -> None:
    content = make_recording().read_bytes()
    with service.client() as client:
        for options in (
            {"query": {"example_folder": "/etc"}},
            {"settings": {"context_seconds": 1e6}},
            {"networks": {"batch_size": 1000}},
            [],
        ):
            answer = client.post(
                "/v1/separate",
                files={"audio": ("a.wav", content)},
                data={"options": json.dumps(options)},
            )
            assert answer.status_code == 422, options
        typed = client.post("/v1/separate", content=content, headers={"content-type": "text/html"})
        assert typed.status_code == 415
        accepted = client.post("/v1/separate", content=content, headers={"accept": "text/html"})
        assert accepted.status_code == 406
        for accept, status in (
            ("application/zip; Q=0.0", 406),
            ("text/html, Application/ZIP;q=0.5", 422),
            ("", 422),
        ):
            answer = client.post("/v1/separate", content=b"no sound", headers={"accept": accept})
            assert answer.status_code == status, accept


def test_a_recording_that_is_too_long_is_refused_while_it_is_decoded(
    service: Running, tmp_path: Path
) -> None:
    path = tmp_path / "long.flac"
    sf.write(path, np.zeros((60 * 8000, 2)), 8000)
    with service.client() as client:
        answer = client.post("/v1/separate", content=path.read_bytes())
    assert answer.status_code == 413
    problem = answer.json()
    assert problem["limit"] == "decoded_seconds"
    assert "archive" in problem["expected"]


def test_every_route_asks_for_a_token(service: Running) -> None:
    paths = {*service.app.openapi()["paths"], service.app.openapi_url}
    assert {"/v1/separate", "/v1/info"} <= paths
    with service.client(token="wrong") as client:
        for path in paths - OPEN_PATHS:
            for method in ("GET", "POST", "PUT", "DELETE", "HEAD"):
                answer = client.request(method, path.format(node_id="x", result_id="y", job_id="j", name="z"))
                assert answer.status_code == 401, path
                assert answer.headers["www-authenticate"] == "Bearer"
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").json() == {"status": "ready", "missing": {}}


@pytest.mark.slow
def test_a_client_that_goes_frees_its_session(service: Running, make_recording: MakeRecording) -> None:
    recording = make_recording(seconds=19.0, channels=2)
    asking = http.client.HTTPConnection(service.url.removeprefix("http://"))
    path = "/v1/separate?level=1&level=2&level=3"
    asking.request("POST", path, body=recording.read_bytes(), headers=AUTH)
    wait_until(lambda: len(service.backend) > 0)
    asking.close()
    wait_until(lambda: len(service.backend) == 0)


def test_a_recording_is_named_where_the_token_allows_it(
    service: Running, shared_folder: Path, make_recording: MakeRecording
) -> None:
    recording = shared_folder / "in" / "a.wav"
    recording.parent.mkdir(exist_ok=True)
    recording.write_bytes(make_recording().read_bytes())
    asked = {
        "input": {"uri": str(recording)},
        "query": {"classes": ["Speech"]},
        "write": {"stem_format": "wav"},
    }
    with service.client() as client:
        answer = client.post("/v1/separate", json=asked)
        assert answer.status_code == 200, answer.text
        index, files = _unzipped(answer.content)
        output = {"output": {"uri": str(shared_folder / "out")}}
        written = client.post("/v1/separate", json=asked | output)
        assert written.status_code == 201, written.text
        assert written.json()["rows"] == index["rows"]
        there = {
            path.relative_to(shared_folder / "out").as_posix(): path
            for path in (shared_folder / "out").rglob("*.*")
        }
        assert {name: path.read_bytes() for name, path in there.items() if name != "index.json"} == files
        assert client.post("/v1/separate", json=asked | output).status_code == 409
        tags = client.post("/v1/tag", json={"input": asked["input"], "query": {"levels": [1]}})
        assert {node["level"] for node in tags.json()["nodes"]} == {1}
        assert client.post("/v1/tag", json=asked | output).json()["item"] == "output"
        wrong = {
            403: {"input": {"uri": "/etc/passwd"}},
            422: {"input": {"uri": str(recording)}, "output": {"uri": str(recording)}},
            413: {"input": {"uri": str(recording)}, "query": {"texts": ["x" * 1_000_000]}},
        }
        for status, body in wrong.items():
            assert client.post("/v1/separate", json=body).status_code == status
        gone = client.post("/v1/separate", json={"input": {"uri": str(shared_folder / "none.wav")}})
        assert gone.status_code == 422
    with service.client(token=OTHER_TOKEN) as client:
        assert client.post("/v1/separate", json=asked).status_code == 403


def test_a_link_that_is_changed_after_the_look_leads_nowhere(
    service: Running, shared_folder: Path, make_recording: MakeRecording, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, secret = shared_folder / "link.wav", make_recording()

    def changed(location: str, **how: Any) -> str:
        place = allowed_place(location, **how)
        link.symlink_to(secret)
        return place

    monkeypatch.setattr(body, "allowed_place", changed)
    with service.client() as client:
        answer = client.post("/v1/separate", json={"input": {"uri": str(link)}})
    link.unlink()
    assert (answer.status_code, answer.json()["item"]) == (403, "input")


def test_whoever_names_an_output_that_is_written_to_hears_by_whom_before_any_work(
    service: Running, shared_folder: Path, make_recording: MakeRecording, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shared_folder / "b.wav").write_bytes(make_recording().read_bytes())
    output = shared_folder / "held"
    asked = {"input": {"uri": str(shared_folder / "b.wav")}, "output": {"uri": str(output)}}
    monkeypatch.setattr(service.backend, "answer", lambda _: pytest.fail("it was separated"))
    with service.client() as client, hold_lease(Store(output), job="archive", on_lost=pytest.fail):
        answer = client.post("/v1/separate", json=asked)
    problem = answer.json()
    assert (answer.status_code, problem["item"], problem["type"]) == (409, "output", "urn:uss-ray:refusal")
    assert f"process {os.getpid()} on" in problem["found"]


def test_who_waits_for_an_output_keeps_no_thread_from_other_calls(
    service: Running, shared_folder: Path, make_recording: MakeRecording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the event loop are few, and every call needs one."""
    names: list[str] = []
    monkeypatch.setattr(
        separation_routes, "put_results", lambda *_, **__: names.append(threading.current_thread().name)
    )
    (shared_folder / "c.wav").write_bytes(make_recording().read_bytes())
    asked = {"input": {"uri": str(shared_folder / "c.wav")}, "output": {"uri": str(shared_folder / "c")}}
    with service.client() as client:
        assert client.post("/v1/separate", json=asked).status_code == 201
    assert [name.partition("_")[0] for name in names] == ["write"]


@pytest.mark.slow
def test_a_slow_reader_stops_nobody(service: Running, make_recording: MakeRecording) -> None:
    content = make_recording(seconds=15.0, channels=2).read_bytes()
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as slow, service.client() as client:
        head = f"POST /v1/separate?level=1&level=2&format=wav HTTP/1.1\r\nHost: {host}\r\n"
        own = f"Authorization: Bearer {TOKEN}\r\nContent-Length: {len(content)}\r\n\r\n"
        slow.sendall((head + own).encode() + content)
        assert slow.recv(12) == b"HTTP/1.1 200"  # and no more than that
        assert client.post("/v1/separate", content=make_recording().read_bytes()).status_code == 200


def test_files_that_were_changed_somewhere_are_answered(
    service: Running, make_recording: MakeRecording
) -> None:
    random = np.random.default_rng(11)
    with service.client() as client:
        for number in range(24):
            name = ("a.flac", "a.wav", "a.ogg", "a.mp3")[number % 4]
            content = bytearray(make_recording(name, seconds=1.0).read_bytes())
            for place in random.integers(0, 200 if number % 2 else len(content), 4):
                content[place] = int(random.integers(0, 256))
            answer = client.post("/v1/tag", content=bytes(content))
            assert answer.status_code in (200, 413, 422), answer.text


def test_the_description_names_every_call_its_token_and_its_problems(service: Running) -> None:
    with service.client() as client:
        document = client.get("/openapi.json").json()
        problem = client.get("/v1/classes/m/none").json()
    jsonschema.validate(problem, document["components"]["schemas"]["Problem"])
    assert document["openapi"].startswith("3.1")
    for path, calls in document["paths"].items():
        for call in calls.values():
            assert bool(call["security"]) is (path not in OPEN_PATHS), path
            assert {"422", "4XX", "5XX"} <= call["responses"].keys()
            assert "application/problem+json" in call["responses"]["422"]["content"], path
    said = document["paths"]["/v1/separate"]["post"]
    assert {"level", "class", "text"} <= {parameter["name"] for parameter in said["parameters"]}
    assert said["requestBody"]["content"].keys() >= {"application/octet-stream", "application/json"}
