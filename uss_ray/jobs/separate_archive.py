"""Separate an archive: `ray job submit -- python -m uss_ray.jobs.separate_archive INPUT OUTPUT [options]`.

The options are those of `uss-ray archive`; the job runs on the cluster that it is submitted to.
"""

from __future__ import annotations

from uss_ray.cli.main import main

if __name__ == "__main__":
    main("archive")
