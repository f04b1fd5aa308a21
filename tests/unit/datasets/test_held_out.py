"""Classes left out of training: whole clips go, and what lies below a class goes with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from uss_ray.datasets.held_out import WithoutClasses, read_class_list, without_classes
from uss_ray.datasets.segments import ClipRecord, read_segments
from uss_ray.errors import DataError
from uss_ray.ontology.vocabulary import Vocabulary

BARK, DOG, RAIN, SPEECH = "/m/05tny_", "/m/0bt9lr", "/m/06mb1", "/m/09x0r"


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.load()


@pytest.fixture
def segments(tmp_path: Path) -> Path:
    (tmp_path / "a.csv").write_text(
        f'one, 0, 10, "{BARK},{DOG},{RAIN}"\ntwo, 1.5, 9.25, "{RAIN}"\nsix, 0, 10, "{SPEECH}"\n'
    )
    return tmp_path / "a.csv"


def test_a_class_goes_with_all_that_lies_below_it(
    segments: Path, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    (tmp_path / "held.txt").write_text("# animals\n\nDog  # its barks too\n")
    held = read_class_list(tmp_path / "held.txt", vocabulary=vocabulary)
    assert {DOG, BARK} <= held
    assert RAIN not in held
    left = without_classes([segments], held, vocabulary=vocabulary)
    assert [clip.clip_id for clip in left.kept] == ["two", "six"]
    assert (left.dropped, left.lost) == (1, ())
    (tmp_path / "left.csv").write_bytes(left.to_csv(vocabulary))
    index = {class_id: place for place, class_id in enumerate(vocabulary.classes.ids)}
    assert read_segments(tmp_path / "left.csv", class_index=index) == list(left.kept)


def test_times_are_written_as_they_are_read_again(vocabulary: Vocabulary, tmp_path: Path) -> None:
    times = (
        (0.0, 10.0),
        (1234.567, 1244.567),
        (1234567.0, 1234577.0),
        (100000.5, 100010.25),
        (0.1, 1 / 3 + 7),
    )
    kept = tuple(ClipRecord("one", start, end, (0,)) for start, end in times)
    text = WithoutClasses(kept, 0, ()).to_csv(vocabulary)
    assert text.splitlines()[0].startswith(b"one,0,10,")
    (tmp_path / "left.csv").write_bytes(text)
    index = {class_id: place for place, class_id in enumerate(vocabulary.classes.ids)}
    assert read_segments(tmp_path / "left.csv", class_index=index) == list(kept)


def test_classes_that_lose_all_clips_with_it_are_told(segments: Path, vocabulary: Vocabulary) -> None:
    left = without_classes([segments], {BARK}, vocabulary=vocabulary)
    assert left.lost == ("Dog",)
    with pytest.raises(DataError, match="expected clips without these classes, found none"):
        without_classes([segments], {BARK, RAIN, SPEECH}, vocabulary=vocabulary)


@pytest.mark.parametrize(
    ("text", "message"),
    [("Speech\nNo such sound\n", "held.txt line 2"), ("# nothing\n", "a class a line, found none")],
)
def test_a_list_of_something_else_is_refused(
    text: str, message: str, tmp_path: Path, vocabulary: Vocabulary
) -> None:
    (tmp_path / "held.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        read_class_list(tmp_path / "held.txt", vocabulary=vocabulary)
