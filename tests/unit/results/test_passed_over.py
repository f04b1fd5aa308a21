from __future__ import annotations

from uss_ray.results.passed_over import PassedOver


def test_kinds_are_counted_whatever_their_case_and_the_rarest_are_summed_up() -> None:
    passed = PassedOver()
    passed.add(["a.txt", "b/c.TXT", "README", "d.jpg", "e.jpg", "f.jpg"])
    passed.add(["x.xml"])
    assert passed.count == 7
    assert passed.line() == "7 files are no recordings (3 .jpg, 2 .txt, 1 without an ending, 1 others)"
    assert passed.record()["kinds"] == {".jpg": 3, ".txt": 2, "": 1, ".xml": 1}


def test_one_file_is_singular() -> None:
    passed = PassedOver()
    passed.add(["a.txt"])
    assert passed.line() == "1 file is no recording (1 .txt)"


def test_names_are_kept_of_the_first_hundred_only() -> None:
    passed = PassedOver()
    for first in range(0, 250, 50):
        passed.add([f"{number}.txt" for number in range(first, first + 50)])
    assert passed.record()["count"] == 250
    assert passed.names == [f"{number}.txt" for number in range(100)]
