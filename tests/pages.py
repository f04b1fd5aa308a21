"""The blocks of Python that the documentation shows, for tests to run them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
_NEEDS_RAY = re.compile(r"\bimport ray\b|separate_archive")


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
