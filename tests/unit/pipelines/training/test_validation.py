from __future__ import annotations

import re
from pathlib import Path

import pytest
import soundfile

from tests.synthetic_set import RATE, SyntheticSet, training_of
from uss_ray.errors import ConfigError, DataError
from uss_ray.evaluation.pairs import read_pairs, write_pairs
from uss_ray.pipelines.training.local import train_here
from uss_ray.pipelines.training.progress import look_at
from uss_ray.pipelines.training.request import SeparatorTraining, ValidationSettings, read_request
from uss_ray.pipelines.training.run_folder import best_validated, is_scored, read_lines
from uss_ray.pipelines.training.worker import export
from uss_ray.store.store import Store
from uss_ray.weights.folder import read_folder


def validated(
    synthetic_set: SyntheticSet, output: Path, settings: ValidationSettings, **recipe: object
) -> SeparatorTraining:
    return training_of(synthetic_set, output, **recipe).replace(validation=settings)


@pytest.mark.slow
def test_a_run_is_scored_by_the_engine_and_its_best_state_is_kept(
    synthetic_set: SyntheticSet,
    held_out: ValidationSettings,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    plain = training_of(synthetic_set, tmp_path / "plain")
    run = validated(synthetic_set, tmp_path / "run", held_out, fit={"keep_checkpoints": 1}).replace(
        tensorboard=True
    )
    train_here(run)
    train_here(plain)
    assert not [record for record in caplog.records if "were trained on" in record.message]
    seen = look_at(Store(tmp_path / "run"))
    assert [line["step"] for line in seen.validations] == [3, 6]
    best = max(seen.validations, key=lambda line: line["sdri_db"])
    assert set(best["classes"]) == {"/t/0", "/t/1", "/t/2", "/t/3"}
    assert best["sdri_db"] == pytest.approx(sum(best["classes"].values()) / 4)
    assert seen.best == best["step"] == best_validated(Store(tmp_path / "run"))
    kept = {place.name for place in (tmp_path / "run" / "checkpoints").iterdir()}
    assert kept >= {f"step-{seen.best:09d}", "step-000000006"}
    weights = read_folder(export(run, tmp_path / "weights", best=True))
    assert weights.source is not None
    assert weights.source["step"] == seen.best
    assert weights.source["validation"]["sdri_db"] == best["sdri_db"]
    assert f"sdri_db {best['sdri_db']:.4g}" in (tmp_path / "weights" / "MODEL_CARD.md").read_text()
    # a run learns the same whether it is scored or not
    losses = [
        [line["loss"] for line in read_lines(Store(tmp_path / name / "metrics.jsonl"))]
        for name in ("run", "plain")
    ]
    assert losses[0] == losses[1]
    heard = sorted((tmp_path / "run" / "validations" / "step-000000006").iterdir())
    assert [place.name for place in heard] == [
        f"{name}-{kind}.flac"
        for name in ("0-Low_hum", "1-Hiss")
        for kind in ("estimate", "mixture", "target")
    ]
    assert soundfile.info(heard[0]).samplerate == RATE
    assert (tmp_path / "run" / "curve.svg").read_text().count("<polyline") == 2
    assert (tmp_path / "plain" / "curve.svg").read_text().count("<polyline") == 1
    assert [place.name for place in (tmp_path / "run" / "tensorboard").iterdir()]


@pytest.mark.slow
def test_a_validation_that_a_kill_came_before_is_made_up_for(
    synthetic_set: SyntheticSet, held_out: ValidationSettings, tmp_path: Path
) -> None:
    run = validated(synthetic_set, tmp_path / "run", held_out)
    train_here(run)
    lines = (tmp_path / "run" / "validations.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "run" / "validations.jsonl").write_text(lines[0])
    train_here(run)
    assert (tmp_path / "run" / "validations.jsonl").read_text().splitlines(keepends=True) == lines


@pytest.mark.slow
def test_a_stop_leaves_a_validation_which_the_run_makes_up_for_when_it_goes_on(
    synthetic_set: SyntheticSet, held_out: ValidationSettings, tmp_path: Path
) -> None:
    for step, left in ((3, []), (6, [3])):
        run = validated(synthetic_set, tmp_path / f"run{step}", held_out)
        said: list[str] = []
        asked = [f"step {step}: scoring on 4 mixtures"]
        assert train_here(run, is_stopping=lambda: said[-1:] == asked, say=said.append) == step  # noqa: B023
        assert [line["step"] for line in read_lines(Store(run.output) / "validations.jsonl")] == left
        assert is_scored(Store(run.output), step) is False
        assert train_here(run, say=said.append) == 6
        assert [line["step"] for line in read_lines(Store(run.output) / "validations.jsonl")] == [3, 6]
        assert said.count(asked[0]) == 2
        assert re.match(r"step 6: SDRi -?\d+\.\d\d dB, class-mean query, 4 mixtures", said[-1])
        assert is_scored(Store(run.output), step)


@pytest.mark.slow
def test_a_finished_run_is_scored_anew_on_another_list_and_the_scores_stay_apart(
    synthetic_set: SyntheticSet, held_out: ValidationSettings, tmp_path: Path
) -> None:
    run = validated(synthetic_set, tmp_path / "run", held_out)
    train_here(run)
    other = run.replace(validation=held_out.replace(query="oracle"), licence="CC0-1.0")
    assert train_here(other) == 6
    seen = look_at(Store(tmp_path / "run"))
    assert [(line["step"], line["query"]) for line in seen.validations] == [(6, "oracle")]
    assert (seen.best, seen.otherwise) == (6, 2)
    train_here(other)
    assert look_at(Store(tmp_path / "run")).otherwise == 2  # once is enough
    asked = read_request(Store(tmp_path / "run"))
    assert asked.licence == "CC0-1.0"
    weights = read_folder(export(asked, tmp_path / "weights", best=True))
    assert weights.source is not None
    assert (weights.source["licence"], weights.source["validation"]["query"]) == ("CC0-1.0", "oracle")


def test_a_list_that_is_trained_on_is_refused_before_any_work(
    synthetic_set: SyntheticSet, held_out: ValidationSettings, tmp_path: Path
) -> None:
    assert held_out.pairs is not None
    pairs = read_pairs(Path(held_out.pairs))
    name = tmp_path / "pairs.csv"
    for changed, message in (
        ({"other_clip_id": "clip1-3"}, "found clip1-3, one of 1 that are trained on"),
        ({"target_clip_id": "elsewhere"}, "expected clip elsewhere of the list, found none"),
    ):
        write_pairs([pairs[0].__class__(**{**vars(pairs[0]), **changed}), *pairs[1:]], name)
        with pytest.raises(DataError, match=message):
            train_here(validated(synthetic_set, tmp_path / "run", held_out.replace(pairs=str(name))))
    with pytest.raises(ConfigError, match="a multiple of the 3 steps between checkpoints, found 4"):
        validated(synthetic_set, tmp_path / "run", held_out.replace(every_steps=4))
    assert not list(tmp_path.glob("run/*.json*"))
