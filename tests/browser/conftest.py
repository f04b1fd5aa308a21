"""A real browser without a window, an output to look at, and a web server before it."""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser.seen import SECONDS as WAIT_SECONDS
from tests.unit.results.conftest import RATE, blocks_of, write_stems
from uss_ray.results.blocks import StemRequest
from uss_ray.results.index.table import IndexRow, RecordingFacts, RunFacts, failed_row, write_index
from uss_ray.results.layout import index_path
from uss_ray.results.report.archive import write_archive_page
from uss_ray.results.report.recording import write_report

SECONDS = 6
NAME = "field trip/å #1.wav"
STEMS = [
    StemRequest(key="/m/0jbk", label="Animal", level=1),
    StemRequest(key="/m/04rlf", label="Music", level=1),
    StemRequest(key="/m/0bt9lr", label="Dog", level=3),
    StemRequest(key="/m/01yrx", label="Cat", level=3),
]
RUN = RunFacts(run_id="run", weights_name="starter", weights_sha256="0" * 64)

Floats = np.ndarray


@dataclasses.dataclass(frozen=True)
class Output:
    """What was written, and what went into it."""

    root: Path
    mixture: Floats
    stems: dict[str, Floats]

    def url(self, name: str) -> str:
        return (self.root / name).as_uri()


@pytest.fixture(
    scope="module"
)  # as long as it lives, an event loop runs in this thread: not for tests of others
def chromium() -> Iterator[Any]:
    """The browser; a test that needs it is skipped where there is none, or fails where there must be one."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    reason = "a browser (apt-get install chromium)" if found is None else ""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        reason = "playwright (pip install playwright)"
    if reason:
        if os.environ.get("USS_RAY_REQUIRE_BROWSER") == "1":
            pytest.fail(f"the tests of the pages need {reason}")
        pytest.skip(f"needs {reason}")
    arguments = ["--autoplay-policy=no-user-gesture-required", "--mute-audio"]
    arguments += [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
    ]  # a microphone that beeps
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Open pages; nothing may be wrong with them by the end but what a test forgives."""
    contexts, troubles, forgiven = [], [], []  # type: list[Any], list[str], list[str]

    def open_it(url: str, **options: Any) -> Any:
        size = {"width": options.pop("width", 1100), "height": 900}
        context = chromium.new_context(viewport=size, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(1000 * WAIT_SECONDS)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
        page.forgiven = forgiven
        page.goto(url)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert [one for one in troubles if not any(words in one for words in forgiven)] == []


def make_output(root: Path, *, seconds: int = SECONDS, **options: Any) -> Output:
    """Separate a recording of noise that begins and ends, on two levels."""
    noise = np.random.default_rng(5)
    frames = seconds * RATE
    sounds = {stem.key: noise.uniform(-0.2, 0.2, (2, frames)).astype(np.float32) for stem in STEMS[2:]}
    sounds["/m/0bt9lr"][:, frames // 2 :] = 0
    sounds["/m/01yrx"][:, : frames // 3] = 0
    rest = noise.uniform(-0.05, 0.05, (2, frames)).astype(np.float32)
    sounds["/m/0jbk"] = sounds["/m/0bt9lr"] + sounds["/m/01yrx"]
    mixture = sounds["/m/0jbk"] + rest
    facts = RecordingFacts(
        recording_id=NAME,
        recording_uri=NAME,
        sample_rate=RATE,
        channels=2,
        frames=frames,
        format="WAV/PCM_16",
    )
    written = write_stems(
        blocks_of(mixture, sounds, keys=[stem.key for stem in STEMS]),
        stems=STEMS, root=root, run=RUN, recording=facts, **options,
    )  # fmt: skip
    write_report(written, root=root)
    write_index(written.rows, path=root / index_path("a"))
    return Output(root, mixture, sounds)


@pytest.fixture(scope="session")
def output(tmp_path_factory: pytest.TempPathFactory) -> Output:
    """A recording with a page, others that only stand in the index, and the page of all."""
    made = make_output(tmp_path_factory.mktemp("output"))
    rows = [
        IndexRow(
            run_id="run", recording_id=f"tape {n}.wav", recording_uri=f"tape {n}.wav", node_id="/m/0bt9lr", label="Dog",
            level=3, kind="node", status="absent" if n % 5 == 0 else "detected", probability=n / 250,
            certainty="doubtful" if n < 60 and n % 5 else None,
            sample_rate=8000, frames=80_000, weights_name="starter", weights_sha256="0" * 64,
        )
        for n in range(50, 200)
    ]  # fmt: skip
    broken = RecordingFacts(recording_id="broken.wav", recording_uri="broken.wav")
    write_index([*rows, failed_row(broken, run=RUN, reason="cut off")], path=made.root / index_path("b"))
    write_archive_page(made.root)
    return made


@pytest.fixture(scope="session")
def served(output: Output) -> Iterator[str]:
    """The same, from a web server."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    (output.root / "assets").mkdir()
    (output.root / "assets" / "recorder.js").write_bytes(
        (files("uss_ray.service") / "page/recorder.js").read_bytes()
    )
    handler = functools.partial(Quiet, directory=str(output.root))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
