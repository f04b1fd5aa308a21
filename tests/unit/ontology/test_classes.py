from __future__ import annotations

from pathlib import Path

import pytest

from uss_ray.errors import DataError, QueryError
from uss_ray.ontology.classes import ClassList

HEADER = "index,mid,display_name\n"


def test_audioset_has_527_trained_classes_in_the_order_of_the_taggers_outputs() -> None:
    classes = ClassList.load()
    assert len(classes) == len(classes.ids) == len(classes.labels) == 527
    assert (classes.ids[0], classes.labels[0]) == ("/m/09x0r", "Speech")
    assert classes.labels[1] == "Male speech, man speaking"
    assert [classes.index(class_id) for class_id in classes.ids] == list(range(527))
    assert "/m/09x0r" in classes
    assert "/m/nothing" not in classes


def test_an_id_that_is_not_trained_is_refused() -> None:
    with pytest.raises(QueryError, match=r"/m/nothing: expected a class id of class_labels_indices\.csv"):
        ClassList.load().index("/m/nothing")


def test_rows_in_any_order_with_a_byte_order_mark_and_blank_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "classes.csv"
    path.write_text(HEADER + '1,x:b,"B, the ""second"""\n\n0, x:a, "A"\n', encoding="utf-8-sig")
    classes = ClassList.load(path)
    assert classes.ids == ("x:a", "x:b")
    assert classes.labels == ("A", 'B, the "second"')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "own.csv: expected the header .*found an empty file"),
        ("index,id,name\n0,a,A\n", "own.csv: expected the header .*found index,id,name"),
        (HEADER, "own.csv: expected at least one class"),
        (HEADER + "0,a,A\n2,c,C\n", "own.csv: expected class indexes 0 to 1 .*found no row of index 1"),
        (HEADER + "1,a,A\n", "found no row of index 0"),
        (HEADER + "0,a,A\n0,b,B\n", "own.csv, line 3: .*found index 0 again"),
        (HEADER + "0,a,A\n1,a,B\n", "own.csv, line 3: .*found a again, first in line 2"),
        (HEADER + "first,a,A\n", "own.csv, line 2: expected a class index from 0 up, found first"),
        (HEADER + "-1,a,A\n", "own.csv, line 2: expected a class index from 0 up, found -1"),
        (HEADER + "0,a\n", "own.csv, line 2: expected three non-empty fields, found 0,a"),
        (HEADER + "0,,A\n", "own.csv, line 2: expected three non-empty fields"),
    ],
)
def test_a_wrong_class_list_is_refused_with_the_file_and_the_line(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "own.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        ClassList.load(path)
