from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from tests.unit.evaluation.benchmarks.test_mini import scenes_data
from tests.unit.evaluation.conftest import PIANO, RAIN
from uss_ray.errors import ConfigError, DataError
from uss_ray.evaluation import run as run_of_list
from uss_ray.evaluation.benchmarks.known import draw_list, find_benchmark
from uss_ray.evaluation.heard import choose_heard, read_heard, sounds_to_keep
from uss_ray.evaluation.items import EvaluationList
from uss_ray.evaluation.measures import Truth, score
from uss_ray.evaluation.request import EvaluationRequest
from uss_ray.evaluation.result import by_system, make_result, summarise_system
from uss_ray.evaluation.rows import rows_from_parquet, rows_to_parquet
from uss_ray.evaluation.run import Evaluator, open_list
from uss_ray.evaluation.scene_rows import TIME_COUNTS
from uss_ray.evaluation.sounds import mix
from uss_ray.models.resunet import BandedResUNet
from uss_ray.store.store import Store, StoreOptions
from uss_ray.weights.folder import Weights
from uss_ray.weights.locate import load_weights


@pytest.fixture(scope="module")
def listed(two_sources: Path) -> EvaluationList:
    return draw_list(find_benchmark("mini"), Store(two_sources))


def ask(data: Path, weights: Path, tmp_path: Path, listed: EvaluationList | None = None, **values: object):
    told: dict[str, object] = {"queries": ("oracle",), "limit": 3, "weights": str(weights)}
    if listed is not None:
        (tmp_path / "list.parquet").write_bytes(listed.to_parquet())
        told["list"] = str(tmp_path / "list.parquet")
    return EvaluationRequest(
        benchmark="mini", data=str(data), output=str(tmp_path / "run"), **(told | values)
    )


@pytest.mark.slow
def test_every_system_scores_every_item(two_sources, two_means, tmp_path, listed) -> None:
    request = ask(
        two_sources, two_means, tmp_path, listed, systems=("engine", "bare"), queries=("oracle", "detected")
    )
    evaluator = Evaluator(request=request, scored=open_list(request))
    with pytest.raises(ConfigError, match="expected a query with a condition"):
        evaluator.systems  # noqa: B018 - before any work
    request = request.replace(systems=("engine", "bare"), queries=("oracle",))
    scored = open_list(request)
    assert (len(scored.items), scored.chunks, scored.missing) == (3, 1, 0)
    evaluator = Evaluator(request=request, scored=scored)
    rows = evaluator.rows(scored.chunk(0))
    parts = by_system(rows)
    assert list(parts) == [
        ("mixture", ""), ("half", ""), ("ideal-ratio-mask", ""), ("wiener-mask", ""),
        ("engine", "oracle"), ("bare", "oracle"), ("engine", "random-class"),
    ]  # fmt: skip
    assert [row.scores["sdri"] for row in parts["mixture", ""]] == pytest.approx([0, 0, 0], abs=0.01)
    assert [row.scores["sdri"] for row in parts["half", ""]] == pytest.approx([3.01] * 3, abs=0.05)
    assert all(row.input_sdr == pytest.approx(0.0, abs=0.01) for row in rows)
    assert rows_from_parquet(rows_to_parquet(rows), item="a") == rows
    assert rows_to_parquet(evaluator.rows(scored.chunk(0))) == rows_to_parquet(rows)
    chosen = choose_heard(rows)
    assert [heard.which for heard in chosen] == ["best", "median", "worst"]
    assert chosen[0].sdri >= chosen[1].sdri >= chosen[2].sdri
    run = Store(tmp_path / "heard")
    for name, content in sounds_to_keep(chosen, rows, evaluator):
        (run / name).put(content)
    sounds = read_heard(run, chosen)
    for sound in sounds:
        [target] = (row for row in parts["engine", "oracle"] if row.item_id == sound.heard.item_id)
        truth = Truth(sound.sounds["target"], sound.sounds["mixture"], 32_000)
        told = score(sound.sounds["estimate"], truth)
        assert told["sdri"] == pytest.approx(target.scores["sdri"], abs=0.05)
    (run / "heard" / "best-target.flac").remove()
    assert len(read_heard(run, chosen)) == 2
    # networks that nobody trained hardly hear a condition, and that is said
    told = make_result(
        rows, request=request, scored=scored, card=evaluator.benchmark.card, weights=("tiny", "abc")
    )
    assert told.condition is not None
    assert told.condition.is_blind
    assert min(evaluator.spent.reading, evaluator.spent.separating, evaluator.spent.scoring) > 0


