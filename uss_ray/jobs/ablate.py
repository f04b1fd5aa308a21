"""Compare recipes: `ray job submit -- python -m uss_ray.jobs.ablate BASE OVERLAYS... -o OUTPUT --workers N [options]`.

The options are those of `uss-ray ablate`; the job runs on the cluster that it is submitted to.
"""

from __future__ import annotations

from uss_ray.cli.main import main

if __name__ == "__main__":
    main("ablate")
