"""Answers as plain values."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.unit.client.conftest import zipped
from uss_ray.client.errors import ServiceError
from uss_ray.client.results import Separation, SoundClass
from uss_ray.errors import OutputError


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


def test_a_stem_that_is_damaged_on_its_way_is_no_stem(tmp_path: Path) -> None:
    content = zipped({"query/dog.flac": "woof"}).replace(b"woof", b"wooo")
    with Separation(io.BytesIO(content)) as made:
        for ask in (lambda: made["Dog"], lambda: made.save(tmp_path / "out")):
            with pytest.raises(ServiceError, match="answer: expected a ZIP file of stems"):
                ask()
        with pytest.raises(KeyError):
            made.read("query/cow.flac")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_disk_that_is_full_leaves_no_half_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Any, target: Any, *_: Any) -> None:
        target.write(source.read(2))
        raise OSError(28, os.strerror(28))

    with Separation(io.BytesIO(zipped({"query/dog.flac": "woof"}))) as made:
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "copyfileobj", full)
            with pytest.raises(OutputError, match="room for the stems, found No space left"):
                made.save(tmp_path)
        assert list(tmp_path.iterdir()) == []
        made.save(tmp_path)
        assert (tmp_path / "query" / "dog.flac").read_bytes() == b"woof"


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
