from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile


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
    ran = command("evaluate", "mining", make_data(tmp_path / "data"), "--min-purity", 3)
    assert ran.exit_code == 2
    assert "--min-purity: expected at most 1, found 3" in ran.err
