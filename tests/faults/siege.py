"""An archive that everything happens to: kills, two writers, changed inputs, a full disk; in the end nothing shows.

`python -m tests.faults.siege --kills 20 [--store s3] [--seed N] [--weights NAME]` tells what happens line by line, and
ends with what `uss-ray verify` says and how the stems compare with those of an undisturbed run. The test of that name
does a short one.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import soundfile as sf

from tests.faults.commands import PATIENCE_SECONDS, ArchiveCommand
from tests.faults.disturbances import LOOK_SECONDS
from tests.faults.results import failed, separate_here
from tests.own_cluster import own_cluster
from tests.processes import wait_until_ended
from uss_ray.api.request import Query, request_with
from uss_ray.errors import DataError
from uss_ray.store.store import Store

LONG = "a-long.wav"  # the first of the listing: its spans are many runs apart
SPAN_SECONDS = 20
CPUS = 3
UNSHARE = ("unshare", "--mount", *(() if os.geteuid() == 0 else ("--user", "--map-root-user")))
_ROOM = "200k"


def write_archive(folder: Path, *, short: int, spans: int, pitch: int) -> list[str]:
    """Write short recordings and a long one, each with a sound of its own that `pitch` changes; give their names."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / LONG, seconds=SPAN_SECONDS * (spans - 1) + 3, pitch=pitch + 7, sample_rate=8000)
    names = [f"{number:02d}.wav" for number in range(short)]
    for number, name in enumerate(names):
        _write(folder / name, seconds=2.5, pitch=pitch + 40 * number, sample_rate=32_000)
    return [LONG, *names]


def _write(path: Path, *, seconds: float, pitch: float, sample_rate: int) -> None:
    at = np.arange(round(seconds * sample_rate)) / sample_rate
    noise = 0.02 * np.random.default_rng(round(pitch)).standard_normal(len(at))
    sf.write(path, 0.2 * np.sin(2 * np.pi * pitch * at) + noise, sample_rate)


