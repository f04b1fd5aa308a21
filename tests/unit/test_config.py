from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from pydantic import Field

from uss_ray.config import (
    Device,
    Location,
    Name,
    Settings,
    absolute,
    canonical_json,
    load,
    overlay,
    parse_json,
    place_of,
    to_yaml,
)
from uss_ray.errors import ConfigError, DataError, OutputError


class Loss(Settings):
    kind: Literal["l1", "snr"] = "l1"
    weight: float = Field(default=1.0, gt=0)


class Recipe(Settings):
    steps: int = Field(default=10, ge=1)
    name: str = "base"
    floor_dbfs: float | None = None
    loss: Loss = Loss()


class Small(Settings):
    architecture: Literal["small"] = "small"


class Large(Settings):
    architecture: Literal["large"] = "large"


class Built(Settings):
    network: Annotated[Small | Large, Field(discriminator="architecture")] = Small()


class Numbers(Settings):
    limit: float | None = None
    counts: tuple[int, ...] = ()
    by_name: dict[str, float] | None = None
    either: int | str = 0
    is_on: bool = False
    number_or_truth: float | bool = 0.0
    anything: dict[str, Any] | None = None
    losses: tuple[Loss, ...] = ()


class Placed(Settings):
    device: Device = "auto"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("limit: off", "limit: expected a number or null, found false (YAML reads no, off and false so)"),
        ("counts: on", "counts: expected a whole number, found true (YAML reads yes, on and true so)"),
        ("counts: [1, no]", "counts.1: expected a whole number, found false (YAML"),
        ("by_name: {a: yes}", "by_name.a: expected a number, found true (YAML"),
        ("either: no", "either: expected a whole number or a text, found false (YAML"),
        ("losses: [{weight: on}]", "losses.0.weight: expected a number, found true (YAML"),
    ],
)
def test_a_truth_value_is_no_number_and_no_text(values: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(values)
    with pytest.raises(ConfigError) as refused:
        load(file, Numbers)
    assert str(refused.value).startswith(f"{file}: {message}")


def test_a_truth_value_of_numpy_is_no_number() -> None:
    with pytest.raises(ConfigError, match=r"numbers limit: expected a number or null, found true "):
        Numbers(limit=np.True_)


def test_truth_values_stay_where_they_belong_and_numbers_are_taken_for_them() -> None:
    held = Numbers(is_on=1, number_or_truth=True, anything={"a": [True]})  # type: ignore[arg-type]
    assert (held.is_on, held.number_or_truth, held.anything) == (True, True, {"a": [True]})
    assert Numbers(limit=np.float64(2), counts=(np.int64(3),)).counts == (3,)  # type: ignore[arg-type]


def test_settings_cannot_be_changed_and_are_equal_by_value():
    with pytest.raises(Exception, match="frozen"):
        Recipe().steps = 3  # type: ignore[misc]
    assert Recipe(steps=3) == Recipe().replace(steps=3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "recipe steps: expected at least 1, found 0"),
        ({"step": 3}, "recipe step: expected a known setting, 'steps'?, found an unknown one"),
        ({"loss": {"kid": "snr"}}, "kid: expected a known setting, 'kind'?, found an unknown one"),
        ({"loss": {"kind": "l2"}}, "kind: expected 'l1' or 'snr', found 'l2'"),
        ({"floor_dbfs": float("-inf")}, "recipe floor_dbfs: expected a finite number, found -inf"),
    ],
)
def test_a_bad_value_is_named(values, message):
    with pytest.raises(ConfigError) as caught:
        Recipe(**values)
    assert str(caught.value).endswith(message)


class Aliased(Settings):
    class_: str = Field(default="", alias="class")
    level: int = 1


@pytest.mark.parametrize(
    ("name", "known"), [("clas", "'class'?"), ("class_", "'class'?"), ("foo", "one of class, level")]
)
def test_what_is_known_is_told_by_the_name_that_is_taken(name: str, known: str) -> None:
    assert Aliased(**{"class": "Dog"}).class_ == "Dog"
    with pytest.raises(ConfigError, match=re.escape(f"expected a known setting, {known}")):
        Aliased(**{name: "Dog"})


def test_an_unknown_choice_is_told_which_there_are() -> None:
    with pytest.raises(
        ConfigError, match=r"^built network: expected one of 'small', 'large' as 'architecture', found"
    ):
        Built(network={"architecture": "huge"})


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "cuda:1"])
def test_a_device_is_named_or_numbered(name: str) -> None:
    assert Placed(device=name).device == name


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:-1", "CUDA"])
def test_no_other_name_is_a_device(name: str) -> None:
    expected = f"device: expected auto, cpu, cuda or one GPU of several, such as cuda:1, found '{name}'"
    with pytest.raises(ConfigError, match=expected):
        Placed(device=name)


