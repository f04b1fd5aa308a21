"""What Ray Serve, HTTP and many clients cost beside the bare engine, each figure beside its other in one run.

    python benchmarks/serving.py [overhead throughput long] [kills] [load] [memory] [--rounds 3]

starts a service on a Ray of its own; with RAY_SERVE_ENABLE_HA_PROXY=1 behind HAProxy, as pods have it. What it costs
while nobody asks is told apart: that is the same whatever a clip costs.
"""

from __future__ import annotations

import argparse
import functools
import math
import os
import signal
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import psutil
import soundfile as sf
import torch
import uvicorn

from uss_ray.api.inputs import input_of
from uss_ray.api.request import request_with
from uss_ray.api.separator import RecordingSeparator, load_engine
from uss_ray.audio.codec import open_recording
from uss_ray.pipelines.runtime.session import ray_session
from uss_ray.pipelines.serving.options import Serving
from uss_ray.pipelines.serving.running import free_port, running, serve_lightly
from uss_ray.records import Recording
from uss_ray.service.app import create_app
from uss_ray.service.in_process import InProcessBackend
from uss_ray.service.loop import SeparationLoop
from uss_ray.weights import STARTER

CLIP_SECONDS, LONG_SECONDS = 10, 600
SOURCE = Path(__file__).parents[1] / "examples/archive/harbour.ogg"
_IDLE_SECONDS = 5
OURS = ("ray::ServeReplica", "ray::ServeController", "ray::ProxyActor", "ray::HAProxyManager")


def main() -> None:
    """Print a table of figures."""
    figures = {
        "overhead": lambda bench, asked: bench.overhead(asked.rounds),
        "throughput": lambda bench, _: bench.throughput(),
        "long": lambda bench, _: bench.beside_a_long_one(),
        "kills": lambda bench, asked: bench.killed(asked.kills),
        "memory": lambda bench, asked: bench.memory(asked.requests),
        "load": lambda bench, asked: bench.load(asked.clients, asked.seconds),
    }
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("figures", nargs="*", help=f"{', '.join(figures)}; default: the first three")
    parser.add_argument(
        "--rounds", type=int, default=3, help="of overhead, twelve clips each; the median is told"
    )
    parser.add_argument("--kills", type=int, default=6, help="of a separator, 20 s apart")
    parser.add_argument(
        "--requests", type=int, default=1000, help="of memory; it is compared with after a hundred"
    )
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64], help="of load")
    parser.add_argument("--seconds", type=float, default=120.0, help="of load, for each number of clients")
    parser.add_argument("--weights", default=STARTER, help="of the service, and of the engine beside it")
    parser.add_argument(
        "--without-ray", action="store_true", help="under uvicorn in this process: what HTTP alone costs"
    )
    asked = parser.parse_args()
    torch.set_num_threads(1)
    serve_lightly()
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray reads it so; the bare engine has none
    # Load meets the limits that a service has, but for that of one token: all clients are one here.
    limits = {"at_once": 64}
    if "load" not in asked.figures:
        limits |= {"queue_seconds": 600, "deadline_seconds": 600}
    service = {"no_auth": True, "port": 0, "device": "cpu", "weights": asked.weights, "limits": limits}
    serving = Serving.of({"service": service, "options": {"threads": 1}})
    with tempfile.TemporaryDirectory() as folder, nullcontext() if asked.without_ray else ray_session():
        clips = cut(Path(folder))
        with under_uvicorn(serving) if asked.without_ray else running(serving) as url:
            bare = RecordingSeparator(
                request_with(
                    output=Path(folder) / "out",
                    weights=asked.weights,
                    device="cpu",
                    report=False,
                    overwrite=True,
                )
            )
            bench = Bench(url, clips, bare, with_ray=not asked.without_ray)
            bench.ask(clips[0])
            for figure in asked.figures or list(figures)[:3]:
                figures[figure](bench, asked)


def cut(folder: Path) -> list[Path]:
    """Cut a dozen clips, and a long recording, from a real one."""
    samples, rate = sf.read(SOURCE, dtype="float32")
    looped = np.resize(samples.mean(axis=1) if samples.ndim > 1 else samples, LONG_SECONDS * rate)
    sf.write(folder / "long.flac", looped, rate)
    clips = []
    for number in range(12):
        start = number * rate
        clips.append(folder / f"clip-{number}.flac")
        sf.write(clips[-1], np.resize(samples[start:], CLIP_SECONDS * rate), rate)
    return clips


