"""A clock for one module: that of the process is also that of other tests' servers, and of every thread."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest


def set_clock(monkeypatch: pytest.MonkeyPatch, module: str, **changed: Any) -> None:
    """Have a module that says `time.sleep`, `time.time` or `time.monotonic` get other functions, and no other one."""
    kept = {name: getattr(time, name) for name in ("monotonic", "sleep", "time")}
    monkeypatch.setattr(sys.modules[module], "time", SimpleNamespace(**(kept | changed)))