def test_a_changed_copy_is_checked():
    with pytest.raises(ConfigError, match="recipe steps"):
        Recipe().replace(steps=-1)


def test_equal_settings_have_the_same_strict_json():
    text = Recipe(loss=Loss(kind="snr")).canonical_json()
    assert text == Recipe().replace(loss=Loss(kind="snr")).canonical_json()
    assert Recipe(**json.loads(text)) == Recipe(loss=Loss(kind="snr"))
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"level": float("-inf")})


def test_overlays_hold_what_differs(tmp_path: Path):
    (tmp_path / "base.yaml").write_text("steps: 5\nloss: {weight: 2.0}\n")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "snr.yaml").write_text("base: ../base.yaml\nloss: {kind: snr}\n")
    settings = load(tmp_path / "deep" / "snr.yaml", Recipe, changes={"name": "mine"})
    assert settings == Recipe(steps=5, name="mine", loss=Loss(kind="snr", weight=2.0))
    (tmp_path / "again.yaml").write_text(to_yaml(settings))
    assert load(tmp_path / "again.yaml", Recipe) == settings


def test_an_empty_file_is_the_defaults(tmp_path: Path):
    (tmp_path / "empty.yaml").write_text("")
    assert load(tmp_path / "empty.yaml", Recipe) == Recipe()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "settings by their names, found list"),
        ("steps: [\n", "a YAML file of settings"),
        ("base: 3\n", "the name of a file"),
        ("base: ''\n", "base: expected the name of a file, found ''"),
        ("loss: {1: 2}\n", "line 1: expected settings by their names, found 1 for a name"),
        ("steps: 3\nloss:\n  on: 2\n", "line 3: expected settings by their names, found on for a name"),
        ("base: a.yaml\n", "a circle"),
        ("base: b.yaml\n", "No such file"),
        ("stepz: 3\n", "'steps'"),
        (
            "loss: {kind: snr}\nsteps: 3\nloss: {weight: 2}\n",
            "line 3: expected each setting once, found loss again",
        ),
        ("loss:\n  kind: l1\n  kind: snr\n", "line 3.*kind again"),
        ("loss: &a {kind: *a}\n", "loss"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, message: str):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load(tmp_path / "a.yaml", Recipe)


class Facts(Settings):
    name: str
    counts: dict[int, int] = Field(default_factory=dict)
    spans: tuple[tuple[float, float], ...] = ()


def test_strict_json_becomes_a_model() -> None:
    text = '{"name": "é", "counts": {"7": 2}, "spans": [[0.0, 1.5]]}'
    facts = parse_json(text.encode(), Facts, item="a.json")
    assert facts == Facts(name="é", counts={7: 2}, spans=((0.0, 1.5),))
    assert parse_json(facts.canonical_json(), Facts, item="a.json") == facts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "a.json: expected a JSON object"),
        (b"\xff", "a.json: expected a JSON object"),
        ('{"name": NaN}', "a.json: expected a JSON object, found NaN, which is no JSON"),
        ("[1, 2]", "a.json: expected a JSON object, found list"),
        ("{}", "a.json, name: expected a value, found none"),
        ('{"name": "a", "spans": [[0.0, "x"]]}', r"a.json, spans.0.1: expected .*number.*, found 'x'"),
        ('{"name": "a", "conuts": {}}', "a.json, conuts: .*'counts'"),
    ],
)
def test_what_is_no_such_json_is_named(text: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_json(text, Facts, item="a.json")
    with pytest.raises(OutputError, match=message):
        parse_json(text, Facts, item="a.json", error=OutputError)


def test_a_network_of_another_architecture_replaces_the_one_below(caplog: pytest.LogCaptureFixture) -> None:
    below = {"separator": {"architecture": "resunet", "channels": [2, 2], "sample_rate": 8000}}
    other = {"architecture": "conv-tasnet", "filters": 4}
    assert overlay(below, {"separator": {"architecture": "resunet", "passes": 2}}) == {
        "separator": {"architecture": "resunet", "channels": [2, 2], "sample_rate": 8000, "passes": 2}
    }
    assert not caplog.records
    assert overlay(below, {"separator": other}) == {"separator": other | {"sample_rate": 8000}}
    assert caplog.messages == [
        "separator: conv-tasnet in place of resunet, whose channels it does not take over"
    ]


class Listed(Settings):
    place: Location
    recipes: tuple[Recipe, ...] = ()
    device: Placed = Placed()


class Whole(Settings):
    listed: Listed
    besides: Name | None = None


@pytest.mark.parametrize("field", [{"besides": ""}, {"listed": {"place": ""}}])
def test_an_empty_text_is_no_name_and_no_place(field) -> None:
    with pytest.raises(ConfigError, match="expected a text that is not empty, found ''"):
        Whole(**{"listed": {"place": "here"}} | field)


@pytest.mark.parametrize(
    ("listed", "place"),
    [
        ({"place": 3}, "listed.place"),
        ({"plaec": "a"}, "listed.plaec"),
        ({}, "listed.place"),
        (3, "listed"),
        ({"place": "a", "recipes": [{}, {"steps": 0}]}, "listed.recipes.1.steps"),
        ({"place": "a", "recipes": [{"loss": {"kid": 1}}]}, "listed.recipes.0.loss.kid"),
        ({"place": "a", "recipes": 3}, "listed.recipes"),
        ({"place": "a", "device": {"device": "gpu"}}, "listed.device.device"),
    ],
)
def test_the_whole_place_of_a_wrong_value_is_found(listed, place: str) -> None:
    values = {"listed": listed}
    with pytest.raises(ConfigError) as caught:
        Whole(**values)
    assert ".".join(place_of(caught.value, Whole, values)) == place


@pytest.mark.parametrize(
    ("base", "own", "file", "message"),
    [
        ("plaec: a", "device: {device: cpu}", "base", "listed.plaec: expected a known setting, 'place'?"),
        ("place: a", "plaec: a", "own", "listed.plaec: expected a known setting, 'place'?"),
        ("place: a\n  device: {device: cpu}", "device: 3", "own", "listed.device: expected"),
        ("place: a\n  device: {device: gpu}", "recipes: []", "base", "listed.device.device: expected auto"),
        ("device: {device: cpu}", "recipes: []", "own", "listed.place: expected a value, found none"),
        (
            "place: a\n  recipes: [{steps: 0}]",
            "place: b",
            "base",
            "listed.recipes.0.steps: expected at least",
        ),
    ],
)
def test_an_error_of_a_chain_names_the_file_and_the_whole_place(
    tmp_path: Path, base: str, own: str, file: str, message: str
) -> None:
    (tmp_path / "base.yaml").write_text(f"listed:\n  {base}\n")
    (tmp_path / "own.yaml").write_text(f"base: base.yaml\nlisted:\n  {own}\n")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "own.yaml", Whole)
    assert str(caught.value).startswith(f"{tmp_path / file}.yaml: {message}")


