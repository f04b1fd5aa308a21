"""`uss-ray archive` as a process to be killed: the product's own command line, its workers held at a gate.

`python -m tests.faults.gated_archive FOLDER INPUT OUTPUT [options]`; for FOLDER see `Gate`.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from tests.faults.disturbances import DisturbedSeparator, Gate
from tests.faults.stops import noting_stops
from uss_ray.cli.main import main
from uss_ray.pipelines.archive import job
from uss_ray.pipelines.runtime.stopping import StopRequest

TOLD = "told"
"""File in the folder of the gate, there once the run's workers can know that it is to stop."""


if __name__ == "__main__":
    name, folder, *arguments = sys.argv
    StopRequest.__init__ = noting_stops(Path(folder) / TOLD)  # type: ignore[method-assign]
    make_separator = partial(DisturbedSeparator, deed=Gate(Path(folder)))
    job.separate_archive = partial(job.separate_archive, make_separator=make_separator)
    sys.argv = [name, "archive", *arguments]
    main()
