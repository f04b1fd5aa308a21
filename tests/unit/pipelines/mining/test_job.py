"""What the job decides without Ray; that it works is shown in `tests/ray` and `tests/faults`."""

from __future__ import annotations

from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.pipelines.mining.made import CLIPS, mined
from tests.unit.pipelines.tables import Tables, take_tables
from uss_ray.errors import DataError
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.pipelines.mining import job as job_module
from uss_ray.pipelines.mining.clips import CLIP_SCHEMA, NO_ROW
from uss_ray.pipelines.mining.job import MiningJob
from uss_ray.pipelines.mining.listing import ClipListing
from uss_ray.pipelines.mining.outcome import MiningReport
from uss_ray.pipelines.mining.request import MiningRequest
from uss_ray.pipelines.runtime.counters import Counters
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.pipelines.runtime.pool import WorkerPool
from uss_ray.pipelines.runtime.stages import Pass

POOL = WorkerPool(actors=2, threads=1, cpus_per_actor=1.0, gpus_per_actor=0.0)
WEIGHTS = SimpleNamespace(name="w", sha256="0", specifications=SimpleNamespace(sample_rate=32_000))


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.load()


@pytest.fixture
def make_job(tmp_path, table, vocabulary):
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "a.wav").touch()

    def make(*, clips: int = CLIPS, audio: str = "audio", **options) -> MiningJob:
        request = MiningRequest(
            segments=("a.csv",), audio=str(tmp_path / audio), output=str(tmp_path / "out"), weights="w"
        )
        made = MiningJob(
            request=request,
            options=JobOptions(**options),
            vocabulary=vocabulary,
            weights=WEIGHTS,  # type: ignore[arg-type]
            make_miner=None,  # type: ignore[arg-type]
        )
        made._listing = ClipListing(readers=(), table=table, clips=clips, options=made.options)
        return made

    return make


def run_of(**changes) -> Pass:
    return Pass(ledger=None, state=None, pool=POOL, **changes)


def test_audio_that_is_not_there_is_named_before_any_work(make_job) -> None:
    with pytest.raises(DataError, match="nowhere"):
        make_job(audio="nowhere")


def test_missing_clips_are_retried_one_by_one_but_very_many_in_batches(make_job) -> None:
    job = make_job(clips=1_000_000)
    assert not job.is_one_by_one(run_of())
    assert job.is_one_by_one(run_of(is_isolated=True, missing=1000))
    assert not job.is_one_by_one(run_of(is_isolated=True, missing=1001))


def test_broken_containers_are_kept_once_each(make_job) -> None:
    job = make_job()
    report = asdict(MiningReport(mined=3, anchors=5, containers=("a.tar: cut off", "b.tar: no")))
    increments = [increment for _ in range(3) for increment in job.read(report)]
    assert [(each.done, each.amounts["anchors"]) for each in increments] == [(3, 5)] * 3
    assert list(job._containers) == ["a.tar: cut off", "b.tar: no"]


def test_what_is_done_counts_where_the_run_is_about_it(make_job) -> None:
    job = make_job(limit=2)
    mined(job.output, [1, 4])
    ledger, known = job.ledger_reader()()
    assert (ledger.known, known.earlier.skipped, known.earlier.failed_before) == (2, 1, 0)
    assert known.most_actors == 2  # what is mined may have changed
    job.request = job.request.replace(changed="keep")
    assert job.ledger_reader()()[1].most_actors == 1
    job.owned.remove(job.output)
    assert job.ledger_reader()()[1].earlier.skipped == 0


@pytest.mark.parametrize(
    ("listed", "rejected"), [([0, 3], [0, 3]), ([3], [3]), ([0, NO_ROW, 3], [0, 3]), ([0, 3, 4], [])]
)
def test_what_came_after_the_last_pass_is_not_called_poison(
    make_job, monkeypatch: pytest.MonkeyPatch, listed: list[int], rejected: list[int]
) -> None:
    """Nobody can tell then which of them have killed a worker, and which were never tried."""
    take_tables(monkeypatch)
    monkeypatch.setattr(job_module, "run_on_worker", lambda action, tells: action())
    rows = [{"row": row, "clip_id": f"clip{row}", "location": "a.tar"} for row in listed]
    tables = [pa.Table.from_pylist([row], schema=CLIP_SCHEMA) for row in rows]
    monkeypatch.setattr(ClipListing, "undone", lambda _listing, _run: Tables(tables))
    job, counters = make_job(), Counters()
    for increment in job.quarantine(run_of(missing=2)):
        counters.add(increment)
    ledger, _ = job.ledger_reader()()
    assert np.flatnonzero(ledger.failed).tolist() == rejected
    assert (counters.failed, counters.unfinished) == (len(rejected), 0 if rejected else 2)
    assert counters.exit_code() != 0


@pytest.mark.parametrize(("is_complete", "missing"), [(True, CLIPS - 2), (False, 0)])
def test_clips_without_audio_are_rejects_once_all_is_done(
    make_job, monkeypatch: pytest.MonkeyPatch, is_complete: bool, missing: int
) -> None:
    monkeypatch.setattr(job_module, "run_on_worker", lambda action, *arguments, tells: action(*arguments))
    monkeypatch.setattr(job_module, "is_ending", lambda _state: False)
    job = make_job()
    job.request = job.request.replace(report=False)
    mined(job.output, [0, 1])
    increments = list(job.finalise(is_complete=is_complete))
    assert [each.failed for each in increments] == ([missing] if missing else [])
    assert job._totals is not None
    assert (job._totals.anchors, job._totals.rejects.get("missing", 0)) == (2, missing)
    assert job.report is None
