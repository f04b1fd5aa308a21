from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "mining.miner",
        "mining.settings",
        "mining.purity",
        "anchors.stream",
        "anchors.shards",
        "anchors.manifest",
    ],
)
def test_reading_and_writing_anchors_loads_no_network(module: str) -> None:
    code = f"import uss_ray.{module}, sys; print(sorted({{'torch', 'ray'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
