"""What an evaluation costs beside the networks: wall time of `uss-ray evaluate run` over that inside their forwards.

    python benchmarks/evaluation.py DATA --items 720

DATA is a set with known events, or a folder of several. All times are of the same run, so a busy machine slows them
alike. Files are read, and baselines scored, in a thread beside the networks: CPU of the thread that the networks run in
is what an idle machine takes, that of all threads what a single core takes. A forward of a separator goes from a
waveform to a waveform, so its STFT and the way back are part of it, wherever the engine calls them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from tables import table

from uss_ray.evaluation import run
from uss_ray.evaluation.request import EvaluationRequest
from uss_ray.pipelines.evaluation.local import evaluate_here
from uss_ray.weights import STARTER
from uss_ray.weights.locate import load_weights


class Forwards:
    """Seconds inside the networks; a network within a network counts once."""

    def __init__(self, *networks: object) -> None:
        self.seconds, self.cpu, self.calls, self._inside = 0.0, 0.0, 0, False
        for network in networks:
            for name in ("forward", "masks", "listen", "masks_of"):
                if hasattr(network, name):
                    setattr(network, name, self._timed(getattr(network, name)))
            transform = getattr(network, "stft", None)
            for name in ("forward", "inverse") if transform is not None else ():
                setattr(transform, name, self._timed(getattr(transform, name), is_forward=False))

    def _timed(self, call: Callable[..., Any], *, is_forward: bool = True) -> Callable[..., Any]:
        def timed(*values: Any, **named: Any) -> Any:
            if self._inside:
                return call(*values, **named)
            self._inside, began, cpu = True, time.perf_counter(), time.thread_time()
            try:
                return call(*values, **named)
            finally:
                self._inside = False
                self.seconds += time.perf_counter() - began
                self.cpu += time.thread_time() - cpu
                self.calls += is_forward

        return timed


def main() -> None:
    """Score pairs by class means, and print what the time went into."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--items", type=int, default=720)
    parser.add_argument("--weights", default=STARTER)
    parser.add_argument("--list", default=None)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    weights = load_weights(asked.weights)
    forwards = Forwards(weights.separator, weights.tagger)
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(run, "load_weights", lambda _, **_storage: weights),
    ):
        request = EvaluationRequest(
            benchmark="mini",
            data=asked.data,
            list=asked.list,
            weights=asked.weights,
            limit=asked.items,
            allow_unknown=True,
            output=folder,
        )
        clocks = (time.perf_counter, time.thread_time, time.process_time)
        began = [clock() for clock in clocks]
        result = evaluate_here(request)
        wall, own, cpu = (clock() - then for clock, then in zip(clocks, began, strict=True))
    spent = result.made["seconds"]
    table(
        ("what", "seconds", "share of wall time"),
        [
            (what, f"{seconds:.1f}", f"{seconds / wall:.1%}")
            for what, seconds in (("wall", wall), ("inside the networks", forwards.seconds), *spent.items())
        ],
    )
    print(
        f"\n{result.scored} items, {forwards.calls} forwards, {forwards.cpu:.0f} s of CPU; over networks: wall "
        f"{wall / forwards.seconds:.2f}; CPU {own / forwards.cpu:.2f} beside a core that reads, "
        f"{cpu / forwards.cpu:.2f} with all that is read and scored beside"
    )


if __name__ == "__main__":
    main()
