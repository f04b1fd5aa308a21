"""A listing of a million recordings on its way to the workers: memory of the driver, and time a row.

python benchmarks/planning.py [--rows 10000 100000 1000000]
python benchmarks/planning.py --resume 100000

A Parquet manifest goes through the archive's own stages (listing, dropping what is done, cutting into blocks for the
decoders) to units that do nothing; their reports are counted by the driver as those of separated recordings are. The
driver's memory must not grow with the rows. `--resume`: how long a run that is started again reads the index.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
from archive_watch import MEBIBYTE, watch

from uss_ray.pipelines.archive.chunking import Chunking
from uss_ray.pipelines.archive.ledger import Ledger, read_ledger
from uss_ray.pipelines.archive.missing import WhatToDo, undone_readers
from uss_ray.pipelines.archive.outcome import Outcome, PacketReport
from uss_ray.pipelines.runtime.counters import Counters
from uss_ray.pipelines.runtime.pool import DECODE_CPUS, WorkerPool
from uss_ray.pipelines.runtime.run_state import start_run_state
from uss_ray.pipelines.runtime.session import ray_session
from uss_ray.pipelines.runtime.stages import Pass, TableStream, cut_blocks, map_tables
from uss_ray.results.index.table import IndexRow, write_index
from uss_ray.sources.listing import open_listing
from uss_ray.sources.recordings import RECORDING_SCHEMA
from uss_ray.store.options import StoreOptions
from uss_ray.store.store import Store

_ROW_GROUP = 50_000
_RECORDINGS_IN_A_PART = 16


def write_manifest(path: Path, *, rows: int) -> None:
    """Write a manifest as an inventory of a bucket would make it, in row groups."""
    schema = pa.schema([("uri", pa.string()), ("id", pa.string()), ("bytes", pa.int64())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, _ROW_GROUP):
            names = [
                f"station/{n // 1000:06}/{n:09}.flac" for n in range(start, min(start + _ROW_GROUP, rows))
            ]
            columns = [[f"s3://archive/{name}" for name in names], names, [1_000_000] * len(names)]
            writer.write_table(pa.table(columns, schema=schema))


def null_units(table: pa.Table, *, packet_units: int) -> Iterator[pa.Table]:
    """Report each recording as separated, in packets as the workers do."""
    rows = table.select(["recording_id", "recording_uri"]).to_pylist()
    for start in range(0, len(rows), packet_units):
        outcomes = tuple(
            Outcome(status="separated", seconds=10.0, **row) for row in rows[start : start + packet_units]
        )
        yield PacketReport(outcomes=outcomes, worker="null").to_table()


def plan(manifest: Path) -> dict[str, float]:
    """Send all rows of a manifest through the pipeline."""
    chunking, counters = Chunking.of(None, actors=1), Counters()
    with ray_session():
        empty = np.zeros(0, np.int64)
        run = Pass(
            ledger=ray.put(Ledger(empty, empty)),
            state=start_run_state(),
            pool=WorkerPool(actors=1, threads=1, cpus_per_actor=1, gpus_per_actor=0),
        )
        what = WhatToDo(changed="keep", storage=StoreOptions(), may_repeat=True)
        readers = undone_readers(open_listing(Store(manifest)).readers, run=run, is_first=True, what=what)
        rows = run.read(readers, schema=RECORDING_SCHEMA, name="Recordings")
        rows = cut_blocks(rows, rows_at_a_time=chunking.decode_rows)
        reports = map_tables(
            rows,
            null_units,
            cpus=DECODE_CPUS,
            tells=run.state,
            rows_at_a_time=chunking.decode_rows,
            packet_units=chunking.packet_units,
        )
        began = time.monotonic()
        first = 0.0
        for table in TableStream(reports):
            first = first or time.monotonic()
            for record in table.to_pylist():
                report = PacketReport.from_record(record)
                counters.add(report.increment())
                for outcome in report.outcomes:
                    counters.add(outcome.increment())
        last = time.monotonic()
    return {"counted": counters.done, "began": began, "first": first, "last": last}


def compare_plans(rows: list[int]) -> None:
    """Plan manifests of several lengths, each in a process of its own."""
    print(
        "| rows | seconds | µs a row | CPU µs a row, all processes | driver's CPU µs a row "
        "| driver's peak MiB | without object store |"
    )
    print("|---|---|---|---|---|---|---|")
    for count in rows:
        with tempfile.TemporaryDirectory() as folder:
            manifest = Path(folder) / "manifest.parquet"
            write_manifest(manifest, rows=count)
            seen = watch([__file__, "--plan", str(manifest)])
        told = seen.result
        if told["counted"] != count:
            raise SystemExit(f"{count} rows went in, {told['counted']} came out")
        cpu = seen.cpu_seconds(told["began"], told["last"])
        took = told["last"] - told["began"]
        driver = seen.memory["driver"]
        print(
            f"| {count} | {took:.1f} | {1e6 * took / count:.0f} | {1e6 * sum(cpu.values()) / count:.0f} "
            f"| {1e6 * cpu['driver'] / count:.0f} | {driver.resident / MEBIBYTE:.0f} "
            f"| {driver.own / MEBIBYTE:.0f} |",
            flush=True,
        )


def resume(recordings: int, *, rows_each: int) -> None:
    """Write an index as an archive job does and read it as one that is started again."""
    row = IndexRow(
        run_id="benchmark",
        recording_id="",
        recording_uri="",
        node_id="/m/0bt9lr",
        label="Dog",
        level=3,
        kind="node",
        status="absent",
        probability=0.01,
        weights_name="starter",
        weights_sha256="0" * 64,
        settings=json.dumps({"query": "benchmark"} | {str(n): n for n in range(50)}),
    )
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index"
        for start in range(0, recordings, _RECORDINGS_IN_A_PART):
            names = [
                f"station/{n:09}.flac" for n in range(start, min(start + _RECORDINGS_IN_A_PART, recordings))
            ]
            rows = [replace(row, recording_id=name, recording_uri=name) for name in names]
            write_index([row for row in rows for _ in range(rows_each)], path=index / f"{start:016x}.parquet")
        before = resource.getrusage(resource.RUSAGE_SELF)
        began = time.monotonic()
        found = len(read_ledger(Store(folder)).separated)
        took = time.monotonic() - began
        after = resource.getrusage(resource.RUSAGE_SELF)
    if found != recordings:
        raise SystemExit(f"{recordings} recordings went in, {found} came out")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    parts = -(-recordings // _RECORDINGS_IN_A_PART)
    print(
        "| recordings done | index parts | rows each | seconds | µs a recording | CPU s | peak grew by MiB |"
    )
    print("|---|---|---|---|---|---|---|")
    print(
        f"| {recordings} | {parts} | {rows_each} | {took:.2f} | {1e6 * took / recordings:.1f} | {cpu:.2f} "
        f"| {(after.ru_maxrss - before.ru_maxrss) / 1024:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--resume", type=int, metavar="RECORDINGS", help="read an index of so many instead")
    parser.add_argument("--rows-each", type=int, default=319, help="of a recording, in the index")
    parser.add_argument("--plan", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.plan:
        print(json.dumps(plan(arguments.plan)))
    elif arguments.resume:
        resume(arguments.resume, rows_each=arguments.rows_each)
    else:
        compare_plans(arguments.rows)


if __name__ == "__main__":
    main()
