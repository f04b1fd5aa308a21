"""What tests of the archive job start from."""

from __future__ import annotations

import pytest

from uss_ray.api.request import Query, request_with


@pytest.fixture
def request_for(tiny_weights, tmp_path):
    """Make a request of level 1 with the smallest weights; settings by their names change it."""

    def make(**changes):
        values = {
            "output": str(tmp_path / "out"),
            "query": Query(levels=(1,)),
            "weights": str(tiny_weights),
            "device": "cpu",
        }
        return request_with(**(values | changes))

    return make
