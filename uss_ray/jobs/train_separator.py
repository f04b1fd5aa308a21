"""Train a separator: `ray job submit -- python -m uss_ray.jobs.train_separator FILES... --workers N [options]`.

The options are those of `uss-ray train separator`; the job runs on the cluster that it is submitted to.
"""

from __future__ import annotations

from uss_ray.cli.main import main

if __name__ == "__main__":
    main("train", "separator")
