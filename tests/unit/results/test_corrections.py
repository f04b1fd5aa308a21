"""What a person said, read back from files."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from uss_ray.errors import DataError
from uss_ray.results.corrections import Correction, Corrections, read_corrections

SCHEMA = Path(__file__).parents[3] / "docs" / "corrections.schema.json"


def said(**changes: Any) -> dict[str, Any]:
    return {
        "recording_id": "tapes/ä, \"b\".wav",
        "node_id": "/m/0bt9lr",
        "label": "Dog",
        "level": 3,
        "start_seconds": None,
        "end_seconds": None,
        "verdict": "right",
        "status": "written",
        "probability": 0.75,
        "weights_sha256": "ab",
        "noted_at": "2026-01-01T12:00:00.000Z",
    } | changes  # fmt: skip


def as_json(*corrections: dict[str, Any]) -> str:
    return json.dumps({"format": "uss-ray-corrections", "version": 1, "corrections": corrections})


def as_csv(*corrections: dict[str, Any]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(said()), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(corrections)
    return text.getvalue()


def test_json_and_csv_say_the_same(tmp_path: Path) -> None:
    corrections = [said(), said(node_id="query:q", level=None, probability=None, verdict="wrong")]
    (tmp_path / "a.json").write_text(as_json(*corrections))
    (tmp_path / "a.csv").write_text(as_csv(*corrections), encoding="utf-8-sig", newline="")
    read = read_corrections([tmp_path / "a.json"])
    assert read.corrections == tuple(Correction(**one) for one in corrections)
    assert read_corrections([tmp_path / "a.csv"]) == read
    assert len(read_corrections([tmp_path / "a.csv", tmp_path / "a.json"]).corrections) == 4


def test_the_last_word_counts() -> None:
    early, late = (
        said(noted_at="2026-01-01T00:00:00Z"),
        said(noted_at="2026-01-02T00:00:00Z", verdict="wrong"),
    )
    other = said(start_seconds=2.0, end_seconds=3.0)
    latest = Corrections(corrections=tuple(Correction(**one) for one in (late, early, other))).latest()
    assert {key[2] for key in latest} == {None, 2.0}
    assert latest[early["recording_id"], "/m/0bt9lr", None].verdict == "wrong"


@pytest.mark.parametrize(
    ("status", "verdict", "is_there"),
    [
        ("written", "right", True),
        ("written", "wrong", False),
        ("absent", "right", False),
        ("absent", "wrong", True),
    ],
)
def test_right_means_that_what_the_index_says_is_so(status: str, verdict: str, is_there: bool) -> None:
    assert Correction(**said(status=status, verdict=verdict)).is_there is is_there


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{not json", "version 1"),
        (as_json(said(verdict="perhaps")), "verdict"),
        (as_json(said()).replace('"version": 1', '"version": 2'), "version"),
        (as_json(said()).replace("uss-ray-corrections", "another"), "format"),
        ("recording_id,verdict\r\na.wav,right\r\n", "node_id"),
        (as_csv(said(), said(probability="7")), "line 3"),
        ("", "found an empty one"),
        ("[]", "JSON of another format"),
        ("{}", "JSON of another format"),
        ("a,b\n1,2\n", "CSV of something else"),
    ],
)
def test_what_is_no_file_of_corrections_is_told_by_its_place(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(DataError, match=r"a\.txt") as caught:
        read_corrections([tmp_path / "a.txt"])
    assert named in str(caught.value)


def test_the_schema_of_the_documentation_is_that_of_the_reader() -> None:
    schema = json.loads(SCHEMA.read_text())
    assert schema == Corrections.model_json_schema()
    jsonschema.validate(json.loads(as_json(said(), said(level=None))), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(as_json(said(verdict="perhaps"))), schema)


def test_what_is_neither_json_nor_csv_names_the_file(tmp_path):
    (tmp_path / "x").write_text("a" * 200_000)
    with pytest.raises(DataError, match="found neither"):
        read_corrections([tmp_path / "x"])
