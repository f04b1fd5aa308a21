"""`uss-ray report`: the page of an output."""

from __future__ import annotations

from pathlib import Path

from uss_ray.cli.main import run
from uss_ray.results.index.table import IndexRow, write_index
from uss_ray.results.layout import index_path


def test_the_page_is_written_where_it_says(tmp_path: Path, capsys):
    row = IndexRow(
        run_id="run", recording_id="a.wav", recording_uri="a.wav", node_id="/m/0bt9lr", label="Dog", level=1,
        kind="node", status="detected", weights_name="starter", weights_sha256="cd" * 32,
    )  # fmt: skip
    write_index([row], path=tmp_path / index_path("a"))
    assert run(["report", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"Page: {tmp_path}/index.html\n"
    assert "Dog" in (tmp_path / "index.html").read_text()


def test_an_output_without_an_index_is_one_line(tmp_path: Path, capsys):
    assert run(["report", str(tmp_path)]) != 0
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}: expected an index")
