"""CPU time that the archive job takes for a recording besides separating it: a null engine, many short recordings.

python benchmarks/archive_null.py [--recordings 10000] [--seconds 1] [--rate 8000] [--levels 1 2 3]

Counts every process of the Ray session, from the start of Python to its end, and shows the share that does not grow
with the recordings (start of Ray, loading of weights, the end of the run) by itself. Limit: 8 ms a recording.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from functools import partial
from pathlib import Path

from archive_engines import NullSeparator, ready_times
from archive_sounds import noises
from archive_watch import Observed, watch

from uss_ray.api.request import Query, request_with
from uss_ray.pipelines.archive.job import separate_archive
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.pipelines.runtime.progress import Progress

LIMIT_MS = 8.0


def job(arguments: argparse.Namespace) -> None:
    """Separate the archive with a null engine; say when the work began and ended."""
    reported: list[float] = []

    def note(_: Progress) -> None:
        reported.append(time.monotonic())

    result = separate_archive(
        str(arguments.folder / "in"),
        request=request_with(
            output=str(arguments.folder / f"out {arguments.write}"),
            query=Query(levels=tuple(arguments.levels)),
            write=arguments.write,
            report=False,
            residual=False,
        ),
        options=JobOptions(actors=1, threads=1),
        on_progress=note,
        make_separator=partial(NullSeparator, notes=arguments.folder / f"notes {arguments.write}"),
    )
    ready = ready_times(arguments.folder / f"notes {arguments.write}")
    told = {
        "separated": result.summary.recordings.separated,
        "ready": ready[0],
        "first": reported[0],
        "last": reported[-1],
    }
    print(json.dumps(told))


def measure(arguments: argparse.Namespace, *, write: str) -> None:
    """Run the job, watched, and print what it took."""
    options = ["--job", "--write", write, "--folder", str(arguments.folder)]
    options += ["--levels", *(str(level) for level in arguments.levels)]
    observed = watch([__file__, *options])
    told = observed.result
    count = told["separated"]
    whole, steady = observed.cpu_seconds(), observed.cpu_seconds(told["ready"], told["last"])
    print(
        f"\n{write}: {count} recordings in {observed.seconds:.1f} s, {told['last'] - told['ready']:.1f} s at work\n"
    )
    print("| process | CPU s in all | from ready to last report | ms a recording |")
    print("|---|---|---|---|")
    for kind in sorted(whole, key=lambda kind: -whole[kind]):
        at_work = steady.get(kind, 0.0)
        print(f"| {kind} | {whole[kind]:.2f} | {at_work:.2f} | {1000 * at_work / count:.2f} |")
    _verdict(observed, count=count, steady=sum(steady.values()))


def _verdict(observed: Observed, *, count: int, steady: float) -> None:
    everything = sum(observed.cpu_seconds().values())
    print(
        f"| all | {everything:.2f} | {steady:.2f} | **{1000 * steady / count:.2f}** (limit {LIMIT_MS:.0f}) |"
    )
    print(f"\nwith start and end: {1000 * everything / count:.2f} ms a recording")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--recordings", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rate", type=int, default=8_000)
    parser.add_argument("--levels", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--write", nargs="+", default=["index-only", "stems"])
    parser.add_argument("--job", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        arguments.write = arguments.write[0]
        job(arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        arguments.folder = Path(folder)
        noises(
            arguments.folder / "in",
            count=arguments.recordings,
            seconds=arguments.seconds,
            sample_rate=arguments.rate,
        )
        for write in arguments.write:
            measure(arguments, write=write)


if __name__ == "__main__":
    main()