@contextmanager
def under_uvicorn(serving: Serving) -> Iterator[str]:
    """Serve without Ray, in a thread of this process."""
    sounds = serving.service.sounds()
    backend = InProcessBackend(load_engine(sounds), sounds=sounds, limits=serving.service.limits)
    port = free_port("127.0.0.1", 0)
    config = uvicorn.Config(create_app(backend, serving.service), port=port, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@dataclass(frozen=True)
class Turn:
    """Seconds for the same clips, without the service and with it."""

    bare_wall: float
    bare_cpu: float
    wall: float
    cpu: Counter[str]


class Bench:
    """Asks a service, and does the same without it."""

    def __init__(self, url: str, clips: list[Path], bare: RecordingSeparator, *, with_ray: bool) -> None:
        self.names = OURS if with_ray else None
        self.client = httpx.Client(base_url=url, timeout=600.0)
        self.clips = clips
        self.bare = bare

    def ask(self, clip: Path) -> float:
        """Send a clip; give the seconds until its stems are there."""
        began = time.perf_counter()
        self.client.post("/v1/separate", content=clip.read_bytes()).raise_for_status()
        return time.perf_counter() - began

    def overhead(self, rounds: int) -> None:
        """CPU and wall of the service beside those of the engine with the same encoding."""
        before = self.cpu_by_process()
        time.sleep(_IDLE_SECONDS)
        idle = (self.cpu_by_process() - before).total() / _IDLE_SECONDS
        print(f"with nothing to do: {1000 * idle:.0f} ms of a core a second")
        for clients in (1, 4):
            turns = [self._turn(clients) for _ in range(rounds)]
            what = f"CPU of all processes of the service / bare engine, {clients} clients"
            told(what, [turn.cpu.total() / turn.bare_cpu for turn in turns])
            told(
                "  without what it takes with nothing to do",
                [(turn.cpu.total() - idle * turn.wall) / turn.bare_cpu for turn in turns],
            )
            for name in turns[0].cpu:
                told(f"  of it {name}", [turn.cpu[name] / turn.bare_cpu for turn in turns])
            if clients == 1:
                what = "wall, 1 client / the same separator in this process"
                told(what, [turn.wall / turn.bare_wall for turn in turns])

    def _turn(self, clients: int) -> Turn:
        began, spent = time.perf_counter(), time.process_time()
        for clip in self.clips:
            self.bare.separate(input_of(clip))
        bare_wall, bare_cpu = time.perf_counter() - began, time.process_time() - spent
        before, began = self.cpu_by_process(), time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(self.ask, self.clips))
        wall = time.perf_counter() - began
        return Turn(bare_wall, bare_cpu, wall, self.cpu_by_process() - before)

    def cpu_by_process(self) -> Counter[str]:
        """Give the CPU seconds of all processes of the service, their decoders too."""
        seconds = Counter[str]()
        for process in [psutil.Process()] if self.names is None else processes(*self.names):
            for one in (process, *process.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    times = one.cpu_times()
                    name = name_of(process) if one is process else name_of_child(one)
                    seconds[name] += times.user + times.system
        return seconds

    def throughput(self) -> None:
        """16 clients beside the bare engine over the same, side by side and with the same encoding in threads."""
        clips = [*self.clips, *self.clips[:4]]
        began = time.perf_counter()
        loop = SeparationLoop(self.bare.engine)
        try:
            with ThreadPoolExecutor(16) as pool:
                list(pool.map(functools.partial(self._publish, loop), enumerate(clips)))
        finally:
            loop.close()
        bare = time.perf_counter() - began
        began = time.perf_counter()
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(self.ask, clips))
        told(
            "throughput of 16 clients / sessions side by side, with encoding",
            [bare / (time.perf_counter() - began)],
        )

    def _publish(self, loop: SeparationLoop, numbered: tuple[int, Path]) -> None:
        number, clip = numbered
        recording = Recording(recording_uri=str(clip), recording_id=f"side-by-side-{number}")
        with open_recording(clip) as reader:
            ticket, blocks = loop.join(self.bare.open_session(reader))
            try:
                self.bare.publisher.publish(
                    blocks, recording=recording, spec=reader.tagged_spec(), started=time.monotonic()
                )
            finally:
                loop.leave(ticket)

    def beside_a_long_one(self) -> None:
        """How long clips take beside a long one, and would if it went first."""
        long = self.clips[0].with_name("long.flac")
        alone = self.ask(long)
        short = statistics.median(self.ask(clip) for clip in self.clips)
        step, count = 1.0, 12
        with ThreadPoolExecutor(count + 1) as pool:
            asked = pool.submit(self.ask, long)
            time.sleep(step)
            shorts = []
            for clip in self.clips:
                shorts.append(pool.submit(self.ask, clip))
                time.sleep(step)
            found = [one.result() for one in shorts]
            asked.result()
        queued = [max(0.0, alone - step * (n + 1)) + short * (n + 1) for n in range(count)]
        p95 = float(np.percentile(found, 95))
        told("p95 of 10 s beside 10 min / first come, first served", [p95 / float(np.percentile(queued, 95))])
        print(f"  beside {p95:.2f} s, alone {short:.2f} s, the long one alone {alone:.1f} s")

    def killed(self, kills: int) -> None:
        """Kill a separator now and then while four clients ask."""
        ends = threading.Event()
        statuses = Counter[int]()

        def ask(first: int) -> None:
            for number in range(first, 10**6):
                if ends.is_set():
                    return
                content = self.clips[number % 12].read_bytes()
                statuses[self.client.post("/v1/separate", content=content).status_code] += 1

        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(ask, first) for first in range(4)]
            for _ in range(kills):
                time.sleep(20)
                for process in processes("ray::ServeReplica:uss-ray:Separator"):
                    process.send_signal(signal.SIGKILL)
            ends.set()
            for one in asked:
                one.result()
        print(f"a separator killed every 20 s, {kills} times: answers {dict(statuses)}")

    def load(self, numbers: Sequence[int], seconds: float) -> None:
        """Let so many clients ask one after the other, and count what they are answered; put off, they come again."""
        limits = httpx.Limits(max_connections=None)
        with httpx.Client(base_url=self.client.base_url, timeout=600.0, limits=limits) as client:
            for clients in numbers:
                answers, waited = Counter[str](), list[float]()
                ends = time.monotonic() + seconds

                def ask(
                    first: int,
                    answers: Counter[str] = answers,
                    waited: list[float] = waited,
                    ends: float = ends,
                ) -> None:
                    number = first
                    while (began := time.monotonic()) < ends:
                        number += 1
                        try:
                            content = self.clips[number % 12].read_bytes()
                            answer = client.post("/v1/separate", content=content)
                        except httpx.TransportError as error:
                            answers[type(error).__name__] += 1
                            continue
                        answers[str(answer.status_code)] += 1
                        waited.append(time.monotonic() - began)
                        if answer.status_code in (429, 503):
                            time.sleep(float(answer.headers["retry-after"]))

                with ThreadPoolExecutor(clients) as pool:
                    list(pool.map(ask, range(clients)))
                median, p95 = np.percentile(waited, (50, 95))
                print(
                    f"{clients} clients, {seconds:g} s: answers {dict(answers)}, {median:.2f} s, p95 {p95:.2f} s",
                    flush=True,
                )

    def memory(self, requests: int) -> None:
        """Compare what processes hold after many requests with after a hundred."""
        held = list[dict[str, float]]()
        for number in range(1, requests + 1):
            self.ask(self.clips[number % 12])
            if number in (100, requests // 2, requests):
                held.append(self.memory_by_process())
        for name, first in held[0].items():
            then = [after.get(name, math.nan) / first for after in held[1:]]
            print(
                f"memory of {name} after {requests // 2}, {requests} requests / after 100: "
                f"{then[0]:.3f}, {then[1]:.3f} ({first / 1e6:.0f} MB)",
                flush=True,
            )

    def memory_by_process(self) -> dict[str, float]:
        """Give the memory of each process's own, without what it shares; of decoders, which come and go, the most."""
        found = dict[str, float]()
        for process in processes(*OURS):
            found[name_of(process)] = resident(process)
            for one in process.children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    name = name_of_child(one)
                    found[name] = max(found.get(name, 0.0), resident(one))
        return found


def processes(*names: str) -> Iterator[psutil.Process]:
    """Give the processes of Serve that this process has begun."""
    for process in psutil.Process(os.getpid()).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if " ".join(process.cmdline()).startswith(names):
                yield process


def name_of(process: psutil.Process) -> str:
    """Give what a process is; Ray adds the method that runs to the name of an actor."""
    return " ".join(process.cmdline()).partition(".")[0].strip()


def name_of_child(process: psutil.Process) -> str:
    """Give what a process of a process of Serve is."""
    return "HAProxy" if "haproxy" in process.name() else "decoders"


def resident(process: psutil.Process) -> float:
    """Give the memory of its own, without what it shares, as of the object store."""
    return float(process.memory_full_info().uss)


def told(what: str, values: list[float]) -> None:
    """Print a figure: the median, and all."""
    print(f"{what}: {statistics.median(values):.3f} {[round(value, 3) for value in values]}", flush=True)


if __name__ == "__main__":
    main()
