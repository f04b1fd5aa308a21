from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

TWO_SOURCE = Path(__file__).parents[2] / "data" / "two_source"


def make_data(root: Path) -> Path:
    (root / "metadata").mkdir(parents=True)
    (root / "audio" / "eval").mkdir(parents=True)
    clip = 0.01 * np.random.default_rng(0).standard_normal(320_000)
    clip[96_000:192_000] += 0.3 * np.sin(np.arange(96_000) * 0.3)
    soundfile.write(root / "audio" / "eval" / "clip0.wav", clip, 32_000)
    (root / "metadata" / "eval_segments.csv").write_text('clip0, 0.000, 10.000, "/m/0bt9lr"\n')
    (root / "metadata" / "strong_labels.tsv").write_text(
        "segment_id\tsplit\tonset\toffset\tmid\trole\nclip0\teval\t3.0\t6.0\t/m/0bt9lr\ttarget\n"
    )
    return root


def test_the_figures_of_mining_are_shown_and_written(command, tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    ran = command("evaluate", "mining", make_data(tmp_path / "data"), "--min-probability", 0, "-o", result)
    assert ran.exit_code == 0, ran.err
    assert "Dog" in ran.out
    assert "All labels: mean over 1 anchors" in ran.out
    written = json.loads(result.read_text())
    assert written["everything"]["places"] == written["kept"]["places"] == 1
    assert written["everything"]["best"] == 1.0
    assert written["settings"]["min_probability"] == 0


def test_weights_that_cannot_tell_when_are_one_line(command, tmp_path: Path, tiny_weights: Path) -> None:
    ran = command("evaluate", "mining", make_data(tmp_path / "data"), "--weights", tiny_weights)
    assert ran.exit_code == 5
    assert ran.err.count("\n") == 1
    assert "expected a detector, found none" in ran.err


def test_a_setting_out_of_range_is_one_line(command, tmp_path: Path) -> None:
    ran = command("evaluate", "mining", make_data(tmp_path / "data"), "--purity", 3)
    assert ran.exit_code == 2
    assert "--purity: expected at most 1, found 3" in ran.err


@pytest.mark.slow
def test_the_list_is_drawn_and_scored_with_the_gate_open_and_as_it_is_set(command, tmp_path: Path) -> None:
    drawn, run = tmp_path / "list.csv", tmp_path / "run"
    ran = command("evaluate", "list", TWO_SOURCE, "-o", drawn)
    assert ran.exit_code == 0, ran.err
    lines = drawn.read_text().splitlines()
    assert f"{len(lines) - 1} pairs" in ran.out
    drawn.write_text("\n".join(lines[:3]) + "\n")
    ran = command(
        "evaluate", "run", "mini", "--data", TWO_SOURCE, "--list", drawn, "--system", "engine", "gated",
        "--threshold", 0.99, "-o", run,
    )  # fmt: skip
    assert ran.exit_code == 0, ran.err
    rows = {tuple(line.split("\t")[:2]): line.split("\t") for line in ran.out.splitlines() if "\t" in line}
    assert rows["gated", "class-mean"][2].startswith("0.00")
    assert rows["gated", "class-mean"][-1] == rows["engine", "class-mean"][-1] == "0%"
    written = json.loads((run / "result.json").read_text())
    assert (written["scored"], written["settings"]["threshold"]) == (2, 0.99)


def test_an_unknown_query_is_one_line(command, tmp_path: Path) -> None:
    ran = command("evaluate", "run", "mini", "--data", TWO_SOURCE, "--query", "best", "-o", tmp_path / "run")
    assert ran.exit_code == 2
    assert "--query" in ran.err
