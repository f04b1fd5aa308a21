"""Folders of the first format still load, with the values that were true of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from uss_ray.errors import WeightsError
from uss_ray.models.specifications import Condition
from uss_ray.weights.folder import read_folder
from uss_ray.weights.known import starter_folder
from uss_ray.weights.versions import FORMAT_VERSION, upgrade

VERSION_1: dict[str, Any] = {
    "format_version": 1,
    "name": "older",
    "sample_rate": 32_000,
    "segment_seconds": 2.0,
    "condition": {"kind": "soft", "size": 6},
    "dtype": "float32",
    "tagger": {"classes": 6},
    "detector": {"architecture": "htsat", "classes": 6},
    "separator": {"condition_size": 6},
    "files": {},
}


def to_version_1(folder: Path) -> None:
    """Rewrite a config as the first format had it."""
    path = folder / "config.json"
    values = json.loads(path.read_text())
    specified = values.pop("specifications")
    values |= {key: specified[key] for key in ("sample_rate", "segment_seconds", "condition")}
    values["format_version"] = 1
    for role in ("tagger", "separator"):
        del values[role]["architecture"]
    path.write_text(json.dumps(values))


def test_the_packaged_starter_is_of_the_first_format_and_loads() -> None:
    config = json.loads((starter_folder() / "config.json").read_text())
    assert config["format_version"] == 1
    specifications = read_folder(starter_folder()).specifications
    assert (specifications.sample_rate, specifications.segment_seconds) == (32_000, 2.0)
    assert specifications.condition == Condition(kind="soft", size=527)
    assert specifications.class_list is not None
    assert specifications.class_list.count == 527
    assert specifications.training_rms_dbfs == (-35.0, -15.0)
    assert specifications.silence.anchor_rejected_below_rms_dbfs is None


def test_a_folder_means_the_same_in_both_formats(tiny_weights: Path, tmp_path: Path) -> None:
    older = tmp_path / "older"
    older.mkdir()
    for file in tiny_weights.iterdir():
        (older / file.name).symlink_to(file)
    (older / "config.json").unlink()
    (older / "config.json").write_bytes((tiny_weights / "config.json").read_bytes())
    to_version_1(older)
    one, other = read_folder(tiny_weights), read_folder(older)
    assert one.specifications == other.specifications
    assert one.sha256 != other.sha256
    assert one.separator.config == other.separator.config  # type: ignore[union-attr]


def test_a_separator_is_what_it_was_before_there_were_kinds_of_film(
    tiny_weights: Path, tmp_path: Path
) -> None:
    older = tmp_path / "older"
    older.mkdir()
    for file in tiny_weights.iterdir():
        (older / file.name).write_bytes(file.read_bytes())
    values = json.loads((older / "config.json").read_text())
    for setting in ("film", "film_places", "passes"):
        del values["separator"][setting]
    (older / "config.json").write_text(json.dumps(values))
    one, other = read_folder(tiny_weights), read_folder(older)
    assert one.separator.config == other.separator.config  # type: ignore[union-attr]


def test_architectures_are_named_where_the_first_format_left_them_out() -> None:
    values = upgrade(VERSION_1)
    assert values["format_version"] == FORMAT_VERSION
    assert [values[role]["architecture"] for role in ("tagger", "detector", "separator")] == [
        "panns",
        "htsat",
        "resunet",
    ]
    assert values["specifications"] == {
        key: VERSION_1[key] for key in ("sample_rate", "segment_seconds", "condition")
    }
    assert VERSION_1["format_version"] == 1


def test_only_the_starter_recipe_had_levels_of_its_own() -> None:
    assert "training_rms_dbfs" not in upgrade(VERSION_1 | {"source": {"recipe": "mine"}})["specifications"]
    assert "training_rms_dbfs" not in upgrade(VERSION_1 | {"source": "a text"})["specifications"]


@pytest.mark.parametrize("change", [{"specifications": {}}, {"format_version": 3}, {"format_version": None}])
def test_other_formats_are_left_as_they_are_to_be_refused(change: dict[str, Any]) -> None:
    values = VERSION_1 | change
    assert upgrade(values) == values


def test_what_the_first_format_lacked_is_named(tiny_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((tiny_weights / "config.json").read_bytes())
    to_version_1(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    del values["sample_rate"]
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(WeightsError, match=r"specifications sample_rate\): expected a value"):
        read_folder(tmp_path)
