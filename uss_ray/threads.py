"""How the threads of numeric libraries wait for each other: they spin for a moment, then sleep.

Threads that spin for long take the core from the one that they wait for, where they are not alone on their cores;
threads that sleep at once lose a quarter of the time where they are (docs/log.md).
"""

from __future__ import annotations

import os

PATIENT_THREADS = {"GOMP_SPINCOUNT": "10000", "OPENBLAS_NUM_THREADS": "1"}
"""Environment of a process; read when torch and numpy are loaded."""


def wait_patiently() -> None:
    """Set it for this process and those it starts, where nobody has chosen otherwise."""
    for name, value in PATIENT_THREADS.items():
        os.environ.setdefault(name, value)
