from __future__ import annotations

from pathlib import Path

import pytest

from uss_ray.errors import DataError
from uss_ray.ontology.source import SourceText, read_source


def test_without_a_path_the_packaged_file_is_read() -> None:
    source = read_source(None, packaged="ontology.json")
    assert source.name == "ontology.json"
    assert source.text.lstrip().startswith("[")


def test_a_file_of_the_user_keeps_its_path_and_loses_its_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "klänge.csv"
    path.write_bytes("\ufeffindex,mid\n0,ä\n".encode())
    assert read_source(path, packaged="ontology.json") == SourceText(str(path), "index,mid\n0,ä\n")


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.csv: expected a readable file, found No such file"):
        read_source(tmp_path / "nothing.csv", packaged="ontology.json")
    (tmp_path / "latin.csv").write_bytes(b"ab\xe4")
    with pytest.raises(DataError, match="expected UTF-8 text, found a wrong byte at position 2"):
        read_source(tmp_path / "latin.csv", packaged="ontology.json")
