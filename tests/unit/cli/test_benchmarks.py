from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from uss_ray.evaluation.items import read_list

TWO_SOURCE = Path(__file__).parents[2] / "data" / "two_source"


@pytest.fixture
def esc50(tmp_path: Path) -> Path:
    data = tmp_path / "ESC-50-master"
    (data / "audio").mkdir(parents=True)
    (data / "meta").mkdir()
    rows = ["filename,fold,category"]
    for place, label in enumerate(("dog", "rain")):
        soundfile.write(
            data / "audio" / f"{label}.wav", 0.1 * np.sin(np.arange(4000) * (0.1 + place)), 44_100
        )
        rows.append(f"{label}.wav,5,{label}")
    (data / "meta" / "esc50.csv").write_text("\n".join(rows) + "\n")
    return data


def test_a_list_is_drawn_and_named_by_its_hash(command, esc50: Path, tmp_path: Path) -> None:
    ran = command("evaluate", "list", "esc50", "--data", esc50, "-o", tmp_path / "list.parquet")
    assert ran.exit_code == 0, ran.err
    listed = read_list(tmp_path / "list.parquet")
    assert f"20 items of ESC-50, strict, test\n{tmp_path}/list.parquet, sha256 {listed.sha256}" in ran.out


def test_a_check_tells_what_is_there_in_per_cent(command, esc50: Path, tmp_path: Path) -> None:
    ran = command("evaluate", "check", "esc50", "--data", esc50)
    assert (ran.exit_code, "2 of 2 files are there: 100.0%" in ran.out) == (0, True), ran.err
    (esc50 / "audio" / "dog.wav").unlink()
    ran = command("evaluate", "check", "esc50", "--data", esc50)
    assert ran.exit_code == 8
    assert "missing: audio/dog.wav" in ran.out
    assert "1 of 2 files are there: 50.0%" in ran.out
    ran = command("evaluate", "list", "esc50", "--data", esc50, "-o", tmp_path / "list.parquet")
    assert ran.exit_code == 7
    assert "found 50.0% of 2" in ran.err


def test_a_check_of_another_layout_says_the_right_one(command, tmp_path: Path) -> None:
    ran = command("evaluate", "check", "esc50", "--data", tmp_path)
    assert ran.exit_code == 7
    assert "Layout: " in ran.out
    ran = command("evaluate", "check", "esc50", "--data", tmp_path, "--json")
    assert (ran.exit_code, ran.out) == (7, "")


def test_a_benchmark_without_data_is_one_line(command, tmp_path: Path) -> None:
    ran = command("evaluate", "list", "esc50", "-o", tmp_path / "list.parquet")
    assert ran.exit_code == 2
    assert "--data: expected where the data of the benchmark are" in ran.err


@pytest.mark.slow
def test_a_list_of_some_classes_is_drawn(command, tmp_path: Path) -> None:
    held, drawn = tmp_path / "held.txt", tmp_path / "list.parquet"
    every = read_pairs_labels(command, tmp_path / "all.parquet")
    held.write_text(f"{sorted(every)[0]}\n")
    words = ("evaluate", "list", "mini", "--data", TWO_SOURCE, "--classes", held)
    ran = command(*words, "-o", drawn)
    assert ran.exit_code == 0, ran.err
    assert {item.label for item in read_list(drawn).items} == {sorted(every)[0]} < every
    ran = command(*words, "-o", tmp_path / "list.csv")
    assert ran.exit_code == 2
    assert "--classes: expected a Parquet file to write" in ran.err


@pytest.mark.parametrize(
    "flags",
    [("--split", "train"), ("--protocol", "published"), ("--allow-missing",)],
    ids=lambda flags: flags[0],
)
def test_what_a_list_of_pairs_cannot_be_is_refused(command, tmp_path: Path, flags: tuple[str, ...]) -> None:
    drawn = tmp_path / "list.csv"
    ran = command("evaluate", "list", "mini", "--data", TWO_SOURCE, *flags, "-o", drawn)
    assert ran.exit_code == 2
    assert f"{flags[0]}: expected a Parquet file to write" in ran.err
    assert not drawn.exists()


def read_pairs_labels(command, output: Path) -> set[str]:
    assert command("evaluate", "list", "mini", "--data", TWO_SOURCE, "-o", output).exit_code == 0
    return {item.label for item in read_list(output).items}
