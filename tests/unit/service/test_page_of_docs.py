"""The lines of docs/serve.md do what it says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
import zipfile
from pathlib import Path

import httpx
import pytest

from tests.unit.service.conftest import TOKEN, Running

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_the_lines_with_curl(service: Running, tmp_path: Path) -> None:
    (tmp_path / ".curlrc").write_text(
        f'header = "Authorization: Bearer {TOKEN}"\nshow-error\nretry = 5\nretry-connrefused\n',
        encoding="utf-8",
    )
    (lines,) = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    environment = os.environ | {"URL": service.url, "CURL_HOME": str(tmp_path)}
    said = subprocess.run(
        ["sh", "-e", "-c", lines], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert said.returncode == 0, f"{said.stderr}\n{_as_python_sees(service)}"
    with zipfile.ZipFile(tmp_path / "stems.zip") as archive:
        rows = json.loads(archive.read("index.json"))["rows"]
        assert {"Speech", "Residual"} == {row["label"] for row in rows}
        assert {row["stem_uri"] for row in rows} <= {*archive.namelist()}
    assert len(json.loads((tmp_path / "tags.json").read_text())["nodes"]) == 5
    assert json.loads((tmp_path / "dogs.json").read_text())["classes"]
    assert json.loads((tmp_path / "info.json").read_text())["limits"]


def test_the_statuses_that_it_names_are_those_of_rows() -> None:
    from uss_ray.results.index.table import INDEX_STATUSES

    told = next(line for line in PAGE.splitlines() if "| `POST /v1/separate" in line)
    assert set(re.findall(r"`(\w+)`", told)) <= {*INDEX_STATUSES}


def _as_python_sees(service: Running) -> str:
    """Tell whether anybody listens: twice curl was refused, and the answer told nothing of the server."""
    port = int(service.url.rpartition(":")[2])
    sockets = [
        line.split()[1:4]
        for line in Path("/proc/net/tcp").read_text().splitlines()
        if f":{port:04X} " in line
    ]
    threads = [thread.name for thread in threading.enumerate()]
    try:
        with service.client() as client:
            heard = str(client.get("/healthz").status_code)
    except httpx.TransportError as error:
        heard = repr(error)
    return f"healthz of {service.url}: {heard}; sockets: {sockets}; threads: {threads}"
