"""Each link of a page in the checkout leads to a file, and to a heading of it, that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.pages import ROOT

ROOMS = ("docs", "benchmarks", "deploy", "examples", "tests", "uss_ray", "weights")
PAGES = sorted([*ROOT.glob("*.md"), *(page for room in ROOMS for page in (ROOT / room).rglob("*.md"))])


def prose(text: str) -> str:
    """Leave out blocks and spans of code, in which brackets are no links."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def anchors(text: str) -> set[str]:
    """Give the names of headings, as GitHub makes them."""
    headings = re.findall(
        r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> list[str]:
    found = []
    for link in re.findall(r"\]\(([^()\s]+)\)", prose(page.read_text(encoding="utf-8"))):
        place, _, anchor = link.partition("#")
        target = page.parent / place if place else page
        if re.match(r"[a-z]+:", link):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    assert dead_links(page) == []


def test_dead_links_are_seen(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# One `two`, (three)\n```\n# four\n```\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md) [b](other.md#one-two-three) [c](#d) [`d`](gone.md) [e](other.md#four) [f](https://example.org/x)\n"
        "`[g](h)`\n```\n[i](j)\n```\n"
    )
    assert dead_links(page) == ["#d", "gone.md", "other.md#four"]
