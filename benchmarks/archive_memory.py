"""Peak memory of every kind of worker of the archive job, for recordings of any length and any number of them.

python benchmarks/archive_memory.py [--cases few many real hour long]

Each case is one job with one actor, watched every tenth of a second. Where the length or the number is what counts, a
null engine stands in for the networks: it gives whole mixtures as estimates of two stems, so that spans are written and
joined as ever. The 8 hours are 8 kHz mono, for else noise alone would be 5 GB. Memory is counted without the pages of
Ray's object store, which is one pool of a fixed size for the whole machine; they are shown beside. The model's share is
what loading weights adds to a process that has imported everything. Limit: 1.5 GB above the model.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
from archive_engines import NullSeparator, TimedSeparator
from archive_sounds import field_recordings, long_noise, noises
from archive_watch import MEBIBYTE, watch

from uss_ray.api.request import Query, SeparationRequest, request_with
from uss_ray.api.separator import RecordingSeparator
from uss_ray.pipelines.archive.job import separate_archive
from uss_ray.pipelines.runtime.options import JobOptions

LIMIT_BYTES = 1.5e9
_WORKERS = ("driver", "list", "decode", "separate", "join")


@dataclass(frozen=True)
class Case:
    """A job to watch: what it is, how its recordings are made, and whether the real engine separates them."""

    title: str
    make: Callable[[Path, float], object]
    is_real: bool = False
    sounding: int = 2


def _scaled(count: int, scale: float) -> int:
    return max(1, round(count * scale))


CASES = {
    "few": Case(
        "10 recordings of 10 s, 32 and 48 kHz, real engine",
        lambda folder, scale: field_recordings(folder, count=_scaled(10, scale), seconds=10.0),
        is_real=True,
    ),
    "many": Case(
        "10,000 recordings of 10 s, 8 kHz mono, null engine",
        lambda folder, scale: noises(folder, count=_scaled(10_000, scale), seconds=10.0, sample_rate=8_000),
        sounding=0,
    ),
    "real": Case(
        "10 minutes, 48 kHz stereo, real engine",
        lambda folder, scale: field_recordings(folder, count=1, seconds=600 * scale),
        is_real=True,
    ),
    "hour": Case(
        "1 hour, 48 kHz stereo, null engine",
        lambda folder, scale: long_noise(
            folder / "1.flac", seconds=3600 * scale, sample_rate=48_000, channels=2
        ),
    ),
    "long": Case(
        "8 hours, 8 kHz mono, null engine",
        lambda folder, scale: long_noise(
            folder / "1.flac", seconds=8 * 3600 * scale, sample_rate=8_000, channels=1
        ),
    ),
}


def job(arguments: argparse.Namespace) -> None:
    """Separate the archive of a case."""
    case = CASES[arguments.job]
    notes = arguments.folder / "notes"
    engine = (
        partial(TimedSeparator, notes=notes)
        if case.is_real
        else partial(NullSeparator, notes=notes, sounding=case.sounding)
    )
    result = separate_archive(
        str(arguments.folder / "in"),
        request=request_with(
            output=str(arguments.folder / "out"), query=Query(levels=tuple(arguments.levels)), report=False
        ),
        options=JobOptions(actors=1, threads=1),
        make_separator=engine,
    )
    counts = result.summary.recordings
    if counts.failed or counts.unfinished:
        raise SystemExit(f"not all recordings were separated: {counts}")
    print(json.dumps({"stems": result.summary.stems, "hours": result.summary.audio_hours}))


def weigh_model(arguments: argparse.Namespace) -> None:
    """Tell what loading the weights adds to this process."""
    process = psutil.Process()
    before = process.memory_info().rss
    separator = RecordingSeparator(
        SeparationRequest(output="nowhere", query=Query(levels=tuple(arguments.levels)), device="cpu")
    )
    print(json.dumps({"bytes": process.memory_info().rss - before, "weights": separator.run.weights_name}))


def measure(name: str, *, model_bytes: int, arguments: argparse.Namespace) -> None:
    """Watch one case and print its rows."""
    case = CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        case.make(Path(folder) / "in", arguments.scale)
        options = ["--job", name, "--folder", folder, "--levels", *map(str, arguments.levels)]
        seen = watch([__file__, *options], every_seconds=0.1)
    for worker in _WORKERS:
        if worker not in seen.memory:
            continue
        memory = seen.memory[worker]
        model = model_bytes if worker in ("driver", "separate") else 0
        above = memory.own - model
        print(
            f"| {case.title} | {seen.seconds:.0f} | {worker} | {memory.own / MEBIBYTE:.0f} "
            f"| {(memory.resident - memory.own) / MEBIBYTE:.0f} | {memory.anonymous / MEBIBYTE:.0f} "
            f"| {above / MEBIBYTE:.0f} | {'yes' if above <= LIMIT_BYTES else '**NO**'} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--scale", type=float, default=1.0, help="of all lengths and numbers; to try it out")
    parser.add_argument("--levels", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--job", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--model", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.model:
        weigh_model(arguments)
        return
    if arguments.job:
        job(arguments)
        return
    levels = ["--levels", *map(str, arguments.levels)]
    model = watch([__file__, "--model", *levels]).result
    print(f"weights {model['weights']}: {model['bytes'] / MEBIBYTE:.0f} MiB; limit 1.5 GB (1431 MiB) above\n")
    print(
        "| recordings | job s | worker | peak MiB without object store | pages of the object store beside, MiB "
        "| of its own (anonymous) MiB | above the model MiB | within the limit |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name in arguments.cases:
        measure(name, model_bytes=model["bytes"], arguments=arguments)


if __name__ == "__main__":
    main()
