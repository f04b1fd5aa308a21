"""Networks that are compiled for this machine, where it can."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

from uss_ray.errors import ConfigError

P = ParamSpec("P")
R = TypeVar("R")


def compile_here(network: Callable[P, R], *, dynamic: bool = False) -> Callable[P, R]:
    """Give what does the same, compiled at its first call: tens of seconds, then faster.

    Parameters
    ----------
    network : callable
        A network, or a method of one.
    dynamic : bool, default=False
        Whether inputs have many shapes.

    Raises
    ------
    ConfigError
        If there is no C++ compiler.
    """
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise ConfigError("compiled networks", expected=f"the C++ compiler {compiler}", found="none")
    faster: Callable[P, R] = torch.compile(network, dynamic=dynamic)
    return faster
