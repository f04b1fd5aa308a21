"""How many stops `uss-ray separate` makes: the functions and files that a request passes through on its way to files.

python benchmarks/stops.py [--list]

A call counts when a function of ours is handed the request, a part of it, or an object that holds one of them. Each
pair of caller and callee counts once, when it first comes, so that neither length nor number of stems matter; a stop is
a stretch of them in one file. One thread, a recording of four seconds, the starter, levels 1 to 3, page and labels.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np
import soundfile
from tables import table

import uss_ray
from uss_ray.api.publisher import write_page
from uss_ray.api.request import Query, SeparationRequest
from uss_ray.api.separator import RecordingSeparator
from uss_ray.api.several import recordings_at
from uss_ray.results.options import WriteOptions

_ROOT = str(Path(uss_ray.__file__).parent) + os.sep
_RATE = 32_000
_INNER = ("<lambda>", "<genexpr>", "<listcomp>", "macro")


class Walk:
    """The calls that hand on a request.

    Parameters
    ----------
    parts : iterable of object
        What the request is made of.
    """

    def __init__(self, parts: Iterable[object]) -> None:
        self._held = {id(part): part for part in parts}
        self._seen: set[tuple[CodeType, CodeType]] = set()
        self.calls: list[tuple[str, str]] = []

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """See `sys.setprofile`."""
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(_ROOT) or code.co_name in _INNER:
            return
        arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        if not any(self._hands_on(frame.f_locals.get(name)) for name in arguments):
            return
        above = frame.f_back
        while above is not None and not above.f_code.co_filename.startswith(_ROOT):
            above = above.f_back
        pair = (code if above is None else above.f_code, code)
        if pair not in self._seen:
            self._seen.add(pair)
            self.calls.append((code.co_filename.removeprefix(_ROOT), code.co_qualname))

    def _hands_on(self, value: object) -> bool:
        if id(value) in self._held:
            return True
        if any(id(part) in self._held for part in _parts(value)):
            self._held[id(value)] = value  # kept, so that no other gets its id
            return True
        return False


def _parts(value: object) -> list[object]:
    """Give what an object of ours holds of ours: a number or a tuple is many things' part."""
    slots = [name for above in type(value).__mro__ for name in getattr(above, "__slots__", ())]
    held = [*getattr(value, "__dict__", {}).values(), *(getattr(value, name, None) for name in slots)]
    return [part for part in held if type(part).__module__.startswith(f"{uss_ray.__name__}.")]


def _all_parts(value: object) -> list[object]:
    return [value, *itertools.chain.from_iterable(_all_parts(part) for part in _parts(value))]


def walked(work: Callable[[], object], request: SeparationRequest) -> list[tuple[str, list[str]]]:
    """Do some work, and give its stops: the file of each, and the functions there."""
    walk = Walk(_all_parts(request))
    sys.setprofile(walk)
    try:
        work()
    finally:
        sys.setprofile(None)
    return [
        (file, [name for _, name in calls])
        for file, calls in itertools.groupby(walk.calls, key=lambda call: call[0])
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="name each stop")
    as_list = parser.parse_args().list
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "noise.wav"
        noise = np.random.default_rng(0).standard_normal(4 * _RATE)
        soundfile.write(place, 0.1 * noise, _RATE)
        request = SeparationRequest(
            output=Path(folder) / "out",
            query=Query(levels=(1, 2, 3)),
            write=WriteOptions(labels=("audacity", "csv")),
            device="cpu",
        )

        def separate() -> None:
            (given,) = recordings_at([str(place)], request=request)
            RecordingSeparator(request).separate(given)
            write_page(request.output_store, write=request.write)

        stops = walked(separate, request)
    if as_list:
        table(("file", "functions"), [(file, ", ".join(names)) for file, names in stops])
    calls = sum(len(names) for _, names in stops)
    files = len({file for file, _ in stops})
    table(("stops", "files", "calls"), [(str(len(stops)), str(files), str(calls))])


if __name__ == "__main__":
    main()
