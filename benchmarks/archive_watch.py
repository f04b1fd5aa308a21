"""Watches a benchmark's process and all it starts from outside: CPU time and memory of each kind of process.

A benchmark runs its job in a process of its own, whose last line of output is a JSON object, and watches it here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil

from uss_ray.threads import PATIENT_THREADS

KINDS = {
    "SeparatePackets": "separate",
    "decode_packets": "decode",
    "_join": "join",
    "null_units": "null units",
    "sort_out": "list",
    "Recordings": "list",
    "Repartition": "list",
    "RunState": "run state",
    "read": "ledger",
    "settle": "settle",
}
_COMMAND = """
import resource, sys
from uss_ray.cli.main import main
sys.argv[0] = "uss-ray"
try:
    main()
except SystemExit as stop:
    status = stop.code
print("PEAK", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
sys.exit(status)
"""
# Threads wait as those of the command line do.
_ENVIRONMENT = {
    "RAY_worker_niceness": "0",
    "RAY_AUTH_MODE": "disabled",
    "PYTHONWARNINGS": "ignore",
} | PATIENT_THREADS
MEBIBYTE = 1 << 20


@dataclass
class Memory:
    """Most memory seen of one kind of process, in bytes.

    Attributes
    ----------
    resident : int
        All of it; of a Ray worker that counts the pages of the object store that it has looked at.
    own : int
        Without the pages of the object store.
    anonymous : int
        What the process alone has written to: its heap and stacks.
    """

    resident: int = 0
    own: int = 0
    anonymous: int = 0

    def raise_to(self, other: Memory) -> None:
        """Take the larger of each."""
        self.resident = max(self.resident, other.resident)
        self.own = max(self.own, other.own)
        self.anonymous = max(self.anonymous, other.anonymous)


@dataclass
class Observed:
    """What a job said and took.

    Attributes
    ----------
    result : dict
        The JSON object that it printed last.
    started : float
        On the monotonic clock.
    seconds : float
        Wall time from its start to its end.
    memory : dict of str to Memory
        By kind of process.
    times, cpu : list
        Moments of the monotonic clock, and the CPU time by kind of process until then.
    """

    result: dict[str, Any]
    started: float
    seconds: float = 0.0
    memory: dict[str, Memory] = field(default_factory=lambda: defaultdict(Memory))
    times: list[float] = field(default_factory=list)
    cpu: list[dict[str, float]] = field(default_factory=list)

    def cpu_seconds(self, since: float | None = None, until: float | None = None) -> dict[str, float]:
        """Sum up CPU time by kind of process, between two moments of the monotonic clock."""
        after = self._at(until) if until is not None else self.cpu[-1]
        before = self._at(since) if since is not None else {}
        return {kind: seconds - before.get(kind, 0.0) for kind, seconds in after.items()}

    def _at(self, moment: float) -> dict[str, float]:
        return self.cpu[min(bisect_left(self.times, moment), len(self.cpu) - 1)]


def watch(arguments: list[str], *, cores: int | None = None, every_seconds: float = 0.2) -> Observed:
    """Run `python ARGUMENTS` and look at it and its descendants until it ends.

    Parameters
    ----------
    arguments : list of str
        Script and options.
    cores : int or None, default=None
        Pin it, and with it all that it starts, to this many cores, with `os.sched_setaffinity`.
    every_seconds : float, default=0.2
        What a process does in its last moments, after it was looked at last, is not seen.
    """
    usable = sorted(os.sched_getaffinity(0))
    chosen = set(usable[:cores]) if cores else set(usable)
    if cores and len(chosen) < cores:
        sys.exit(f"{cores} cores are needed, and there are {len(chosen)}")
    seen = Processes()
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        job = subprocess.Popen(
            [sys.executable, *arguments],
            stdout=output,
            stderr=errors,
            env=os.environ | _ENVIRONMENT,
            preexec_fn=lambda: os.sched_setaffinity(0, chosen),
        )
        observed = Observed({}, started)
        while job.poll() is None:
            observed.times.append(time.monotonic())
            observed.cpu.append(seen.look(job.pid, memory=observed.memory))
            time.sleep(every_seconds)
        observed.seconds = time.monotonic() - started
        output.seek(0)
        errors.seek(0)
        lines = output.read().splitlines()
        if job.returncode or not lines:
            sys.exit(errors.read()[-4000:])
        observed.result = json.loads(lines[-1])
    return observed


class Processes:
    """CPU time by kind, of processes that come and go and change what they do."""

    def __init__(self) -> None:
        self._cpu: dict[str, float] = defaultdict(float)
        self._last: dict[tuple[int, float], tuple[str, float]] = {}

    def look(self, root: int, *, memory: dict[str, Memory]) -> dict[str, float]:
        """Look at a process and its descendants; give the CPU time by kind so far, and raise the memory seen."""
        try:
            top = psutil.Process(root)
            processes = [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            processes = []
        for process in processes:
            try:
                self._look_at(process, is_root=process.pid == root, memory=memory)
            except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError, ProcessLookupError):
                continue
        return dict(self._cpu)

    def _look_at(self, process: psutil.Process, *, is_root: bool, memory: dict[str, Memory]) -> None:
        name = (process.pid, process.create_time())
        earlier, spent = self._last.get(name, ("", 0.0))
        kind = "driver" if is_root else _kind(process.cmdline()) or earlier or "idle worker"
        times = process.cpu_times()
        now = times.user + times.system
        self._cpu[kind] += now - spent
        self._last[name] = kind, now
        memory[kind].raise_to(_memory(process.pid))


def peak_of_command(words: Sequence[str], *, succeeds_with: Container[int] = (0,)) -> float:
    """Run `uss-ray` in a process of its own; give its peak resident memory in MiB, or end with what it said."""
    done = subprocess.run(
        [sys.executable, "-c", _COMMAND, *words], capture_output=True, text=True, check=False
    )
    if done.returncode not in succeeds_with:
        sys.exit(done.stderr)
    peak = next(line for line in done.stderr.splitlines() if line.startswith("PEAK"))
    return int(peak.split()[1]) / 1024


def _kind(command: list[str]) -> str:
    """Tell what a process does; empty for a worker that waits for its next task."""
    title = command[0] if command else ""
    if title.startswith("ray::"):
        known = next((kind for part, kind in KINDS.items() if part in title), "other of Ray")
        return "" if "IDLE" in title else known
    program = next((part for part in ("raylet", "gcs_server") if title.endswith(part)), "")
    if program:
        return program
    return "idle worker" if "default_worker.py" in " ".join(command) else "other of Ray"


def _memory(pid: int) -> Memory:
    with open(f"/proc/{pid}/status") as file:
        found = dict(line.split(":", 1) for line in file)

    def size(name: str) -> int:
        return int(found.get(name, "0 kB").split()[0]) * 1024

    resident, anonymous = size("VmRSS"), size("RssAnon")
    return Memory(resident, resident - size("RssShmem"), anonymous)
