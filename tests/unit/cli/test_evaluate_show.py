from __future__ import annotations

from pathlib import Path

from tests.unit.evaluation.test_compare import ROWS
from tests.unit.evaluation.test_result import result_of
from uss_ray.evaluation.rows import CHUNK_ITEMS, chunk_name, rows_to_parquet


def make_run(folder: Path, **changes: object) -> Path:
    (folder / "items").mkdir(parents=True)
    items = list(dict.fromkeys(row.item_id for row in ROWS))
    for number, start in enumerate(range(0, len(items), CHUNK_ITEMS)):
        own = items[start : start + CHUNK_ITEMS]
        rows = [row for row in ROWS if row.item_id in own]
        (folder / chunk_name(number)).write_bytes(rows_to_parquet(rows))
    result = result_of(ROWS).replace(scored=len(items), **changes)
    (folder / "result.json").write_text(result.to_json())
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


def test_runs_of_the_same_weights_are_told_apart_by_their_settings(command, tmp_path: Path) -> None:
    one = make_run(tmp_path / "one")
    other = make_run(
        tmp_path / "other",
        settings={"threshold": 0.5, "silence": {"untagged_below_rms_dbfs": -60.0}},
        networks={"in_bands": True},
    )
    said = "threshold 0.5, untagged_below_rms_dbfs -60.0, in_bands true"
    ran = command("evaluate", "compare", one, other)
    assert ran.exit_code == 0, ran.err
    assert f"tiny abc against tiny abc ({said})" in " ".join((ran.out + ran.err).split())
    assert command("evaluate", "report", one, other).exit_code == 0
    for name in ("report.html", "report.md"):
        page = " ".join((one / name).read_text().split())
        assert page.count(f"weights abc; with {said}") == 1


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
