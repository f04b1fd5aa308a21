"""Jobs of numbered pieces, without Ray; the tests of packing and of evaluation run two of them on it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from uss_ray.errors import DataError, OutputError
from uss_ray.pipelines.runtime import pieces
from uss_ray.pipelines.runtime.pieces import PIECE_SCHEMA, MissingPieces, PieceJob, PieceWorker
from uss_ray.pipelines.runtime.retry import STOPPED_REASON


class Worker(PieceWorker):
    def make(self, number: int) -> tuple[int, int]:
        if number == 3:
            raise OutputError("out", expected="room", found="a full disk")
        return number, 10 * number


@pytest.fixture
def job_of_pieces(monkeypatch):
    monkeypatch.setattr(PieceJob, "__abstractmethods__", frozenset())
    monkeypatch.setattr(PieceJob, "source", "in")
    monkeypatch.setattr(PieceJob, "stages", ("list", "make"), raising=False)
    return PieceJob()


@pytest.mark.parametrize("is_stopping", [False, True])
def test_each_piece_has_a_report_and_a_fault_is_one(monkeypatch, job_of_pieces, is_stopping):
    monkeypatch.setattr(pieces, "is_stopping", lambda state: is_stopping)
    told = []
    state = SimpleNamespace(add_found=SimpleNamespace(remote=told.append))
    monkeypatch.setattr(pieces.ray, "get", lambda reference: reference)
    run = SimpleNamespace(ledger=("plan", [2, 3]), state=state)
    (numbers,) = MissingPieces(run, lambda ledger: ledger[1])()
    assert (numbers.schema, told) == (PIECE_SCHEMA, [2])

    records = [record for table in Worker(state)(numbers) for record in table.to_pylist()]
    one, other = (increment for record in records for increment in job_of_pieces.read(record))
    if is_stopping:
        assert {one.unfinished_reason, other.unfinished_reason} == {STOPPED_REASON}
        assert (one.done, other.done, one.got_done) == (0, 0, False)
    else:
        assert (one.done, one.unfinished, one.got_done) == (1, 0, True)
        assert one.amounts == {"items": 2, "bytes": 20}
        assert set(one.stage_seconds) == {"make"}
        assert (other.done, other.unfinished, other.got_done) == (0, 1, False)
        assert other.unfinished_reason == "out: expected room, found a full disk"


def test_a_result_without_one_of_its_pieces_is_none(job_of_pieces):
    assert job_of_pieces.is_one_by_one(None)
    with pytest.raises(DataError, match="in: expected a result that can be made whole"):
        job_of_pieces.quarantine(None)
