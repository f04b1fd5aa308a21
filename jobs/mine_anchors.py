"""As `python -m uss_ray.jobs.mine_anchors`, for command lines from before jobs were in the package."""

from __future__ import annotations

from uss_ray.cli.main import main

if __name__ == "__main__":
    main("mine")
