"""What Ray Serve, HTTP and many clients cost beside the bare engine, each figure beside its other in one run.

`python benchmarks/serving.py [--rounds 3] [--kills 6]` starts a service with the starter weights on a Ray of its own.
"""

from __future__ import annotations

import argparse
import functools
import os
import signal
import socket
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import httpx
import numpy as np
import psutil
import soundfile as sf
import torch
import uvicorn

from uss_ray.api.request import request_with
from uss_ray.api.separator import RecordingSeparator, load_engine
from uss_ray.audio.codec import open_recording
from uss_ray.pipelines.runtime.session import ray_session
from uss_ray.pipelines.serving.options import Serving
from uss_ray.pipelines.serving.running import running
from uss_ray.records import Recording
from uss_ray.service.app import create_app
from uss_ray.service.in_process import InProcessBackend
from uss_ray.service.loop import SeparationLoop

CLIP_SECONDS, LONG_SECONDS = 10, 600
SOURCE = Path(__file__).parents[1] / "examples/archive/harbour.ogg"
_IDLE_SECONDS = 5
OURS = ("ray::ServeReplica", "ray::ServeController", "ray::ProxyActor")


def main() -> None:
    """Print a table of figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=3, help="of twelve clips for each figure; the median is told"
    )
    parser.add_argument("--kills", type=int, default=0, help="of a separator, 20 s apart")
    parser.add_argument(
        "--requests", type=int, default=0, help="after which memory is compared with after 100"
    )
    parser.add_argument(
        "--load", type=float, default=0.0, help="seconds of each of 1, 2, 4 ... 64 clients at once"
    )
    parser.add_argument(
        "--without-ray", action="store_true", help="under uvicorn in this process: what HTTP alone costs"
    )
    asked = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray reads it so; the bare engine has none
    with tempfile.TemporaryDirectory() as folder, nullcontext() if asked.without_ray else ray_session():
        clips = cut(Path(folder))
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        limits = {"at_once": 64, "queue_seconds": 600.0, "deadline_seconds": 600.0}
        service = {"no_auth": True, "port": port, "device": "cpu", "limits": limits}
        serving = Serving.of({"service": service, "options": {"threads": 1}})
        with under_uvicorn(serving) if asked.without_ray else running(serving) as url:
            bench = Bench(url, clips, Path(folder), with_ray=not asked.without_ray)
            bench.ask(clips[0])
            bench.overhead(asked.rounds)
            bench.throughput()
            bench.beside_a_long_one()
            if asked.kills:
                bench.killed(asked.kills)
            if asked.load:
                bench.load(asked.load)
            if asked.requests:
                bench.memory(asked.requests)


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
    config = uvicorn.Config(
        create_app(backend, serving.service), port=serving.service.port, log_level="warning"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{serving.service.port}"
    finally:
        server.should_exit = True
        thread.join()


class Bench:
    """Asks a service, and does the same without it."""

    def __init__(self, url: str, clips: list[Path], folder: Path, *, with_ray: bool) -> None:
        self.names = OURS if with_ray else None
        self.client = httpx.Client(base_url=url, timeout=600.0)
        self.clips = clips
        self.folder = folder
        self.bare = RecordingSeparator(
            request_with(output=folder / "out", device="cpu", report=False, overwrite=True)
        )

    def ask(self, clip: Path) -> float:
        """Send a clip; give the seconds until its stems are there."""
        began = time.perf_counter()
        self.client.post("/v1/separate", content=clip.read_bytes()).raise_for_status()
        return time.perf_counter() - began

    def overhead(self, rounds: int) -> None:
        """CPU and wall of the service beside those of the engine with the same encoding."""
        from uss_ray.api.inputs import input_of

        if self.names is not None:
            before = self.cpu_by_process()
            time.sleep(_IDLE_SECONDS)
            idle = (self.cpu_by_process() - before).total() / _IDLE_SECONDS
            print(f"  with nothing to do: {1000 * idle:.0f} ms of a core a second")
        for clients in (1, 4):
            cpu, wall = [], []
            parts = Counter[str]()
            for _ in range(rounds):
                began, spent = time.perf_counter(), time.process_time()
                for clip in self.clips:
                    self.bare.separate(input_of(clip))
                bare_wall, bare_cpu = time.perf_counter() - began, time.process_time() - spent
                before, began = self.cpu_by_process(), time.perf_counter()
                with ThreadPoolExecutor(clients) as pool:
                    list(pool.map(self.ask, self.clips))
                wall.append((time.perf_counter() - began) / bare_wall)
                spent_each = self.cpu_by_process() - before
                cpu.append(spent_each.total() / bare_cpu)
                parts.update({name: seconds / bare_cpu / rounds for name, seconds in spent_each.items()})
            told(f"CPU of all Serve processes / bare engine, {clients} clients", cpu)
            print(f"  of it { ({name: round(part, 3) for name, part in parts.items()}) }")
            if clients == 1:
                told("wall, 1 client / the same separator in this process", wall)

    def cpu_by_process(self) -> Counter[str]:
        """Give the CPU seconds of all processes of the service, their decoders too."""
        seconds = Counter[str]()
        for process in [psutil.Process()] if self.names is None else processes(*self.names):
            for one in (process, *process.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    times = one.cpu_times()
                    # Ray adds the method that runs to the name of an actor.
                    name = (
                        " ".join(process.cmdline()).partition(".")[0].strip()
                        if one is process
                        else "decoders"
                    )
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
        long = self.folder / "long.flac"
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

    def load(self, seconds: float) -> None:
        """Let more and more clients ask one after the other, and count what they are answered."""
        limits = httpx.Limits(max_connections=None)
        with httpx.Client(base_url=self.client.base_url, timeout=600.0, limits=limits) as client:
            for clients in (1, 2, 4, 8, 16, 32, 64):
                answers, waited = Counter[str](), list[float]()
                ends = time.monotonic() + seconds

                def ask(
                    first: int,
                    answers: Counter[str] = answers,
                    waited: list[float] = waited,
                    ends: float = ends,
                ) -> None:
                    number = first
                    while time.monotonic() < ends:
                        began, number = time.perf_counter(), number + 1
                        try:
                            content = self.clips[number % 12].read_bytes()
                            answers[str(client.post("/v1/separate", content=content).status_code)] += 1
                        except httpx.TransportError as error:
                            answers[type(error).__name__] += 1
                        waited.append(time.perf_counter() - began)

                with ThreadPoolExecutor(clients) as pool:
                    list(pool.map(ask, range(clients)))
                median, p95 = np.percentile(waited, (50, 95))
                print(
                    f"{clients} clients, {seconds:g} s: answers {dict(answers)}, {median:.2f} s, p95 {p95:.2f} s",
                    flush=True,
                )

    def memory(self, requests: int) -> None:
        """Compare what processes hold after many requests with after a hundred."""
        for number in range(requests):
            self.ask(self.clips[number % 12])
            if number == 99:
                before = {process.pid: (process.name(), resident(process)) for process in processes(*OURS)}
        for process in processes(*OURS):
            if process.pid in before:
                name, held = before[process.pid]
                told(f"memory of {name} after {requests} / after 100", [resident(process) / held])


def processes(*names: str) -> Iterator[psutil.Process]:
    """Give the processes of Serve that this process has begun."""
    for process in psutil.Process(os.getpid()).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if " ".join(process.cmdline()).startswith(names):
                yield process


def resident(process: psutil.Process) -> float:
    """Give the memory of its own, without what it shares, as of the object store."""
    return float(process.memory_full_info().uss)


def told(what: str, values: list[float]) -> None:
    """Print a figure: the median, and all."""
    print(f"{what}: {statistics.median(values):.3f} {[round(value, 3) for value in values]}", flush=True)


if __name__ == "__main__":
    main()