def test_what_no_file_says_is_blamed_on_none(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("besides: b\n")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "own.yaml", Whole, changes={"listed": {"place": 3}})
    assert "own.yaml" not in str(caught.value)


class Inner(Settings):
    data: Location
    pairs: Location | None = None


class Places(Settings):
    output: Location
    audio: Location
    weights: Location = "starter"
    segments: tuple[Location, ...] = ()
    label: Name = "there"
    inner: Inner | None = None


def test_places_are_named_so_that_they_mean_the_same_wherever_a_process_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    given = Places(
        output="new",
        audio="there",
        segments=("there", "gone", "s3://b/there"),
        inner=Inner(data="there", pairs="there/.."),
    )
    found = absolute(given)
    here = str(tmp_path)
    assert found == Places(
        output=f"{here}/new",
        audio=f"{here}/there",
        segments=(f"{here}/there", "gone", "s3://b/there"),
        inner=Inner(data=f"{here}/there", pairs=here),
    )
    assert absolute(found) == found
    assert absolute(given.replace(inner=None)).inner is None


class _Held(Settings):
    several: tuple[str, ...] = ()
    text: str = ""
    number: float = 0.0
    count: int = 0
    switch: bool = False
    named: dict[str, int] = Field(default_factory=dict)
    listed: list[str] = Field(default_factory=list)
    pair: tuple[int, ...] = Field(default=(1,), min_length=1, max_length=2)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("several: null", "several: expected a list, found null"),
        ("several: x", "several: expected a list, found 'x'"),
        ("text: null", "text: expected a text, found null"),
        ("text: [a, true]", "text.1: expected a text, found true (YAML reads yes, on and true so)"),
        ("number: null", "number: expected a number, found null"),
        ("number: .nan", "number: expected a finite number, found nan"),
        ("count: null", "count: expected a whole number, found null"),
        ("count: 1.5", "count: expected a whole number, found 1.5"),
        ("switch: null", "switch: expected true or false, found null"),
        ("named: null", "named: expected values by their names, found null"),
        ("listed: null", "listed: expected a list, found null"),
        ("pair: []", "pair: expected a list of at least 1, found []"),
        ("pair: [1, 2, 3]", "pair: expected a list of at most 2, found [1, 2, 3]"),
    ],
)
def test_what_was_expected_and_found_is_told_as_it_is_written_in_a_file(
    tmp_path: Path, line: str, told: str
) -> None:
    (tmp_path / "a.yaml").write_text(line)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "a.yaml", _Held)
    assert str(caught.value).endswith(told)
