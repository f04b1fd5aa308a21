from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load

from tests.synthetic_set import small_recipe
from uss_ray.errors import ConfigError, DataError, OutputError
from uss_ray.pipelines.training import run_folder
from uss_ray.pipelines.training.checkpoints import choose_checkpoint, find_checkpoints
from uss_ray.pipelines.training.run_folder import RunFolder, best_validated, read_lines, told_at
from uss_ray.store.store import Store
from uss_ray.training.fit import TrainingState

IDENTITY = {"anchors_sha256": "a", "recipe": {"fit": {"steps": 6}, "loss": {"kind": "snr"}}}


def folder_of(output: Store, identity: dict[str, object] | None = None) -> RunFolder:
    return RunFolder(output.raising(OutputError), identity=identity or IDENTITY, seed=0)


def line(step: int) -> dict[str, float]:
    return {"step": step, "loss": 1.0 / step}


def test_another_configuration_is_refused_by_the_field_that_differs(output: Store) -> None:
    folder_of(output).open(small_recipe())
    folder_of(output).open(small_recipe())
    other = {"anchors_sha256": "a", "recipe": {"fit": {"steps": 6}, "loss": {"kind": "l1"}}}
    with pytest.raises(ConfigError, match=r"expected recipe\.loss\.kind snr, as the run there.*found l1"):
        folder_of(output, other).open(small_recipe())
    assert json.loads((output / "identity.json").read()) == IDENTITY


def test_a_run_that_was_begun_before_there_was_a_setting_goes_on_with_its_default(output: Store) -> None:
    then = {"recipe": {"fit": {"steps": 6}, "adaptor": None}}
    first = folder_of(output, then)
    first.open(small_recipe())
    first.save(TrainingState(3, {"weight": torch.ones(2)}, {}, {"state": {}, "param_groups": []}), keep=1)

    def now(*, defaults: set[str], adaptor: object = None) -> RunFolder:
        identity = {"recipe": {"fit": {"steps": 6, "pace": 1}, "adaptor": adaptor}}
        return RunFolder(output.raising(OutputError), identity=identity, seed=0, defaults=defaults)

    later = now(defaults={"recipe.fit.pace"})
    later.open(small_recipe())
    loaded = later.load()
    assert loaded is not None
    assert loaded.step == 3
    assert json.loads((output / "identity.json").read()) == then
    with pytest.raises(ConfigError, match=r"expected recipe\.fit\.pace None, .*found 1"):
        now(defaults=set()).open(small_recipe())
    with pytest.raises(ConfigError, match=r"recipe\.adaptor\.size"):
        now(defaults={"recipe.fit.pace", "recipe.adaptor.size"}, adaptor={"size": 4}).open(small_recipe())


def test_lines_of_steps_that_are_done_again_are_dropped(output: Store) -> None:
    first = folder_of(output)
    first.open(small_recipe())
    for step in (2, 4, 6):
        first.add_metrics(line(step))
    first.flush()
    again = folder_of(output)
    again.open(small_recipe())
    again.forget_after(4)
    again.add_metrics(line(6))
    again.flush()
    assert [each["step"] for each in read_lines(output / "metrics.jsonl")] == [2, 4, 6]
    again.forget_after(0)
    assert read_lines(output / "metrics.jsonl") == []


def test_a_state_is_loaded_by_the_run_that_made_it_alone(output: Store) -> None:
    folder = folder_of(output)
    folder.open(small_recipe())
    assert folder.load() is None
    folder.save(TrainingState(3, {"weight": torch.ones(2)}, {}, {"state": {}, "param_groups": []}), keep=1)
    loaded = folder_of(output).load()
    assert loaded is not None
    assert loaded.step == 3
    other = {"anchors_sha256": "b", "recipe": IDENTITY["recipe"]}
    with pytest.raises(
        DataError, match="expected a checkpoint of this run, of anchors_sha256 b, found one of a"
    ):
        folder_of(output, other).load()


def test_a_damaged_checkpoint_says_which_one_the_run_would_go_on_from(output: Store) -> None:
    folder = folder_of(output)
    folder.open(small_recipe())
    for step in (3, 6):
        folder.save(
            TrainingState(step, {"weight": torch.ones(2)}, {}, {"state": {}, "param_groups": []}), keep=2
        )
    newest = output / "checkpoints" / "step-000000006"
    for damage in ((newest / "model.safetensors").put, lambda _: (newest / "model.safetensors").remove()):
        damage(b"half")
        with pytest.raises(
            DataError, match=r"\(without step-000000006, the run goes on from step-000000003\)"
        ):
            folder_of(output).load()
    for place in newest.list():
        place.remove()
    loaded = folder_of(output).load()
    assert loaded is not None
    assert loaded.step == 3
    (output / "checkpoints" / "step-000000003" / "optimiser.pt").put(b"half")
    with pytest.raises(DataError, match=r"expected sha256 \w{64}, found"):
        folder_of(output).load()


def test_items_of_a_bad_batch_are_kept(output: Store) -> None:
    tensors = {"lane-1.mixtures": torch.ones(2, 3)}
    place = folder_of(output).keep_bad_batch(12, names=["item 1", "item 2"], tensors=tensors, rank=0)
    assert json.loads(Store(place).read()) == {"step": 12, "items": ["item 1", "item 2"]}
    kept = load((output / "bad_batch-000000012-0.safetensors").read())
    assert torch.equal(kept["lane-1.mixtures"], torch.ones(2, 3))


