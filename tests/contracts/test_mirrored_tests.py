"""Each module with logic has its tests where one looks for them: `uss_ray/a/b.py` in `tests/unit/a/test_b.py`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST_STATEMENTS_WITHOUT_TESTS = 5


def statements_of_functions(source: str) -> int:
    """Count what a module does: the statements in its functions, without docstrings and what only stands for a body."""
    functions = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    nested = {id(inner) for function in functions for inner in ast.walk(function) if inner is not function}
    return sum(
        isinstance(node, ast.stmt) and not is_bare_constant(node)
        for function in functions
        if id(function) not in nested
        for statement in function.body
        for node in ast.walk(statement)
    )


def is_bare_constant(node: ast.stmt) -> bool:
    """Tell a docstring or the dots of a protocol."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def test_every_module_with_logic_has_its_tests():
    modules = sorted(path.relative_to(ROOT / "uss_ray") for path in (ROOT / "uss_ray").rglob("*.py"))
    without = [
        str(module)
        for module in modules
        if module.stem != "__init__"
        and not (ROOT / "tests" / "unit" / module.parent / f"test_{module.stem}.py").exists()
        and statements_of_functions((ROOT / "uss_ray" / module).read_text()) > MOST_STATEMENTS_WITHOUT_TESTS
    ]
    assert without == []


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("import a\nB = 1", 0),
        ('def f():\n    """Say."""\n    return 1', 1),
        ("class P:\n    def f(self):\n        ...\n    x: int = 1", 0),
        ("def f():\n    def g():\n        return 1\n    if g():\n        return 2\n    return 3", 5),
    ],
)
def test_statements_are_counted_once_and_only_in_functions(source, count):
    assert statements_of_functions(source) == count
