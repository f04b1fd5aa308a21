"""The index of the decisions is current, and what one says of another stands in both."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pages import ROOT, maker


def written(folder: Path, *statuses: str) -> Path:
    for number, status in enumerate(statuses, 1):
        (folder / f"{number:04d}-one.md").write_text(f"# {number}. One\n\nStatus: {status}\n\n## Decision\n")
    return folder


def test_the_index_is_current() -> None:
    page = (ROOT / "docs" / "adr" / "README.md").read_text(encoding="utf-8")
    assert page == maker("make_adr").page(), "run: python docs/make_adr.py"


def test_what_a_decision_says_of_another_stands_in_both() -> None:
    makes = maker("make_adr")
    assert makes.unanswered(makes.decisions()) == []


@pytest.mark.parametrize(
    ("older", "newer", "missing"),
    [
        ("accepted", "accepted. Extends 1 (of 7).", ["ADR 1: expected 'extended by 2' in its status"]),
        (
            "accepted",
            "accepted. Takes back a line of 1.",
            ["ADR 1: expected 'taken back by 2' in its status"],
        ),
        ("accepted; extended by 2", "accepted", ["ADR 2: expected 'extends 1' in its status"]),
        ("accepted; extended by 2", "accepted; takes back 1", None),
        ("accepted. Issue 9; extended by 2.", "accepted. Issue 9; extends 1.", []),
        ("superseded by ADR 2; gone", "accepted; takes the place of ADR 1", []),
        ("accepted; taken back in part by 2 (1.5 of it)", "accepted; takes back a part of 1", []),
        ("accepted", "accepted. Extends 9.", ["ADR 2 extends 9, which there is not"]),
    ],
)
def test_a_reference_without_its_answer_is_named(
    older: str, newer: str, missing: list[str] | None, tmp_path: Path
) -> None:
    makes = maker("make_adr")
    found = makes.unanswered(makes.decisions(written(tmp_path, older, newer)))
    assert len(found) == 2 if missing is None else found == missing


def test_a_decision_without_a_status_is_named(tmp_path: Path) -> None:
    (tmp_path / "0003-one.md").write_text("# 3. One\n\n## Decision\n")
    with pytest.raises(ValueError, match=r"0003-one.md: expected '# 3\. Title'.* found '# 3\. One"):
        maker("make_adr").decisions(tmp_path)
