from __future__ import annotations

import json

import pytest

from uss_ray.errors import UssRayError, WeightsError
from uss_ray.ontology.graph import Ontology
from uss_ray.parsing import read_json, read_object
from uss_ray.results.corrections import read_corrections
from uss_ray.sources.listing import list_recordings
from uss_ray.weights.folder import listed_files

DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize("text", [DEEP, "{", "", '{"a": 1} more'])
def test_what_is_no_json_is_one_kind_of_fault(text):
    with pytest.raises(json.JSONDecodeError):
        read_json(text)


def test_bytes_that_are_no_text_are_a_value_error():
    with pytest.raises(ValueError, match="utf-8"):
        read_json(b'"\xff"')


@pytest.mark.parametrize("text", ["{", b"\xff", DEEP, "[1]"])
def test_what_is_no_object_is_told_by_its_name(text):
    with pytest.raises(WeightsError, match=r"a\.json: expected the facts, found "):
        read_object(text, item="a.json", expected="the facts", error=WeightsError)
    assert read_object('{"a": 1}', item="a.json") == {"a": 1}


@pytest.fixture
def deep_file(tmp_path):
    def make(name, text=DEEP):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return make


@pytest.mark.parametrize(
    "read",
    [
        lambda make: list(list_recordings(make("a.jsonl", f'{{"uri": {DEEP}}}\n'))),
        lambda make: Ontology.load(make("ontology.json")),
        lambda make: listed_files("config.json", DEEP.encode()),
        lambda make: read_corrections([make("corrections.json", f'{{"a": {DEEP}}}')]),
    ],
    ids=["manifest", "ontology", "weights", "corrections"],
)
def test_whoever_reads_it_says_which_file_it_is(read, deep_file):
    with pytest.raises(UssRayError, match="Nested too deeply"):
        read(deep_file)
