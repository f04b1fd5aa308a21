from __future__ import annotations

from uss_ray.results import passed_over as module
from uss_ray.results.passed_over import PassedOver
from uss_ray.store.walk import Unlisted


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


def test_what_may_hold_recordings_that_are_listed_nowhere_else_is_counted() -> None:
    passed = PassedOver()
    passed.add_unlisted([Unlisted("up: a link that leads out", False)])
    assert passed.lines() == ["left out of the listing: up: a link that leads out"]
    passed.add_unlisted([Unlisted("tapes: no permission", True)])
    told = "up: a link that leads out; tapes: no permission"
    assert passed.lines() == [f"left out of the listing (1 counted as failed): {told}"]
    assert (passed.record()["unlisted_count"], passed.record()["lost_count"]) == (2, 1)


def test_names_that_all_end_otherwise_are_counted_in_bounded_memory(monkeypatch):
    """Such as `part.000001`, a number each."""
    monkeypatch.setattr(module, "_MOST_KINDS", 20)
    monkeypatch.setattr(module, "_KINDS_RECORDED", 5)
    passed = PassedOver()
    passed.add([f"a.{number:06}" for number in range(1000)])
    passed.add(["b.000000", "c"])
    assert len(passed.kinds) == 21
    assert passed.count == 1002
    kinds = passed.record()["kinds"]
    assert (len(kinds), kinds[".000000"], sum(kinds.values())) == (6, 2, 1002)
    assert passed.line().endswith("998 others)")
