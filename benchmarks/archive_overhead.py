"""What the archive job costs over the bare engine: the same recordings and cores, in one run.

python benchmarks/archive_overhead.py [--cores 1 2] [--short 36] [--long 6] [--repeats 2]

The bare engine is one process that reads, separates and writes one recording after another, with as many threads as
there are cores. The job does the same as it comes, with an actor of one thread for each core; and, where that is not
the same, with one actor that has all threads, which gives the very stems of the bare engine. All are pinned to the same
cores, with Ray's workers at the usual niceness, write stems without reports, and take turns. Start-up (Python, Ray,
weights) is shown apart: the ratio is of the time from "weights loaded", for the first actor, to the last recording
done. Limit: 1.10.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import torch
from archive_engines import TimedSeparator, ready_times
from archive_sounds import field_recordings
from archive_watch import Observed, watch

from uss_ray.api.request import Query, SeparationRequest, request_with
from uss_ray.api.separator import RecordingSeparator
from uss_ray.pipelines.archive.job import separate_archive
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.pipelines.runtime.progress import Progress
from uss_ray.sources.listing import list_recordings

LIMIT = 1.10


def bare(archive: Path, *, request: SeparationRequest, threads: int) -> dict[str, float]:
    """Separate one recording after another in this process."""
    torch.set_num_threads(threads)
    separator = RecordingSeparator(request)
    ready = time.monotonic()
    for recording in list_recordings(str(archive)):
        separator.separate(recording)
    return {"ready": ready, "last": time.monotonic()}


def on_ray(
    archive: Path, *, request: SeparationRequest, actors: int, threads: int, notes: Path
) -> dict[str, float]:
    """Separate the same with the job."""
    reported: list[float] = []

    def note(_: Progress) -> None:
        reported.append(time.monotonic())

    separate_archive(
        str(archive),
        request=request,
        options=JobOptions(actors=actors, threads=threads),
        on_progress=note,
        make_separator=partial(TimedSeparator, notes=notes),
    )
    return {"ready": ready_times(notes)[0], "last": reported[-1]}


def job(arguments: argparse.Namespace) -> None:
    request = request_with(
        output=str(arguments.output / "out"),
        query=Query(levels=tuple(arguments.levels)),
        weights=arguments.weights,
        report=False,
        device="cpu",
    )
    if arguments.job == "bare":
        told = bare(arguments.archive, request=request, threads=arguments.threads)
    else:
        told = on_ray(
            arguments.archive,
            request=request,
            actors=arguments.actors,
            threads=arguments.threads,
            notes=arguments.output / "notes",
        )
    print(json.dumps({**told, "stems": digest(arguments.output / "out")}))


def digest(output: Path) -> str:
    """Tell how many stems there are, with a checksum of all of them and their names."""
    files = sorted(path for path in output.rglob("*.flac") if path.is_file())
    hashed = hashlib.sha256()
    for file in files:
        hashed.update(file.relative_to(output).as_posix().encode() + file.read_bytes())
    return f"{len(files)} stems, {hashed.hexdigest()[:12]}"


@dataclass(frozen=True)
class Way:
    """How the recordings are separated: by the bare engine, or by the job with some actors."""

    job: str
    actors: int
    threads: int

    def __str__(self) -> str:
        return f"{self.actors} × {self.threads}"


def run_once(way: Way, archive: Path, *, cores: int, arguments: argparse.Namespace) -> Observed:
    with tempfile.TemporaryDirectory() as output:
        options = ["--job", way.job, "--archive", str(archive), "--output", output]
        options += ["--actors", str(way.actors), "--threads", str(way.threads)]
        options += ["--weights", arguments.weights, "--levels", *map(str, arguments.levels)]
        return watch([__file__, *options], cores=cores)


def compare(archive: Path, *, seconds: float, cores: int, arguments: argparse.Namespace) -> None:
    """Let all take turns and print a row of the table for each way of the job."""
    bare_way = Way("bare", 1, cores)
    ways = [bare_way, *dict.fromkeys([Way("ray", cores, 1), Way("ray", 1, cores)])]
    runs: dict[Way, list[Observed]] = {way: [] for way in ways}
    for _ in range(arguments.repeats):
        for way, seen in runs.items():
            seen.append(run_once(way, archive, cores=cores, arguments=arguments))
    bare_runs = runs.pop(bare_way)
    for way, found in runs.items():
        ratio = median(map(_working, found)) / median(map(_working, bare_runs))
        cpu_ratio = median(map(_cpu, found)) / median(map(_cpu, bare_runs))
        print(
            f"| {archive.name}, {seconds:.0f} s | {cores} | {' | '.join(_cells(bare_runs))} "
            f"| {way} | {' | '.join(_cells(found))} | **{ratio:.3f}** | {cpu_ratio:.3f} "
            f"| {_likeness(bare_runs, found, is_same=way.threads == cores)} |",
            flush=True,
        )


def _cells(found: list[Observed]) -> list[str]:
    return [
        _spread([seen.result["ready"] - seen.started for seen in found]),
        _spread([_working(seen) for seen in found]),
        f"{median(_cpu(seen) for seen in found):.1f}",
    ]


def _likeness(one: list[Observed], other: list[Observed], *, is_same: bool) -> str:
    stems = {seen.result["stems"] for seen in (*one, *other)}
    if len(stems) == 1:
        return "yes"
    counts = {text.split()[0] for text in stems}
    if len(counts) == 1 and not is_same:
        return "as many, other last bits"
    return f"**no: {sorted(stems)}**"


def _working(seen: Observed) -> float:
    return float(seen.result["last"] - seen.result["ready"])


def _cpu(seen: Observed) -> float:
    return sum(seen.cpu_seconds(seen.result["ready"], seen.result["last"]).values())


def _spread(values: list[float]) -> str:
    return f"{median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--short", type=int, default=36, help="recordings of 10 s")
    parser.add_argument("--long", type=int, default=6, help="recordings of 60 s")
    parser.add_argument("--levels", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--weights", default="starter")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--job", choices=["bare", "ray"], help=argparse.SUPPRESS)
    parser.add_argument("--actors", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--archive", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        job(arguments)
        return
    print(f"limit {LIMIT:.2f}; seconds as median (least to most) of {arguments.repeats}\n")
    print(
        "| recordings, sound | cores | bare: start s | bare: work s | bare: CPU s "
        "| actors × threads | Ray: start s | Ray: work s | Ray: CPU s | work, Ray : bare | CPU, Ray : bare "
        "| same stems |"
    )
    print("|---" * 12 + "|")
    with tempfile.TemporaryDirectory() as folder:
        for count, each in ((arguments.short, 10.0), (arguments.long, 60.0)):
            if not count:
                continue
            archive = Path(folder) / f"{count} × {each:.0f} s"
            seconds = field_recordings(archive, count=count, seconds=each)
            for cores in arguments.cores:
                compare(archive, seconds=seconds, cores=cores, arguments=arguments)


if __name__ == "__main__":
    main()
