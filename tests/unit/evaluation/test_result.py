from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from uss_ray.errors import DataError
from uss_ray.evaluation.benchmarks.fsdkaggle2018 import FsdKaggle2018
from uss_ray.evaluation.items import EvaluationList
from uss_ray.evaluation.request import EvaluationRequest
from uss_ray.evaluation.result import EvaluationResult, environment, make_result, read_result
from uss_ray.evaluation.rows import ScoreRow
from uss_ray.evaluation.run import Scored


def row(
    item: str, value: float | None, *, system: str = "engine", query: str = "class-mean", **told: object
) -> ScoreRow:
    values = {
        "item_id": item,
        "label": item.partition("/")[0],
        "system": system,
        "query": query,
        "seconds": 2.0,
    }
    scores = {} if value is None else {"sdri": value}
    undefined = () if value is not None or "reason" in told else ("sdri",)
    return ScoreRow(**(values | {"scores": scores, "undefined": undefined} | told))  # type: ignore[arg-type]


def result_of(rows: list[ScoreRow], *, protocol: str = "published") -> EvaluationResult:
    listed = EvaluationList(
        benchmark="fsdkaggle2018", split="test", protocol=protocol, seed=0, items=(), missing=2
    )  # type: ignore[arg-type]
    return make_result(
        rows,
        request=EvaluationRequest(benchmark="fsdkaggle2018", data="d", output="o"),
        scored=Scored(listed=listed, items=(), missing=2),
        card=FsdKaggle2018.card,
        weights=("tiny", "abc"),
        made=environment(),
    )


def test_medians_means_and_what_is_not_defined_are_told_apart() -> None:
    rows = [row("a/0", 1.0), row("a/1", 3.0), row("a/2", 11.0), row("b/0", 5.0), row("b/1", None)]
    result = result_of(rows)
    found = result.find("engine", "class-mean")
    assert found is not None
    measure = found.measures["sdri"]
    assert measure.class_median_mean.value == 4.0
    assert measure.mean.value == 5.0
    assert measure.undefined == 1
    assert [(one.label, one.targets, one.medians) for one in found.classes] == [
        ("a", 3, {"sdri": 3.0}),
        ("b", 2, {"sdri": 5.0}),
    ]
    assert (result.published, result.published_score, result.missing) == (10.57, "sdri", 2)
    assert result_of(rows, protocol="strict").published is None


@pytest.mark.parametrize(("random", "is_blind"), [(0.2, False), (4.8, True)])
def test_a_separator_that_does_not_hear_its_condition_is_seen(random: float, is_blind: bool) -> None:
    leaks = replace(row("a/0", random, query="random-class"), scores={"sdri": random, "level": -7.0})
    # what the first query was not scored on says nothing of the difference
    result = result_of([row("a/0", 5.0), leaks, row("b/0", 40.0, query="random-class")])
    assert result.condition is not None
    assert result.condition.absent_level_db == -7.0
    assert result.condition.difference_db == pytest.approx(5.0 - random)
    assert result.condition.is_blind is is_blind


def test_items_that_were_not_mixed_are_broken_and_targets_that_were_not_asked_for_failed() -> None:
    result = result_of(
        [row("a/0", None, reason="cut off", seconds=0.0), row("a/1", None, reason="silent"), row("a/2", 1.0)]
    )
    assert result.broken == 1
    assert result.reasons == {"cut off": 1, "silent": 1}
    found = result.find("engine", "class-mean")
    assert found is not None
    assert found.failed == 2


def test_a_result_is_read_back_and_what_is_none_is_refused(tmp_path: Path) -> None:
    result = result_of([row("a/0", 5.0)])
    path = tmp_path / "result.json"
    path.write_text(result.to_json())
    assert read_result(tmp_path) == read_result(path) == result
    path.write_text(json.dumps({**json.loads(result.to_json()), "sdr": 1}))
    with pytest.raises(DataError, match="sdr"):
        read_result(path)


def test_what_was_found_in_scenes_is_summed_up() -> None:
    def scene(number: int, true: tuple[str, ...], found: tuple[str, ...], **probs: float) -> ScoreRow:
        told = {"query": "events", "label": "events", "true": true, "found": found, "probs": probs}
        return replace(row(f"events/{number}", None), scores={"ca_sdri": 1.0}, undefined=(), **told)  # type: ignore[arg-type]

    result = result_of([
        replace(scene(0, ("a", "b"), ("a", "c"), a=0.9, b=0.1, c=0.8), counts={"events_right": 1, "events_found": 3}),
        replace(scene(1, ("c",), ("c",), a=0.2, b=0.3, c=0.7), counts={"events_true": 1, "events_right": 0}),
    ])  # fmt: skip
    found = result.find("engine", "events")
    assert found is not None
    assert found.labels is not None
    assert found.measures["ca_sdri"].mean.value == 1.0
    assert (found.labels.mixture_accuracy, found.labels.source_accuracy) == (0.5, 0.5)
    assert found.labels.f1 == pytest.approx(4 / 6)
    assert (found.labels.precision, found.labels.recall) == pytest.approx((2 / 3, 2 / 3))
    assert (found.labels.event_f1, found.labels.frame_f1) == (2 * 1 / 4, None)
    # a is ranked first of two, b and c second
    assert found.labels.mean_average_precision == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert found.labels.d_prime is None
    assert found.labels.undefined == {"d_prime": 3}