@dataclass
class Siege:
    """The same command on the same output, again and again, with something else happening each time.

    Parameters
    ----------
    source, calm : Path
        The archive, and one with what it will hold in the end.
    output : str
    weights : str
    folder : Path
        For logs.
    address : str or None, default=None
        Of a cluster; None has each command start a Ray of its own, which takes longer than its work.
    seed : int, default=0
    """

    source: Path
    calm: Path
    output: str
    weights: str
    folder: Path
    address: str | None = None
    seed: int = 0
    told: list[str] = field(default_factory=list)
    kills: int = 0
    orphans: list[psutil.Process] = field(default_factory=list)
    _commands: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def command(self, *, is_held: bool = True) -> ArchiveCommand:
        """Start the command."""
        self._commands += 1
        arguments = [
            *(str(self.source), self.output, "--levels", "1", "--no-report"),
            *(
                "--span-seconds",
                str(SPAN_SECONDS),
                "--actors",
                "1",
                "--threads",
                "1",
                "--weights",
                self.weights,
            ),
            *(("--address", self.address) if self.address else ()),
        ]
        return ArchiveCommand(arguments, self.folder / f"run-{self._commands}", is_held=is_held)

    def undisturbed(self, output: Path) -> dict[str, str]:
        """Give the checksums of the stems where nothing happens."""
        request = request_with(
            output=str(output),
            query=Query(levels=(1,)),
            weights=self.weights,
            report=False,
            span_seconds=SPAN_SECONDS,
        )
        stems = separate_here(self.calm, request=request)
        self.say("the same archive, separated in one process", f"{len(stems)} stems")
        return stems

    def kill_in_the_middle(self, *, most_units: int = 3) -> None:
        """Start the command, let some units pass, kill one of its workers, or not, and then itself.

        Where nothing is left to do, some recordings change, so that there is.
        """
        command = self.command()
        passed = self._random.randrange(most_units)
        if not self._let_pass(command, passed):
            self.say("nothing left to be killed in", f"exit {command.wait()}")
            for name in self._random.sample(sorted(path.name for path in self.source.iterdir()), 5):
                write_again(self.source / name)
            return
        if self._random.random() < 0.5:
            victim = self._kill_a_worker(command)
            self.say(f"SIGKILL {victim}, {passed} units done", "the run goes on")
        if self._random.random() < 0.5:  # in the midst of its writing, committing or uploading
            command.gate.open()
            time.sleep(self._random.uniform(0.0, 0.4))
        self._kill(command, f"SIGKILL driver, {passed} units done")

    def two_writers(self) -> None:
        """Start the command twice: the second is refused, the first is killed."""
        first = self.command()
        first.wait_for_unit(0)
        second = self.command(is_held=False)
        code, said = second.wait(), second.log.read_text()
        assert code == 6, said
        assert f"held by process {first.process.pid}" in said
        self.say("the same command twice at once", f"exit {code} of the second: held by process PID on HOST")
        self._kill(first, "SIGKILL first of two writers")

    def change(self, *names: str) -> None:
        """Replace recordings, or all that differ, by what they are in the end."""
        others = [
            path.name for path in sorted(self.source.iterdir()) if not _is_same(path, self.calm / path.name)
        ]
        for name in names or others:
            shutil.copyfile(self.calm / name, self.source / name)
        self.say(f"content changed: {', '.join(names or others)}", "to be done again")

    def fill_the_disk(self, wanted: dict[str, str]) -> None:
        """Run on a disk that has room for what is there and for little more; each stem is an old or a wanted one."""
        run = self.folder / "small"
        run.mkdir()
        before = stems_in(Store(self.output))
        shutil.move(self.output, run / "out")
        program = Path(sys.executable).with_name("uss-ray")
        arguments = [str(self.source), str(run / "disk/out"), "--levels", "1", "--no-report"]
        arguments += ["--span-seconds", str(SPAN_SECONDS), "--actors", "1", "--threads", "1"]
        module = [sys.executable, "-m", "tests.faults.on_a_small_disk", str(run), _ROOM]
        subprocess.run(
            [*UNSHARE, *module, program, "archive", *arguments, "--weights", self.weights], check=True
        )
        shutil.move(run / "out", self.output)
        code, said = (run / "told.txt").read_text().split("\n", 1)
        assert code in ("6", "8"), said
        assert "No space left on device" in said
        assert str(run / "disk/out") in said
        assert ".uss-ray-" not in said
        for name, content in stems_in(Store(self.output)).items():
            assert content in (before.get(name), wanted.get(name)), name
        with contextlib.suppress(
            DataError
        ):  # where the disk was full before anything was done, there is no index
            assert not failed(Path(self.output))
        self.say("disk full in the middle of a run", f"exit {code}: No space left on device")

    def end(self) -> None:
        """Let the command end by itself."""
        command = self.command(is_held=False)
        code = command.wait()
        assert code == 0, command.log.read_text()
        self.say("undisturbed to the end", f"exit {code}")

    def verify(self) -> dict[str, object]:
        """Ask `uss-ray verify`."""
        program = Path(sys.executable).with_name("uss-ray")
        verified = subprocess.run([program, "verify", self.output, "--json"], capture_output=True, text=True)
        found: dict[str, object] = json.loads(verified.stdout)
        self.say("uss-ray verify", f"exit {verified.returncode}: {found['counts'] or 'all is well'}")
        assert verified.returncode == 0, verified.stdout
        return found

    def say(self, what: str, then: str) -> None:
        """Keep a line of the table, and print it."""
        self.told.append(f"{len(self.told) + 1:3d}  {what:58s}  {then}")
        print(self.told[-1], flush=True)  # noqa: T201

    def close(self) -> None:
        """See to it that nothing is left of it."""
        wait_until_ended(self.orphans, seconds=PATIENCE_SECONDS)

    def _let_pass(self, command: ArchiveCommand, units: int) -> bool:
        """Open the gate for some units, and wait for the next one; tell whether there was one."""
        for number in range(units + 1):
            give_up = time.monotonic() + PATIENCE_SECONDS
            while len(command.gate.begun()) <= number:
                if command.process.poll() is not None:
                    return False
                if time.monotonic() > give_up:
                    raise AssertionError(f"nothing happened:\n{command.log.read_text()}")
                time.sleep(LOOK_SECONDS)
            if number < units:
                command.gate.open(number)
        return True

    def _kill_a_worker(self, command: ArchiveCommand) -> str:
        workers = [
            process
            for process in _descendants(command, self.address)
            if _title(process).startswith("ray::")
            and "Agent" not in _title(process)  # a node ends with its agents
        ]
        victim = self._random.choice(sorted(workers, key=lambda process: process.pid))
        name = _title(victim).split("(")[0].split(" ")[0]
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
        self.kills += 1
        return name

    def _kill(self, command: ArchiveCommand, what: str) -> None:
        command.kill()
        self.orphans += command.orphans
        self.kills += 1
        self.say(what, f"killed, {len(self.orphans)} orphans")


