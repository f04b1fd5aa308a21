"""The rooms of the house are on its page as import-linter has them."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def rooms_of(layer: str) -> list[str]:
    return sorted(name.strip() for name in layer.split("|"))


def test_the_rooms_are_those_that_the_linter_knows_from_top_to_bottom() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [house] = (one["layers"] for one in contracts if one["name"] == "layers point downwards")
    [jobs] = (one["layers"] for one in contracts if one.get("containers") == ["uss_ray.pipelines"])
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    lines = page.partition("## Rooms")[2].split("```")[1].strip().splitlines()
    assert [rooms_of(line.partition("  ")[0]) for line in lines] == [rooms_of(layer) for layer in house]
    [told] = (line.partition("  ")[2].strip() for line in lines if line.startswith("pipelines "))
    assert [rooms_of(layer) for layer in told.partition(":")[0].split("→")] == [
        rooms_of(layer) for layer in jobs
    ]
