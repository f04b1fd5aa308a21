"""Two actors on two cores against one on one core: the same recordings, one thread each, in one run.

python benchmarks/archive_scaling.py [--recordings 96] [--seconds 10] [--repeats 3]

Both are pinned, Ray and all; decoding and writing share the cores. The rate counts from "weights loaded" (of the last
actor) to the last recording done. Limit: at least 1.8 times, of 2 that are possible.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

from archive_engines import TimedSeparator, ready_times
from archive_sounds import field_recordings
from archive_watch import watch

from uss_ray.api.request import Query, request_with
from uss_ray.pipelines.archive.job import separate_archive
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.pipelines.runtime.progress import Progress

LIMIT = 1.8


def job(arguments: argparse.Namespace) -> None:
    """Separate the archive; say when audio was done."""
    done: list[tuple[float, float]] = []

    def note(progress: Progress) -> None:
        done.append((time.monotonic(), progress.audio_seconds))

    notes = arguments.output / "notes"
    separate_archive(
        str(arguments.archive),
        request=request_with(
            output=str(arguments.output / "out"),
            query=Query(levels=tuple(arguments.levels)),
            weights=arguments.weights,
            report=False,
            device="cpu",
        ),
        options=JobOptions(actors=arguments.actors, threads=1),
        on_progress=note,
        make_separator=partial(TimedSeparator, notes=notes),
    )
    ready = ready_times(notes)[-1]
    before = max((audio for moment, audio in done if moment <= ready), default=0.0)
    last, audio = done[-1]
    print(json.dumps({"seconds": last - ready, "rate": (audio - before) / (last - ready)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--recordings", type=int, default=96)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--levels", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--weights", default="starter")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--actors", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--archive", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.actors:
        job(arguments)
        return
    rates: dict[int, list[float]] = {1: [], 2: []}
    print(f"{arguments.recordings} recordings of {arguments.seconds:.0f} s, one thread an actor\n")
    print("| actors and cores | work s | seconds of sound a second |")
    print("|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "in"
        field_recordings(archive, count=arguments.recordings, seconds=arguments.seconds)
        for turn in range(arguments.repeats):
            for actors, found in rates.items():
                output = Path(folder) / f"{actors} {turn}"
                options = ["--actors", str(actors), "--archive", str(archive), "--output", str(output)]
                options += ["--weights", arguments.weights, "--levels", *map(str, arguments.levels)]
                told = watch([__file__, *options], cores=actors).result
                found.append(told["rate"])
                print(f"| {actors} | {told['seconds']:.1f} | {told['rate']:.2f} |", flush=True)
    ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    print(
        f"\nratio **{median(rates[2]) / median(rates[1]):.2f}**, turn by turn "
        f"{min(ratios):.2f} to {max(ratios):.2f} (at least {LIMIT}, of 2)"
    )


if __name__ == "__main__":
    main()
