"""A job that has ended, and its results as the service keeps them: two recordings on one level."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.unit.results.conftest import RATE, blocks_of, write_stems
from uss_ray.errors import OutputError
from uss_ray.records import recording_key
from uss_ray.results.blocks import StemRequest
from uss_ray.results.index.table import RecordingFacts, RunFacts, failed_row, write_index
from uss_ray.results.layout import index_path
from uss_ray.service.job_results import result_id_of
from uss_ray.service.jobs import Counts, JobRequest, JobTable
from uss_ray.store.store import Store

NAMES = ("tapes, old/å #1.wav", "b.wav")
DOG, CAT = "/m/0bt9lr", "/m/01yrx"
STEMS = [StemRequest(key=DOG, label="Dog", level=3), StemRequest(key=CAT, label="Cat", level=3)]

Floats = NDArray[np.float32]


def sounds_of(seconds: int = 3) -> dict[str, Floats]:
    """What is in each of the recordings: a dog and a cat that are there all the time, and the recording itself."""
    noise = np.random.default_rng(5)
    shape = (2, seconds * RATE)
    sounds = {key: (noise.integers(-4000, 4000, shape) / 32768).astype(np.float32) for key in (DOG, CAT)}
    rest = (noise.integers(-500, 500, shape) / 32768).astype(np.float32)
    return sounds | {"mixture": sounds[DOG] + sounds[CAT] + rest}


def keep_job(store: Path, tenant: str, *, output: str | None = None, seconds: int = 3) -> str:
    """Put a job into the table of a store, with its results unless they lie elsewhere; its id is given."""
    table = JobTable(Store(str(store), error=OutputError))
    job_id = uuid.uuid4().hex
    root = table.results(tenant, job_id)
    row = table.add(
        JobRequest(
            job_id=job_id, tenant=tenant, created_at=time.time(), digest="", input="/data/archive",
            output=output or str(root), sounds={},
        )
    )  # fmt: skip
    table.begin(row, finished=0)
    counts = Counts(found=2, finished=2, audio_seconds=2.0 * seconds)
    table.end(row, "succeeded", counts=counts)
    if output is None:
        sounds = sounds_of(seconds)
        run = RunFacts(run_id="run", weights_name="starter", weights_sha256="0" * 64)
        for name in NAMES:
            facts = RecordingFacts(
                recording_id=name, recording_uri=f"/data/archive/{name}", sample_rate=RATE, channels=2,
                frames=seconds * RATE, format="WAV/PCM_16",
            )  # fmt: skip
            written = write_stems(
                blocks_of(sounds["mixture"], sounds, keys=[DOG, CAT]),
                stems=STEMS, root=root.local_path(), run=run, recording=facts, draw=False, subtype="PCM_16",
            )  # fmt: skip
            write_index(written.rows, path=root.local_path() / index_path(part_of(name)))
    return job_id


def fail_recordings(store: Path, tenant: str, job_id: str, reasons: Mapping[str, str]) -> None:
    """Add to the results of a job what its driver writes of recordings that cannot be separated."""
    root = JobTable(Store(str(store), error=OutputError)).results(tenant, job_id)
    write_failures(root, reasons)


def write_failures(root: Store, reasons: Mapping[str, str]) -> None:
    """Write the rows of recordings that cannot be separated below an output root."""
    run = RunFacts(run_id="run", weights_name="starter", weights_sha256="0" * 64)
    rows = [
        failed_row(
            RecordingFacts(recording_id=name, recording_uri=f"/data/archive/{name}"), run=run, reason=reason
        )
        for name, reason in reasons.items()
    ]
    write_index(rows, path=root.local_path() / index_path("failed-settled"))


def part_of(name: str) -> str:
    """Name the part of the index that has a recording."""
    return f"{recording_key(name):016x}"


def result_of(job_id: str, name: str = NAMES[0]) -> str:
    """Name the result of a recording."""
    return result_id_of(job_id, part_of(name), name)
