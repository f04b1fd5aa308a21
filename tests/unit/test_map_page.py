from __future__ import annotations

from tests.pages import ROOT, maker


def test_the_map_of_the_house_is_current():
    page = maker("make_map").page()
    assert (ROOT / "docs" / "map.md").read_text(encoding="utf-8") == page, "run: python docs/make_map.py"
    assert ": \n" not in page
    assert not page.endswith(": ")