def test_networks_work_as_they_are_asked_to(two_sources, two_means, tmp_path, listed) -> None:
    request = ask(two_sources, two_means, tmp_path, listed, networks={"in_bands": True})
    engine = Evaluator(request=request, scored=open_list(request)).engine
    assert isinstance(engine._separator, BandedResUNet)


@pytest.mark.slow
def test_a_scene_is_also_scored_without_asking(two_means, tmp_path) -> None:
    data = scenes_data(tmp_path / "data")
    request = EvaluationRequest(
        benchmark="scenes", data=str(data), output=str(tmp_path / "run"), weights=str(two_means), queries=("oracle",),
        limit=1,
    )  # fmt: skip
    scored = open_list(request)
    item = replace(scored.items[0], seconds=4.0)  # its beginning is enough
    first = replace(item.sources[0], position_seconds=0.0, role="other", label="texture")
    empty, below = (
        replace(item, item_id=name, seconds=2.0, sources=(replace(first, class_id=class_id),))
        for name, class_id in (("empty", PIANO), ("below", RAIN))
    )
    rows_of = Evaluator(request=request, scored=scored).rows([item, empty, below])
    rows = [row for row in rows_of if row.item_id == item.item_id]
    events, nothing_there, rain_below = (row for row in rows_of if row.query == "events")
    assert events.found == (RAIN,)
    assert set(events.true) == {source.class_id for source in scored.items[0].targets}
    assert events.scores.keys() == {"ca_sdri", "capi_sdri", "residual", "false_stems", "missed"}
    # the rain that is always heard is one event from the beginning to the end
    heard = {name: events.counts[name] for name in TIME_COUNTS if name.endswith("_found")}
    assert heard == {"events_found": 1.0, "frames_found": 80.0}
    assert events.counts["events_true"] == len(item.sources)
    # where there is nothing to find, it is false, unless it sounds below
    assert (nothing_there.true, nothing_there.found) == ((), (RAIN,))
    assert (nothing_there.scores["ca_sdri"], nothing_there.scores["capi_sdri"]) == (0.0, 0.0)
    assert nothing_there.scores["false_stems"] > 0
    assert (nothing_there.counts["events_found"], nothing_there.counts["events_true"]) == (1.0, 0.0)
    assert (rain_below.found, rain_below.undefined) == ((), ("ca_sdri", "capi_sdri"))
    assert (rain_below.scores["false_stems"], rain_below.counts["events_found"]) == (0.0, 0.0)
    assert RAIN not in rain_below.probs
    levels = {row.item_id: row for row in rows_of if row.query == row.label == "level-1"}
    assert (len(levels["empty"].found), levels["below"].found) == (1, ())
    found = summarise_system([events, nothing_there, rain_below]).labels
    assert found is not None
    assert found.empty is not None
    assert (found.empty.scenes, found.empty.right, found.empty.false_stems) == (2, 0.5, 0.5)
    of_levels = {row.query: row for row in rows if row.label == row.query != "events"}
    assert of_levels.keys() == {"level-1", "level-2", "level-3"}
    assert of_levels["level-1"].scores.keys() == {"ca_sdri", "residual", "false_stems", "missed"}
    assert of_levels["level-1"].scores["residual"] > 0
    assert sum(row.query == "level-1" for row in rows) == 1 + len(of_levels["level-1"].true)
    assert rows_from_parquet(rows_to_parquet(rows), item="a") == rows
    named = [row for row in rows if (row.system, row.query) == ("engine", "oracle")]
    assert len(named) == len(events.true)


def test_a_file_that_is_gone_ends_the_run_or_is_left_out(two_sources, two_means, tmp_path, listed) -> None:
    import shutil

    data = tmp_path / "data"
    shutil.copytree(two_sources, data)
    (data / "audio" / "eval" / "clip0.wav").unlink()
    with pytest.raises(DataError, match=r"clip0.wav: expected every file of the list .* found 83.3% of 6"):
        open_list(ask(data, two_means, tmp_path, listed))
    scored = open_list(ask(data, two_means, tmp_path, listed, allow_missing=True, limit=None))
    assert scored.missing == len(listed.items) - len(scored.items) > 0
    (data / "audio" / "eval" / "clip1.wav").write_bytes(b"RIFF")
    request = ask(
        data, two_means, tmp_path, listed, allow_missing=True, limit=None, systems=(f"{__name__}:nothing",)
    )
    evaluator = Evaluator(request=request, scored=scored)
    rows = evaluator.rows([item for item in scored.items if "clip1.wav" in item.sources[0].path][:1])
    assert len(rows) == 5
    assert all("clip1.wav" in (row.reason or "") for row in rows)


