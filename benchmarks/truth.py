"""Whether what comes out is true: asked-for sounds, honest states, levels that agree, a residual that is one.

python benchmarks/truth.py DATA [--only pairs states levels events loud] [--pairs 80] [--scenes 24] [--out FOLDER]

DATA is the folder that holds audioset_mini and audioset_mini2. Each part prints the commands that it runs; a smaller
number takes a slice spread over its list. What was before stands beside it where a setting brings it back.

pairs: what is asked for by name and is there, by default and only where it is detected. states: nodes of a recording's
levels. levels, events: scenes. loud: pairs whose target is softer or louder than the rest, beside half of the mixture.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tables import table

from uss_ray import read_index
from uss_ray.evaluation.rows import ScoreRow, read_rows

HERE = Path(__file__).parent
SNR_DB = (-10, -5, 0, 5, 10)


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--pairs", type=int, default=80)
    parser.add_argument("--scenes", type=int, default=24)
    parser.add_argument("--out", type=Path, help="Lists and runs are kept there, and gone on with.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for part in asked.only:
            PARTS[part](asked, asked.out or Path(scratch))


def pairs(asked: argparse.Namespace, out: Path) -> None:
    """Two sources at one level."""
    rows = _scored(asked, out / "pairs", number=asked.pairs)
    table(
        ("asked for by name", "pairs", "separated at all", "detected", "SDRi, mean dB"),
        [
            (
                {"engine": "wherever there is sound", "gated": "only where detected"}[system],
                str(len(own)),
                f"{np.mean([_is_separated(row) for row in own]):.0%}",
                f"{np.mean([bool(row.is_detected) for row in own]):.0%}",
                f"{_mean(own):.2f}",
            )
            for system in ("engine", "gated")
            if (own := _of(rows, system))
        ],
    )


def loud(asked: argparse.Namespace, out: Path) -> None:
    """Targets above and below the rest."""
    # All levels of a pair stand one after the other, so that a slice has to hold whole pairs.
    options = ("--vary-snr-db", *map(str, SNR_DB))
    rows = _scored(asked, out / "loud", *options, number=_odd(asked.pairs) * len(SNR_DB))
    systems = {
        "asked for by name": "engine",
        "half of the mixture": "half",
        "ideal ratio mask": "ideal-ratio-mask",
    }
    table(
        ("SDRi, mean dB, target above the rest by", *(f"{level} dB" for level in SNR_DB)),
        [
            (name, *(f"{_mean(_at(_of(rows, system), level)):.2f}" for level in SNR_DB))
            for name, system in systems.items()
        ],
    )


def states(asked: argparse.Namespace, out: Path) -> None:  # noqa: ARG001
    """Count what becomes of the nodes of levels 1 to 3."""
    recording = str(HERE.parent / "examples" / "archive" / "station.flac")
    _uss_ray("separate", recording, "-o", str(out / "states"), "--levels", "1", "2", "3",
             "--write", "index-only", "--no-report", "--overwrite")  # fmt: skip
    found = Counter(read_index(out / "states").column("status").to_pylist())
    table(("status", "nodes"), [(name, str(count)) for name, count in sorted(found.items())])


def levels(asked: argparse.Namespace, out: Path) -> None:  # noqa: ARG001
    """Stems of levels, each node by itself and as they come."""
    for before in (("--set", 'composition="nodes"'), ()):
        _run(str(HERE / "scenes.py"), str(asked.data), "--scenes", str(asked.scenes), *before)


def events(asked: argparse.Namespace, out: Path) -> None:  # noqa: ARG001
    """Names and times, each segment named by itself and as they come."""
    for before in (("--set", "names_within_seconds=0"), ()):
        _run(str(HERE / "scene_events.py"), str(asked.data), "--scenes", str(asked.scenes), *before)


PARTS = {"pairs": pairs, "states": states, "levels": levels, "events": events, "loud": loud}


def _scored(asked: argparse.Namespace, place: Path, *options: str, number: int) -> list[ScoreRow]:
    data, listed, run = str(asked.data / "audioset_mini"), str(place) + ".parquet", f"{place}-{number}"
    place.parent.mkdir(parents=True, exist_ok=True)
    if not Path(listed).exists():
        _uss_ray("evaluate", "list", "mini", "--data", data, *options, "-o", listed)
    _uss_ray("evaluate", "run", "mini", "--data", data, "--list", listed, "--limit", str(number),
             "--system", "engine", "gated", "--query", "class-mean", "-o", run)  # fmt: skip
    return read_rows(run)


def _of(rows: Sequence[ScoreRow], system: str) -> list[ScoreRow]:
    return [row for row in rows if row.system == system and row.query in ("", "class-mean")]


def _at(rows: Sequence[ScoreRow], level: int) -> list[ScoreRow]:
    return [row for row in rows if row.item_id.endswith(f"/snr {level}")]


def _mean(rows: Sequence[ScoreRow]) -> float:
    return float(np.mean([row.scores["sdri"] for row in rows if "sdri" in row.scores] or [np.nan]))


def _is_separated(row: ScoreRow) -> bool:
    """Silence has an SDR of 0."""
    return abs(row.scores.get("sdri", 0.0) + (row.input_sdr or 0.0)) > 1e-6


def _odd(number: int) -> int:
    return number + 1 - number % 2


def _uss_ray(*options: str) -> None:
    _run("-c", "from uss_ray.cli.main import main; main()", *options, shown=("uss-ray", *options))


def _run(*options: str, shown: Sequence[str] = ()) -> None:
    print("\n$", shlex.join(shown or ("python", *options)), flush=True)
    subprocess.run([sys.executable, *options], check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


if __name__ == "__main__":
    main()
