"""How the threads of numeric libraries wait for each other: by sleeping, for they are not alone on their cores.

Threads that spin take the core from the one that they wait for. Measured with two busy processes beside it on two
cores: 76 s spinning, 13 s sleeping, for what takes 8 s alone either way (docs/log.md).
"""

from __future__ import annotations

import os

PATIENT_THREADS = {"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1"}
"""Environment of a process; read when torch and numpy are loaded."""


def wait_patiently() -> None:
    """Set it for this process and those it starts, where nobody has chosen otherwise."""
    for name, value in PATIENT_THREADS.items():
        os.environ.setdefault(name, value)
