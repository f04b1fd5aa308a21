"""Answers as plain values."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.unit.client.conftest import zipped
from uss_ray.client.errors import ServiceError
from uss_ray.client.results import Separation, SoundClass


def test_stems_are_found_by_label_and_id() -> None:
    with Separation(io.BytesIO(zipped({"query/dog.flac": "woof"}))) as made:
        assert list(made) == ["Dog"]
        assert made["Dog"] == made["/m/0bt9lr"] == b"woof"
        with pytest.raises(KeyError):
            made["Cat"]
        assert [row["status"] for row in made.rows] == ["written", "absent"]
        assert made.stems == ("query/dog.flac",)
        assert made.run == {"weights_name": "w"}


@pytest.mark.parametrize("content", [b"not a zip", zipped({})[:-30], b""])
def test_what_is_no_zip_is_an_error_of_the_service(content: bytes) -> None:
    file = io.BytesIO(content)
    with pytest.raises(ServiceError, match="answer: expected a ZIP file of stems"):
        Separation(file)
    assert file.closed


def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    with Separation(io.BytesIO(zipped({"../../out.txt": "x", "/abs.txt": "y"}))) as made:
        made.save(tmp_path / "a" / "b")
    assert {path.name for path in (tmp_path / "a" / "b").iterdir()} == {"index.json", "out.txt", "abs.txt"}
    assert {path.name for path in tmp_path.iterdir()} == {"a"}


def test_what_a_later_service_says_besides_is_left_out() -> None:
    node = {
        "node_id": "n",
        "label": "Dog",
        "level": 3,
        "parent_ids": ["p"],
        "is_separable": True,
        "is_known": False,
    }
    assert SoundClass.of(node | {"colour": "red"}).parent_ids == ("p",)
