from __future__ import annotations

import pytest
import torch

from uss_ray.errors import ConfigError
from uss_ray.models.device import find_device


def test_a_device_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device("auto") == torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "found"), [("cuda:99", r"(a torch|no GPU|\d+ GPUs)"), ("warp:0", "Expected one of")]
)
def test_one_that_is_not_there_is_named(name: str, found: str) -> None:
    with pytest.raises(
        ConfigError, match=f"device {name}: expected a device of this machine.*, found {found}"
    ):
        find_device(name)
