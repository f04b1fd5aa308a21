from __future__ import annotations

import pytest

from uss_ray import Separator


@pytest.fixture(scope="session")
def separator(tiny_weights):
    """The small weights, loaded once; they always hear a dog, speech and music."""
    return Separator.from_pretrained(tiny_weights, device="cpu")
