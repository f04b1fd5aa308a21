"""Peak memory of separating one long recording, beside the same of a short one.

Usage: python benchmarks/memory.py [--minutes 60] [--levels 1 2 3]

Both repeat the recordings of examples/archive (48 kHz stereo, FLAC). The command line separates each in a process
of its own; the ratio of the two peaks is what says whether memory grows with length.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import soxr
from archive_watch import peak_of_command

ARCHIVE = Path(__file__).parents[1] / "examples" / "archive"
RATE = 48_000


def make_recording(path: Path, *, seconds: float) -> None:
    """Write a stereo recording of the wanted length from the example recordings, over and over."""
    pieces = []
    for source in sorted(p for p in ARCHIVE.iterdir() if p.suffix not in {".md", ".csv"}):
        audio, rate = soundfile.read(source, dtype="float32", always_2d=True)
        audio = soxr.resample(audio, rate, RATE)
        pieces.append(audio if audio.shape[1] == 2 else np.repeat(audio, 2, axis=1))
    left = round(seconds * RATE)
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16") as out:
        while left > 0:
            for piece in pieces:
                out.write(piece[:left])
                left -= min(left, len(piece))


def peak_mebibytes(recording: Path, *, output: Path, options: list[str]) -> tuple[float, float]:
    """Separate and return (peak resident memory in MiB, wall time in s)."""
    started = time.monotonic()
    peak = peak_of_command(["separate", str(recording), "-o", str(output), *options])
    return peak, time.monotonic() - started


def main() -> None:
    """Run both and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--short-minutes", type=float, default=1.0)
    parser.add_argument("--levels", nargs="+", default=["1", "2", "3"])
    arguments = parser.parse_args()
    options = ["--levels", *arguments.levels]
    result: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, minutes in (("short", arguments.short_minutes), ("long", arguments.minutes)):
            recording = Path(folder) / f"{name}.flac"
            make_recording(recording, seconds=60 * minutes)
            peak, wall = peak_mebibytes(recording, output=Path(folder) / name, options=options)
            result |= {
                f"{name}_minutes": minutes,
                f"{name}_peak_mib": round(peak),
                f"{name}_wall_s": round(wall, 1),
            }
    result["ratio"] = round(result["long_peak_mib"] / result["short_peak_mib"], 2)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
