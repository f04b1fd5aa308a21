from __future__ import annotations

import pytest
from torch import nn

from uss_ray.errors import ConfigError
from uss_ray.models.compiled import compile_here


def test_compiling_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match="expected the C\\+\\+ compiler no-such-compiler, found none"):
        compile_here(nn.Linear(2, 2))