def test_what_a_state_was_made_on_is_told_of_steps_that_were_not_done_again(output: Store) -> None:
    folder = folder_of(output)
    for step, workers in ((0, 1), (4, 2), (8, 4), (6, 8)):
        folder.add_hardware(step, workers=workers, kind="GPU")
    assert told_at(output, 6) == {"hardware": "1 × GPU from step 0; 2 × GPU from step 4"}
    folder.add_validation({"step": 9, "sdri_db": 5.0, "classes": {"/t/0": 5.0}}, heard={})
    assert told_at(output, 9) == {
        "hardware": "1 × GPU from step 0; 2 × GPU from step 4; 8 × GPU from step 6",
        "validation": {"step": 9, "sdri_db": 5.0},
    }
    assert told_at(output / "none", 9) == {}


def test_what_is_no_json_is_told(output: Store) -> None:
    for half in ('{"step": 4, "lo', '{"loss": 1.0}', "[2]", '{"step": "2"}'):
        (output / "metrics.jsonl").put(f'{{"step": 2, "loss": 1.0}}\n{half}'.encode())
        with pytest.raises(DataError, match=r"metrics\.jsonl line 2: expected a JSON object with a step"):
            read_lines(output / "metrics.jsonl")
    for text, found in ((b"[1]", "list"), (b"[" * 100_000, "Nested too deeply")):
        (output / "identity.json").put(text)
        with pytest.raises(DataError, match=f"identity.json: expected the identity of a run, found {found}"):
            folder_of(output).open(small_recipe())


def scored(step: int, sdri_db: float, *, on: str) -> dict[str, object]:
    return {"step": step, "sdri_db": sdri_db, "query": "class-mean", "list_sha256": on}


def test_a_run_that_goes_on_with_other_versions_says_so(
    output: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(output)
    monkeypatch.setattr(run_folder, "VERSION", "0.9")
    folder.add_hardware(0, workers=1, kind="CPU")
    folder.add_hardware(2, workers=1, kind="CPU")
    assert not caplog.records
    monkeypatch.setattr(run_folder, "VERSION", "1.0")
    folder.add_hardware(4, workers=1, kind="CPU")
    assert "going on with uss-ray 1.0 instead of 0.9: the last bits" in caplog.text
    assert [line["programs"]["uss-ray"] for line in read_lines(output / "hardware.jsonl")] == [
        "0.9",
        "0.9",
        "1.0",
    ]


def test_scores_on_two_lists_are_never_compared(output: Store) -> None:
    folder = folder_of(output)
    folder.open(small_recipe())
    for step, sdri_db, on in ((2, 9.0, "easy"), (4, 8.0, "easy"), (4, 1.0, "hard"), (6, 0.5, "hard")):
        folder.add_validation(scored(step, sdri_db, on=on), heard={})
    assert best_validated(output) == 4
    on_hard, on_easy = ({"query": "class-mean", "list_sha256": name} for name in ("hard", "easy"))
    assert folder.is_validated(6, on=on_hard)
    assert not folder.is_validated(2, on=on_hard)
    assert not folder.is_validated(2, on=on_easy)  # what was scored on something else since is the last word
    told = [(line["step"], line["list_sha256"]) for line in read_lines(output / "validations.jsonl")]
    assert told == [(2, "easy"), (4, "easy"), (4, "hard"), (6, "hard")]
    curve = (output / "curve.svg").read().decode()
    assert curve.count("<circle") == 2
    folder.add_validation(scored(4, 8.5, on="easy"), heard={})
    assert best_validated(output) == 2


def test_the_best_on_a_list_is_kept_while_a_run_is_scored_on_another(output: Store) -> None:
    folder = folder_of(output)
    folder.open(small_recipe())
    for step, sdri_db, on in ((1, 9.0, "a"), (2, 8.0, "a"), (3, 4.0, "b"), (4, 5.0, "b"), (5, 7.0, "a")):
        folder.save(TrainingState(step, {"w": torch.ones(2)}, {}, {"state": {}, "param_groups": []}), keep=1)
        folder.add_validation(scored(step, sdri_db, on=on), heard={})
    kept = choose_checkpoint(output, best_validated(output))
    assert kept.name == "step-000000001"
    assert [place.name[-1] for place in find_checkpoints(output)] == ["1", "4", "5"]


def test_scores_of_steps_that_are_done_again_are_dropped(output: Store) -> None:
    folder = folder_of(output)
    folder.open(small_recipe())
    for step in (2, 4, 6):
        folder.add_validation(scored(step, float(step), on="a"), heard={})
    folder.forget_after(4)
    assert best_validated(output) == 4


def test_settings_are_those_of_the_latest_start_and_the_identity_that_of_the_first(output: Store) -> None:
    folder_of(output).open(small_recipe(name="first"))
    identity = (output / "identity.json").read()
    folder_of(output).open(small_recipe(name="second"))
    assert b"name: second" in (output / "settings.yaml").read()
    assert (output / "identity.json").read() == identity


def test_a_run_whose_identity_is_gone_is_known_by_its_checkpoints(output: Store) -> None:
    folder = folder_of(output)
    folder.open(small_recipe(name="first"))
    folder.save(TrainingState(3, {"weight": torch.ones(2)}, {}, {"state": {}, "param_groups": []}), keep=1)
    identity = (output / "identity.json").read()
    (output / "identity.json").remove()
    other = {"anchors_sha256": "b", "recipe": IDENTITY["recipe"]}
    with pytest.raises(ConfigError, match=r"expected anchors_sha256 a, as the run there, .* found b"):
        folder_of(output, other).open(small_recipe(name="other"))
    assert b"name: first" in (output / "settings.yaml").read()
    folder_of(output).open(small_recipe())
    assert (output / "identity.json").read() == identity
