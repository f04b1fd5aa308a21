from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.evaluation.conftest import DOG, PIANO, RAIN
from uss_ray.errors import ConfigError
from uss_ray.evaluation.compare import compare_runs
from uss_ray.evaluation.heard import choose_heard
from uss_ray.evaluation.report import Run, report_markdown
from uss_ray.evaluation.request import EvaluationRequest
from uss_ray.evaluation.result import EvaluationResult, make_result
from uss_ray.evaluation.rows import ScoreRow, rows_from_parquet, rows_to_parquet
from uss_ray.evaluation.run import Evaluator, open_list
from uss_ray.evaluation.tagging import _spans
from uss_ray.ontology.vocabulary import Vocabulary


def tagged(data: Path, weights: Path, **told: object) -> tuple[EvaluationResult, list[ScoreRow]]:
    request = EvaluationRequest(
        benchmark="tagging", data=str(data), weights=str(weights), output=str(data / "run"),
        **({"systems": ("engine", "bare")} | told),
    )  # fmt: skip
    scored = open_list(request)
    evaluator = Evaluator(request=request, scored=scored)
    rows = evaluator.rows(scored.chunk(0))
    card = evaluator.benchmark.card
    return make_result(rows, request=request, scored=scored, card=card, weights=("tiny", "abc")), rows


@pytest.mark.slow
def test_clips_are_tagged_by_the_engine_the_bare_network_and_by_chance(two_sources, two_means) -> None:
    result, rows = tagged(two_sources, two_means)
    assert [(one.system, one.query, one.targets) for one in result.systems] == [
        ("constant", "tags", 6), ("engine", "tags", 6), ("bare", "tags", 6),
    ]  # fmt: skip
    chance, engine, bare = result.systems
    # two of six clips are of each class; a piano is what these weights do not know
    assert chance.measures["map"].mean.value == pytest.approx(1 / 3)
    assert chance.measures["d_prime"].mean.value == pytest.approx(0.0)
    assert [one.measures["map"].undefined for one in result.systems] == [1, 1, 1]
    assert {one.label: one.targets for one in engine.classes} == {DOG: 2, RAIN: 2}
    # rain is heard everywhere and nothing else: two of six are right, and two of four are found
    for one in (engine, bare):
        assert one.labels is not None
        assert (one.labels.precision, one.labels.recall) == pytest.approx((1 / 3, 1 / 2))
        # 2 clips × 4 s of rain are true, of 6 × 10 s that are found and 8 + 8 s of what is known
        assert one.labels.frame_f1 == pytest.approx(2 * 8 / (60 + 16), abs=1e-6)
        assert one.labels.event_f1 == 0.0
    [clip] = (row for row in rows if (row.item_id, row.system) == ("clip2", "engine"))
    assert (clip.true, clip.found, set(clip.probs)) == ((PIANO,), (RAIN,), {DOG, RAIN})
    assert rows_from_parquet(rows_to_parquet(rows), item="a") == rows
    same = compare_runs((result, result), (rows, rows), measure="map")
    assert [(one.system, one.difference.value, one.verdict) for one in same] == [
        ("constant", 0.0, "undecided"), ("engine", 0.0, "undecided"), ("bare", 0.0, "undecided"),
    ]  # fmt: skip
    told = report_markdown([Run(result, rows)], vocabulary=Vocabulary.load())
    assert "| System | Query | mAP | d′ | Undefined | Detected |" in told
    assert "| engine, tags | 0.33 | 0.50 | 0.40 |" in told
    assert choose_heard(rows) == ()
    with pytest.raises(ConfigError, match="expected engine or bare, found published"):
        tagged(two_sources, two_means, systems=("published",))


def test_times_lie_between_frames_and_end_with_the_clip() -> None:
    heard = np.array([1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1], np.bool_)
    assert _spans(heard, 10.0) == [(0.0, 1.5), (3.5, 4.5), (9.5, 10.0)]
    assert _spans(np.zeros(3, np.bool_), 1.0) == []
