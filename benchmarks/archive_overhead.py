"""What the archive job costs over the bare engine: the same recordings, cores and threads, in one run.

python benchmarks/archive_overhead.py [--cores 1 2] [--short 36] [--long 9] [--repeats 3]

The bare engine is one process that reads, separates and writes one recording after another. The job does the same with
one actor. Both are pinned to the same cores, with Ray's workers at the usual niceness, and write the same stems without
reports; they take turns. Start-up (Python, Ray, weights) is shown apart: the ratio is of the time from "weights loaded"
to the last recording done. Limit: 1.10.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

import torch
from archive_engines import TimedSeparator, ready_times
from archive_sounds import field_recordings
from archive_watch import Observed, watch

from uss_ray.pipelines.archive.job import ArchiveOptions, Progress, separate_archive
from uss_ray.pipelines.listing import list_recordings
from uss_ray.pipelines.request import Query, SeparationRequest
from uss_ray.pipelines.separate_one import RecordingSeparator

LIMIT = 1.10


def bare(archive: Path, *, request: SeparationRequest, threads: int) -> dict[str, float]:
    """Separate one recording after another in this process."""
    torch.set_num_threads(threads)
    separator = RecordingSeparator(request)
    ready = time.monotonic()
    for recording in list_recordings(str(archive)):
        separator.separate(recording)
    return {"ready": ready, "last": time.monotonic()}


def on_ray(archive: Path, *, request: SeparationRequest, threads: int, notes: Path) -> dict[str, float]:
    """Separate the same with the job."""
    reported: list[float] = []

    def note(_: Progress) -> None:
        reported.append(time.monotonic())

    separate_archive(
        str(archive),
        request=request,
        options=ArchiveOptions(actors=1, threads=threads),
        on_progress=note,
        make_separator=partial(TimedSeparator, notes=notes),
    )
    return {"ready": ready_times(notes)[0], "last": reported[-1]}


def job(arguments: argparse.Namespace) -> None:
    request = SeparationRequest(
        output=str(arguments.output / "out"),
        query=Query(levels=tuple(arguments.levels)),
        weights=arguments.weights,
        report=False,
        device="cpu",
    )
    if arguments.job == "bare":
        told = bare(arguments.archive, request=request, threads=arguments.cores[0])
    else:
        told = on_ray(
            arguments.archive,
            request=request,
            threads=arguments.cores[0],
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


def run_once(kind: str, archive: Path, *, cores: int, arguments: argparse.Namespace) -> Observed:
    with tempfile.TemporaryDirectory() as output:
        options = ["--job", kind, "--archive", str(archive), "--output", output, "--cores", str(cores)]
        options += ["--weights", arguments.weights, "--levels", *map(str, arguments.levels)]
        return watch([__file__, *options], cores=cores)


def compare(archive: Path, *, seconds: float, cores: int, arguments: argparse.Namespace) -> None:
    """Let both take turns and print a row of the table."""
    runs: dict[str, list[Observed]] = {"bare": [], "ray": []}
    for _ in range(arguments.repeats):
        for kind, seen in runs.items():
            seen.append(run_once(kind, archive, cores=cores, arguments=arguments))
    stems = {kind: {seen.result["stems"] for seen in found} for kind, found in runs.items()}
    cells = []
    for found in runs.values():
        cells += [
            _spread([seen.result["ready"] - seen.started for seen in found]),
            _spread([_working(seen) for seen in found]),
            f"{median(_cpu(seen) for seen in found):.1f}",
        ]
    ratio = median(map(_working, runs["ray"])) / median(map(_working, runs["bare"]))
    cpu_ratio = median(map(_cpu, runs["ray"])) / median(map(_cpu, runs["bare"]))
    same = "yes" if stems["bare"] == stems["ray"] else f"**no: {stems}**"
    print(
        f"| {archive.name}, {seconds:.0f} s | {cores} | {' | '.join(cells)} "
        f"| **{ratio:.3f}** | {cpu_ratio:.3f} | {same} |",
        flush=True,
    )


def _working(seen: Observed) -> float:
    return float(seen.result["last"] - seen.result["ready"])


def _cpu(seen: Observed) -> float:
    return sum(seen.cpu_seconds(seen.result["ready"], seen.result["last"]).values())


def _spread(values: list[float]) -> str:
    return f"{median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2], help="and as many threads")
    parser.add_argument("--short", type=int, default=36, help="recordings of 10 s")
    parser.add_argument("--long", type=int, default=9, help="recordings of 60 s")
    parser.add_argument("--levels", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--weights", default="starter")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--job", choices=["bare", "ray"], help=argparse.SUPPRESS)
    parser.add_argument("--archive", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        job(arguments)
        return
    print(f"limit {LIMIT:.2f}; seconds as median (least to most) of {arguments.repeats}\n")
    print(
        "| recordings, sound | cores | bare: start s | bare: work s | bare: CPU s "
        "| Ray: start s | Ray: work s | Ray: CPU s | work, Ray : bare | CPU, Ray : bare | same stems |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
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
