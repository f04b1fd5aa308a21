from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from uss_ray.config import Device, Settings, canonical_json, load, overlay, parse_json, to_yaml
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


class Placed(Settings):
    device: Device = "auto"


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
        ("{", "a.json: expected JSON"),
        (b"\xff", "a.json: expected JSON"),
        ('{"name": NaN}', "a.json: expected JSON, found NaN, which is no JSON"),
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
