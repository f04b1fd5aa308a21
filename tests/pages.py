"""What the documentation is made by and shows, for tests to run it."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
_NEEDS_RAY = re.compile(r"\bimport ray\b|separate_archive")


def maker(name: str) -> ModuleType:
    """Load a script of docs/, which is in no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def blocks_of(page: str, *, with_ray: bool) -> list[str]:
    """Give the blocks of a page in their order.

    Parameters
    ----------
    page : str
        Its name in the checkout.
    with_ray : bool
        Those that start Ray; or all others.
    """
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    return [block for block in blocks if bool(_NEEDS_RAY.search(block)) == with_ray]