def _descendants(command: ArchiveCommand, address: str | None) -> list[psutil.Process]:
    if address is None:
        return command.process.children(recursive=True)
    return psutil.Process().children(recursive=True)


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return ""


def _is_same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


def stems_in(output: Store) -> dict[str, str]:
    """Checksum of each stem below an output root, by its name."""
    stems = [place for place in output.list() if place.name.endswith(".flac")]
    return {place.relative_to(output): hashlib.sha256(place.read()).hexdigest() for place in stems}


def compare(found: dict[str, str], wanted: dict[str, str]) -> dict[str, int]:
    """Count what is missing, too much and different."""
    both = found.keys() & wanted.keys()
    return {
        "stems": len(wanted),
        "missing": len(wanted.keys() - found.keys()),
        "extra": len(found.keys() - wanted.keys()),
        "differ": sum(found[name] != wanted[name] for name in both),
    }


def may_mount() -> bool:
    """Tell whether this user may mount a disk of memory for one command."""
    if shutil.which("unshare") is None:
        return False
    return (
        subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True).returncode
        == 0
    )


def besiege(siege: Siege, *, kills: int, names: list[str]) -> dict[str, int]:
    """Let everything happen, and compare."""
    wanted = siege.undisturbed(siege.folder / "undisturbed")
    siege.two_writers()
    siege.kill_in_the_middle(most_units=2)  # in the midst of the long one
    siege.change(LONG, names[1])
    if not siege.output.startswith("s3:") and may_mount():
        siege.fill_the_disk(wanted)
    while siege.kills < kills:
        siege.kill_in_the_middle()
    siege.change()
    siege.end()
    siege.verify()
    counts = compare(stems_in(Store(siege.output)), wanted)
    siege.say("against the undisturbed run", ", ".join(f"{name} {count}" for name, count in counts.items()))
    return counts


def main() -> None:
    """Do a long one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--short", type=int, default=14, help="short recordings")
    parser.add_argument("--store", choices=("local", "s3"), default="local")
    parser.add_argument("--weights", default="starter")
    asked = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        output = str(folder / "out") if asked.store == "local" else stack.enter_context(_bucket())
        names = write_archive(folder / "in", short=asked.short, spans=4, pitch=500)
        write_archive(folder / "calm", short=asked.short, spans=4, pitch=500)
        for name in (LONG, *names[1:4]):
            write_again(folder / "in" / name)
        siege = Siege(
            folder / "in", folder / "calm", output, asked.weights, folder / "logs",
            address=stack.enter_context(own_cluster(cpus=CPUS)).address, seed=asked.seed,
        )  # fmt: skip
        print(f"seed {asked.seed}")  # noqa: T201
        counts = besiege(siege, kills=asked.kills, names=names)
    sys.exit(int(any(counts[name] for name in ("missing", "extra", "differ"))))


def write_again(path: Path) -> None:
    """Give a recording another content of the same length."""
    samples, rate = sf.read(path)
    sf.write(path, samples[::-1] * 0.5, rate)


@contextlib.contextmanager
def _bucket() -> Iterator[str]:
    from tests.servers.ceph import CephServer, reserve_port

    held = reserve_port()
    server = CephServer(held.getsockname()[1])
    server.start()
    try:
        from tests.servers.ceph import ACCESS_KEY, REGION, SECRET_KEY

        os.environ |= {
            "AWS_ENDPOINT_URL": server.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        }
        server.client().create_bucket(Bucket="siege")
        yield "s3://siege/out"
    finally:
        server.stop()
        held.close()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main()
