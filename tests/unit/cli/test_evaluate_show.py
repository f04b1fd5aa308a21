from __future__ import annotations

from pathlib import Path

from tests.unit.evaluation.test_compare import ROWS
from tests.unit.evaluation.test_result import result_of
from uss_ray.evaluation.run import CHUNK_ITEMS, chunk_name, rows_to_parquet


def make_run(folder: Path) -> Path:
    (folder / "items").mkdir(parents=True)
    items = list(dict.fromkeys(row.item_id for row in ROWS))
    for number, start in enumerate(range(0, len(items), CHUNK_ITEMS)):
        own = items[start : start + CHUNK_ITEMS]
        rows = [row for row in ROWS if row.item_id in own]
        (folder / chunk_name(number)).write_bytes(rows_to_parquet(rows))
    (folder / "result.json").write_text(result_of(ROWS).replace(scored=len(items)).to_json())
    return folder


def test_runs_are_compared_and_reported(command, tmp_path: Path) -> None:
    one, other = make_run(tmp_path / "one"), make_run(tmp_path / "other")
    ran = command("evaluate", "compare", one, other / "result.json")
    assert ran.exit_code == 0, ran.err
    assert "engine\tclass-mean\t40\t9.50" in ran.out
    assert "undecided" in ran.out
    ran = command("evaluate", "report", one, other)
    assert ran.exit_code == 0, ran.err
    assert (one / "report.html").read_text().count("<h2>") == 2
    assert "| engine | class-mean |" in (one / "report.md").read_text()


def test_a_run_that_lacks_rows_is_neither_compared_nor_shown(command, tmp_path: Path) -> None:
    one, other = make_run(tmp_path / "one"), make_run(tmp_path / "other")
    (other / chunk_name(0)).unlink()
    for ran in (command("evaluate", "compare", one, other), command("evaluate", "report", other)):
        assert ran.exit_code == 7
        assert f"{other}/items: expected " in ran.err
        assert "items that the result is of, found " in ran.err


def test_what_is_no_run_is_one_line(command, tmp_path: Path) -> None:
    ran = command("evaluate", "report", tmp_path)
    assert ran.exit_code == 7
    assert "result.json" in ran.err
