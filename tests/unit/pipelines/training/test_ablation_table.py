from __future__ import annotations

import json

import numpy as np
import pytest

from uss_ray.pipelines.training.ablation_table import (
    RunOutcome,
    mean_and_interval,
    summarise,
    to_json,
    to_markdown,
)


def run(arm: str, seed: int, sdri_db: float | None, **measured_on: object) -> RunOutcome:
    return RunOutcome(
        arm=arm,
        seed=seed,
        state="failed" if sdri_db is None else "finished",
        step=10,
        sdri_db=sdri_db,
        error="a loss that is not finite" if sdri_db is None else None,
        measured_on=measured_on,
    )


@pytest.mark.parametrize("count", [2, 3, 5, 16, 17, 20, 100])
def test_the_interval_is_that_of_students_t(count: int) -> None:
    from scipy import stats

    values = np.random.default_rng(count).normal(5.0, 0.3, count)
    mean, half_width = mean_and_interval(values.tolist())
    low, high = stats.t.interval(0.95, count - 1, loc=values.mean(), scale=stats.sem(values))
    assert mean == pytest.approx(values.mean())
    assert half_width == pytest.approx((high - low) / 2, rel=1e-3)


def test_differences_are_taken_within_a_seed() -> None:
    runs = [run("base", 0, 4.0), run("base", 1, 6.0), run("a", 0, 4.5), run("a", 1, 6.5), run("b", 0, None)]
    base, one, other = summarise(runs, ["base", "a", "b"])
    assert (base.sdri_db, base.difference_db) == (5.0, None)
    assert (one.difference_db, one.difference_half_width_db) == (0.5, 0.0)
    assert (other.finished, other.failed, other.sdri_db) == (0, 1, None)
    table = to_markdown([base, one, other], runs)
    assert "| a | 2 | 5.50 ± 12.71 | +0.50 ± 0.00 |" in table
    assert table.endswith("- b, seed 0, step 10: a loss that is not finite\n")
    assert json.loads(to_json([base], runs))["arms"][0]["half_width_db"] == pytest.approx(12.706)


def test_scores_on_another_list_or_of_other_lengths_are_not_compared_and_it_is_said() -> None:
    on = {"query": "class-mean", "list_sha256": "a", "segment_seconds": 2.0, "sample_rate": 32000}
    runs = [
        run("base", 0, 4.0, **on),
        run("same", 0, 4.5, **on),
        run("list", 0, 9.0, **on | {"list_sha256": "b"}),
        run("long", 0, 9.0, **on | {"segment_seconds": 4.0, "list_sha256": "c"}),
        run("lone", 1, 9.0, **on | {"query": "oracle"}),
    ]
    summaries = summarise(runs, ["base", "same", "list", "long", "lone"])
    assert [one.difference_db for one in summaries] == [None, 0.5, None, None, None]
    assert [one.sdri_db for one in summaries] == [4.0, 4.5, 9.0, 9.0, 9.0]
    table = to_markdown(summaries, runs)
    assert table.endswith(
        "\n\nNot compared:\n\n"
        "- list: scored on another list than the base, so its SDRi says nothing against that\n"
        "- long: scored on another list, length of segments than the base, so its SDRi says nothing against that\n"
    )
    assert json.loads(to_json(summaries, runs))["arms"][3]["measured_otherwise"] == [
        "list_sha256",
        "segment_seconds",
    ]