def test_what_is_held_of_a_chunk_is_bounded_and_changes_no_row(
    two_sources, tmp_path, tiny_weights, listed, monkeypatch
) -> None:
    request = ask(two_sources, tiny_weights, tmp_path, listed, systems=(f"{__name__}:nothing",), limit=5)
    scored = open_list(request)
    broken = two_sources / scored.items[1].sources[0].path
    whole, chunks = broken.read_bytes(), [scored.items[:3], scored.items[3:]]
    broken.write_bytes(b"RIFF")
    try:
        together = list(Evaluator(request=request, scored=scored).rows_of(chunks))
        monkeypatch.setattr("uss_ray.evaluation.run._GROUP_SECONDS", 2 * scored.items[0].seconds)
        parted = list(Evaluator(request=request, scored=scored).rows_of(chunks))
    finally:
        broken.write_bytes(whole)
    assert [len(rows) for rows in together] == [15, 10]
    assert sum(row.reason is not None for row in together[0]) >= 5
    assert parted == together


def test_whoever_stops_a_run_does_not_wait_for_what_is_read_ahead(
    two_sources, tmp_path, tiny_weights, listed, monkeypatch
) -> None:
    request = ask(two_sources, tiny_weights, tmp_path, listed, systems=(f"{__name__}:nothing",), limit=5)
    scored = open_list(request)
    evaluator, begun, ahead = Evaluator(request=request, scored=scored), [], Event()

    def slow(item, sounds):
        begun.append(item)
        if len(begun) == 2:  # ahead of what is scored, until the run is stopped
            ahead.set()
            assert evaluator._stopped.wait(60)
        return mix(item, sounds)

    monkeypatch.setattr("uss_ray.evaluation.run.mix", slow)
    rows = evaluator.rows_of([scored.items[:1], scored.items[1:]])
    assert len(next(rows)) == 5
    assert ahead.wait(60)
    rows.close()
    assert len(begun) == 2
    assert len(evaluator.rows(scored.items[:1])) == 5  # and it can go on


def test_a_main_score_that_cannot_be_measured_ends_the_run_and_others_are_left_out(
    two_sources, two_means, tmp_path, listed, monkeypatch
) -> None:
    monkeypatch.setattr("uss_ray.evaluation.measures.find_spec", lambda _: None)
    request = ask(two_sources, two_means, tmp_path, listed)
    scored = open_list(request)
    evaluator = Evaluator(request=request.replace(benchmark="musdb18-hq"), scored=scored)
    with pytest.raises(ConfigError, match=r"measure bss_sdr: expected museval \(pip install"):
        evaluator.prepare()
    speech = Evaluator(request=request.replace(benchmark="voicebank"), scored=scored)
    assert speech.not_measured.keys() == {"stoi", "pesq", "csig", "cbak", "covl"}


def nothing(mixture, sample_rate, labels):
    return mixture[None] * 0


def test_what_trains_is_not_scored(two_sources, two_means, tmp_path, listed) -> None:
    path = tmp_path / "train.parquet"
    path.write_bytes(listed.to_parquet())
    with pytest.raises(DataError, match="expected no file that is scored, found audio/eval/clip"):
        open_list(ask(two_sources, two_means, tmp_path, listed, train_list=str(path)))


def test_a_list_of_another_benchmark_is_refused(two_sources, two_means, tmp_path, listed) -> None:
    request = ask(two_sources, two_means, tmp_path, listed).replace(benchmark="esc50")
    with pytest.raises(ConfigError, match="expected a list of esc50, found one of mini"):
        open_list(request)


def test_lists_and_weights_are_reached_as_the_data_are(
    two_sources, two_means, tmp_path, listed, monkeypatch
) -> None:
    request = ask(two_sources, two_means, tmp_path, listed, storage=StoreOptions(endpoint="http://elsewhere"))
    told = []

    def read(place: Store) -> EvaluationList:
        told.append(place.options)
        return listed

    def load(name: str, *, storage: StoreOptions) -> Weights:
        told.append(storage)
        return load_weights(name)

    monkeypatch.setattr(run_of_list, "read_list", read)
    monkeypatch.setattr(run_of_list, "load_weights", load)
    assert Evaluator(request=request, scored=open_list(request)).weights.name == "tiny"
    assert told == [request.storage, request.storage]
