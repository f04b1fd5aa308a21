"""Addresses that hold secrets: they are opened, and nothing that is written or printed holds them."""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.unit.cli.conftest import RunCommand
from uss_ray.records import Recording
from uss_ray.results.index.failures import failed_jsonl
from uss_ray.results.index.table import RecordingFacts, RunFacts, failed_row, read_index
from uss_ray.sources.listing import list_recordings
from uss_ray.store.store import Store

QUERY = "X-Amz-Credential=SECRETKEY&X-Amz-Security-Token=SECRETTOKEN&X-Amz-Signature=SECRETSIG"
ADDRESSES = [
    f"http://me:SECRETPW@host/day/r.wav?{QUERY}",
    f"https://host/day/r.wav?{QUERY}",
    "https://host/day/r.wav?sig=SECRETSIG",
    "https://host/day/r.wav?token=SECRETTOKEN#SECRETSIG=SECRETSIG",
    "s3://AKIASECRET:SECRET/PW@host/day/r.wav",
]
RUN = RunFacts(run_id="r", weights_name="w", weights_sha256="0")


@pytest.fixture
def guarded_server(make_recording) -> Iterator[str]:
    """Serve a recording to who knows the password and the signature."""
    content = make_recording("served.wav").read_bytes()
    known = "Basic " + base64.b64encode(b"me:SECRETPW").decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_known = self.headers.get("Authorization") == known and QUERY in self.path
            self.send_response(200 if is_known else 403)
            self.send_header("Content-Length", str(len(content) if is_known else 0))
            self.end_headers()
            if is_known and self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_secret_is_in_an_id_a_row_or_a_list_of_failures(address: str, tmp_path: Path) -> None:
    manifest = tmp_path / "m.jsonl"
    manifest.write_text(json.dumps({"uri": address}) + "\n")
    (recording,) = list_recordings(str(manifest))
    assert recording == Recording(recording_uri=address, recording_id="host/day/r.wav")
    facts = RecordingFacts(recording_id=recording.recording_id, recording_uri=address)
    row = failed_row(facts, run=RUN, reason=f"unexpected ValueError: {address}")
    told = [*map(str, row.to_record().values()), *failed_jsonl([row.to_record()])]
    assert not [text for text in told if "SECRET" in text]


def test_a_recording_behind_a_password_and_a_signature_is_separated_without_a_trace(
    separate: RunCommand, guarded_server: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    address = f"http://me:SECRETPW@{guarded_server}/served.wav?{QUERY}"
    with caplog.at_level(logging.DEBUG, logger="uss_ray"):
        ran = separate(address, "--levels", 1)
    assert ran.exit_code == 0, ran.err
    out = tmp_path / "out"
    told = [ran.out, ran.err, caplog.text, *map(str, out.rglob("*"))]
    told += [path.read_bytes().decode("latin-1") for path in out.rglob("*") if path.is_file()]
    told += [str(row) for row in read_index(out).to_pylist()]
    assert not [text[:200] for text in told if "SECRET" in text]
    assert (out / "served.wav" / "report.html").is_file()


@pytest.mark.parametrize("place", ["in", "out", "weights", "examples", "wrong password"])
def test_no_error_tells_a_secret(
    separate: RunCommand,
    command: RunCommand,
    make_recording,
    guarded_server: str,
    tiny_weights: Path,
    tmp_path: Path,
    place: str,
) -> None:
    bucket = "s3://AKIASECRET:SECRETPW@inp/x"
    recording = make_recording("a.wav")
    ran = {
        "in": lambda: command("archive", bucket, tmp_path / "out", "--weights", tiny_weights),
        "out": lambda: command("archive", recording, bucket, "--weights", tiny_weights),
        "weights": lambda: command("separate", recording, "-o", tmp_path / "out", "--weights", bucket),
        "examples": lambda: separate(recording, "--query-dir", bucket),
        "wrong password": lambda: separate(f"http://me:SECRETPX@{guarded_server}/a.wav?{QUERY}"),
    }[place]()
    assert ran.exit_code not in (0, 1), ran.err
    assert "SECRET" not in ran.out + ran.err
    assert ran.err.count("\n") == 1, ran.err


def test_credentials_in_place_of_a_bucket_are_refused_before_anybody_is_asked() -> None:
    from uss_ray.errors import OutputError

    with pytest.raises(OutputError, match=r"s3://\*\*\*@inp: .*credentials in the address"):
        Store("s3://AKIA:SECRET@inp", None, OutputError).exists()
