"""JSON that others wrote is read in one place, which knows what they may do."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]

OWN = {
    "uss_ray/audio/tags.py",  # a column between two stages of a run
    "uss_ray/jobs/run_job.py",  # a plan that was made in the line before
    "uss_ray/pipelines/runtime/identity.py",  # settings as this process wrote them
    "uss_ray/results/report/archive.py",  # facts as a page would have them
}
"""Modules that parse what their own process wrote."""


def test_what_others_wrote_is_parsed_by_the_parser() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "uss_ray").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("json.load", "json.loads")
    }
    assert found == OWN | {"uss_ray/parsing.py"}
