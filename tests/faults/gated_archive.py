"""`uss-ray archive` as a process to be killed: the product's own command line, its workers held at a gate.

`python -m tests.faults.gated_archive FOLDER INPUT OUTPUT [options]`; for FOLDER see `Gate`.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from tests.faults.disturbances import DisturbedSeparator, Gate
from uss_ray.cli.main import main
from uss_ray.pipelines.archive import job

if __name__ == "__main__":
    name, folder, *arguments = sys.argv
    make_separator = partial(DisturbedSeparator, deed=Gate(Path(folder)))
    job.separate_archive = partial(job.separate_archive, make_separator=make_separator)
    sys.argv = [name, "archive", *arguments]
    main()
