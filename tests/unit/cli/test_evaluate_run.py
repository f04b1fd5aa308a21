from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.unit.evaluation.test_result import result_of, row
from uss_ray.cli.evaluate_run import figure, show_result
from uss_ray.evaluation.averages import Average
from uss_ray.evaluation.compare import compare_runs
from uss_ray.evaluation.report import Run, report_html, report_markdown
from uss_ray.evaluation.rows import TAGS
from uss_ray.ontology.vocabulary import Vocabulary


@pytest.fixture
def esc50(tmp_path: Path) -> Path:
    data = tmp_path / "ESC-50-master"
    (data / "audio").mkdir(parents=True)
    (data / "meta").mkdir()
    rows = ["filename,fold,category"]
    for place, label in enumerate(("dog", "rain")):
        sound = 0.1 * np.sin(np.arange(64_000) * (0.1 + place))
        soundfile.write(data / "audio" / f"{label}.wav", sound, 32_000)
        rows.append(f"{label}.wav,5,{label}")
    (data / "meta" / "esc50.csv").write_text("\n".join(rows) + "\n")
    return data


def louder(mixture: np.ndarray, sample_rate: int, labels: list[str]) -> np.ndarray:
    return np.stack([mixture * 2 for _ in labels])


def test_a_run_is_shown_and_written(command, esc50: Path, tmp_path: Path, tiny_weights: Path) -> None:
    ran = command(
        "evaluate", "run", "esc50", "--data", esc50, "--weights", tiny_weights, "--query", "oracle",
        "--system", "engine", f"{__name__}:louder", "--limit", 2, "-o", tmp_path / "run",
    )  # fmt: skip
    assert ran.exit_code == 0, ran.err
    table = {line.split("\t")[0]: line.split("\t")[2] for line in ran.out.splitlines() if "\t" in line}
    assert (table["mixture"], table["half"]) == ("0.00 [0.00, 0.00]", "3.01 [3.01, 3.01]")
    assert table[f"{__name__}:louder"].startswith("-")
    written = json.loads((tmp_path / "run" / "result.json").read_text())
    assert written["scored"] == 2
    assert written["list_sha256"][:12] in ran.out


@pytest.mark.slow
def test_a_run_that_is_stopped_says_how_far_it_is_and_goes_on(
    command, esc50: Path, tmp_path: Path, tiny_weights: Path
) -> None:
    asked = ("evaluate", "run", "esc50", "--data", esc50, "--weights", tiny_weights, "-o", tmp_path / "run")
    stopped = command(*asked, "--system", f"{__name__}:stops")
    assert stopped.exit_code == 143
    assert stopped.err == "Stopped: 16 items are scored and kept; the same command goes on.\n"
    assert [place.name for place in (tmp_path / "run" / "items").iterdir()] == ["000000.parquet"]
    assert command(*asked, "--system", f"{__name__}:stops").exit_code == 0


def stops(mixture: np.ndarray, sample_rate: int, labels: list[str], asked: list[int] = []) -> np.ndarray:  # noqa: B006
    """Be asked to end in the second chunk, once."""
    asked.append(1)
    if len(asked) == 18:
        raise SystemExit(143)
    return mixture[None] * 0


def test_a_query_that_cannot_be_asked_is_one_line(
    command, esc50: Path, tmp_path: Path, tiny_weights: Path
) -> None:
    ran = command(
        "evaluate", "run", "esc50", "--data", esc50, "--weights", tiny_weights, "--query", "examples",
        "-o", tmp_path / "run",
    )  # fmt: skip
    assert ran.exit_code == 2
    assert ran.err == "error: examples query: expected a training list (--train-list), found none\n"
    assert not (tmp_path / "run").exists()


def test_a_figure_has_its_interval_where_there_is_one() -> None:
    assert figure(Average()) == "–"
    assert figure(Average(value=1.0)) == "1.00"
    assert figure(Average(value=1.0, low=0.5, high=1.5)) == "1.00 [0.50, 1.50]"


def test_terminal_page_and_comparison_tell_one_headline(capsys: pytest.CaptureFixture[str]) -> None:
    values = {"sdri": 1.0, "capi_sdri": 4.0}  # of scenes the mean, of classes the median
    for measure, expected in values.items():
        rows = [
            row(f"a/{number}", None, scores={measure: value}, undefined=())
            for number, value in enumerate((0.0, 0.0, 1.0, 7.0, 12.0))
        ]
        result = result_of(rows).replace(main_score=measure)
        [compared] = compare_runs((result, result), (rows, rows), measure=measure)
        assert compared.one.value == expected
        headline = figure(compared.one)
        show_result(result)
        [line] = (line for line in capsys.readouterr().out.splitlines() if line.startswith("engine"))
        assert line.split("\t")[2] == headline
        assert f" {headline} |" in report_markdown([Run(result, rows)], vocabulary=Vocabulary.load())


def test_what_a_figure_leaves_out_is_told_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    # The classifier tells dog from no dog without a fault, which has no d′; of rain it has one.
    rows = [
        row(
            f"tags/{number}", None, system="bare", query=TAGS, undefined=(), sources=1, true=true,
            probs={"dog": 0.9 if "dog" in true else 0.1, "rain": rain},
        )
        for number, (true, rain) in enumerate(
            [(("dog",), 0.2), (("rain",), 0.3), (("dog", "rain"), 0.8), ((), 0.4)]
        )
    ]  # fmt: skip
    pairs = [
        row("a/0", 5.0),
        row("a/1", None, undefined=("sdri", "pesq")),
        row("a/2", 5.0, undefined=("pesq",)),
    ]
    for told, main, expected in (
        (rows, "map", ["1 undefined", "1 undefined"]),
        (pairs, "sdri", ["2 undefined"]),
    ):
        result = result_of(told).replace(main_score=main)
        show_result(result)
        printed = capsys.readouterr().out
        text = report_markdown([Run(result, told)], vocabulary=Vocabulary.load())
        page = report_html([Run(result, told)], vocabulary=Vocabulary.load())
        assert [re.findall(r"\d undefined", made) for made in (text, page)] == [expected[:1]] * 2
        assert re.findall(r"\d undefined", printed) == (expected if main == "map" else [])
