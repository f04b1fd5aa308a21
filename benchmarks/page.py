"""From a click to sound on the page of a service, and beside it what media elements take for the same stems.

A real browser, a real service and its store on this machine; the stems are noise, which compresses worst.

    python benchmarks/page.py [--stems 12] [--minutes 10] [--rate 32000] [--times 5]
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np
import soundfile
import uvicorn
from playwright.sync_api import sync_playwright

from uss_ray.api.request import SoundRequest
from uss_ray.audio.spec import AudioSpec
from uss_ray.errors import OutputError
from uss_ray.service.app import create_app
from uss_ray.service.backend import Answer, EngineFacts, Work
from uss_ray.service.kept import KeptResults
from uss_ray.service.settings import ServiceSettings
from uss_ray.store.store import Store

NOTHING: dict[str, Any] = {"certainty": None, "stem_probability": None, "level_db": -20.0, "peak_db": -9.0}


class NoEngine:
    """A backend that nobody asks to separate."""

    async def facts(self) -> EngineFacts:
        """See `Backend`."""
        return EngineFacts(
            weights_name="none", weights_sha256="0", known_classes=(), sample_rate=1, device="cpu"
        )

    async def answer(self, work: Work) -> Answer:
        """See `Backend`."""
        raise RuntimeError(f"expected a page that opens kept results, found one that asks for {work}")

    async def missing(self) -> Mapping[str, str]:
        """See `Backend`."""
        return {}

    async def close(self) -> None:
        """See `Backend`."""


def keep_noise(store: str, *, stems: int, seconds: float, rate: int) -> str:
    """Keep a result of noise, the last stem of which is called the residual; its id is given."""
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, (round(seconds * rate), 2)).astype(np.float32)
    rows, contents = [], {}
    for number in range(stems):
        name = f"query/sound-{number}.flac"
        made = io.BytesIO()
        soundfile.write(made, np.roll(noise, 1000 * number, axis=0), rate, format="FLAC", subtype="PCM_16")
        contents[name] = made.getvalue()
        kind = "residual" if number == stems - 1 else "class"
        rows.append(
            {"node_id": f"/m/{number}", "label": f"Sound {number}", "level": None, "kind": kind, "status": "written",
             "probability": 0.5, "active_spans": [], "stem_uri": name, "sample_rate": rate, **NOTHING}
        )  # fmt: skip
    spec = AudioSpec(sample_rate=rate, channels=2, frames=len(noise), format="WAV", subtype="PCM_16")
    work = Work(sounds=SoundRequest(), name="noise", spec=spec, samples=noise.T.copy(), sha256="0" * 64)
    answer = Answer(rows=rows, files=contents, run={})
    kept = KeptResults(Store(store, error=OutputError)).keep(work, answer, tenant="local", seconds=3600)
    return kept.result_id


PATIENCE_SECONDS = 20
TO_SOUND = """async at => {
  const player = [...UssRayPlayer.players].at(-1);
  player.pause();
  player.seek(at);
  const from = performance.now();
  player.play();
  const heard = () => (player.engine.name === 'elements'
    ? !player.engine.beginning && player.engine.leader?.element.currentTime > at + 0.005
    : player.engine.time() > at + 0.005);
  while (!heard() && performance.now() - from < 1000 * PATIENCE) await new Promise(resolve => setTimeout(resolve, 2));
  const took = performance.now() - from - 5;
  player.pause();
  return took / 1000;
}""".replace("PATIENCE", str(PATIENCE_SECONDS))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--stems", type=int, default=12)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=int, default=32_000)
    parser.add_argument("--times", type=int, default=5)
    asked = parser.parse_args(arguments)
    seconds = 60 * asked.minutes
    with tempfile.TemporaryDirectory() as store:
        result_id = keep_noise(store, stems=asked.stems, seconds=seconds, rate=asked.rate)
        app = create_app(NoEngine(), ServiceSettings(no_auth=True, store=store, decoders=1))
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            port = server.servers[0].sockets[0].getsockname()[1]
            measured = in_browser(f"http://127.0.0.1:{port}", result_id, seconds=seconds, times=asked.times)
        finally:
            server.should_exit = True
            thread.join()
    print(
        f"{asked.stems} stereo stems of {asked.minutes:g} min at {asked.rate} Hz, load {os.getloadavg()[0]:.1f}"
    )
    print(f"{PATIENCE_SECONDS} s: no sound until then")
    print("| from a click to sound | first, s | others, median s | worst, s |")
    print("|---|---|---|---|")
    for name, values in measured.items():
        print(f"| {name} | {values[0]:.2f} | {statistics.median(values[1:]):.2f} | {max(values):.2f} |")


def in_browser(url: str, result_id: str, *, seconds: float, times: int) -> dict[str, list[float]]:
    """Measure at places all over the recording, with windows and with media elements."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    flags = ["--autoplay-policy=no-user-gesture-required", "--mute-audio", "--no-sandbox"]
    places = [seconds * (0.618 * turn % 1) for turn in range(times + 1)]
    measured: dict[str, list[float]] = {}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=flags)
        for name in ("windows", "the report"):
            page = browser.new_page()
            page.goto(f"{url}/#{result_id}")
            page.wait_for_selector(".uss-tree")
            if (
                name != "windows"
            ):  # what the report does: elements with sounds that are too long to be decoded
                page.evaluate((files("uss_ray.results.report") / "files.js").read_text(encoding="utf-8"))
                page.evaluate("UssRayPlayer.mount(document.querySelector('#player-place .uss'))")
                name = page.evaluate("[...UssRayPlayer.players].at(-1).engine.name")
            page.evaluate(  # all stems sound, none is the recording's own file
                "(p => { p.muted.add(1); p.refresh(); })([...UssRayPlayer.players].at(-1))"
            )
            measured[name] = [page.evaluate(TO_SOUND, place) for place in places]
            page.close()
        browser.close()
    return measured


if __name__ == "__main__":
    main()
