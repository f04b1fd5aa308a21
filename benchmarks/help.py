"""How long help takes, and how much of a CPU: each command line beside `python -c pass`, in one run, best of several.

python benchmarks/help.py [--repeats 7]

The aim is half a second on an idle core. CPU time and ratio tell whether a slow figure is the machine's.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

from tables import table

LINES = (
    "--version",
    "--help",
    "weights --help",
    "separate --help",
    "archive --help",
    "mine --help",
    "find --help",
)


def seconds(code: str, *, repeats: int) -> tuple[float, float]:
    """Time a fresh interpreter that runs some code: the shortest run, and the least CPU time."""
    walls, cpus = [], []
    for _ in range(repeats):
        started, before = time.monotonic(), os.times()
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        walls.append(time.monotonic() - started)
        cpus.append(
            after.children_user - before.children_user + after.children_system - before.children_system
        )
    return min(walls), min(cpus)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    nothing, cpu = seconds("pass", repeats=repeats)
    rows = [("python -c pass", f"{nothing:.3f}", f"{cpu:.2f}", "1.0")]
    for line in LINES:
        taken, cpu = seconds(f"from uss_ray.cli.main import run; run({line.split()!r})", repeats=repeats)
        rows.append((f"uss-ray {line}", f"{taken:.3f}", f"{cpu:.2f}", f"{taken / nothing:.1f}"))
    table(("command", "seconds", "CPU seconds", "ratio"), rows)


if __name__ == "__main__":
    main()
