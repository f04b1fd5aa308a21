"""As `python -m uss_ray.jobs.evaluate`, from a checkout."""

from __future__ import annotations

from uss_ray.cli.main import main

if __name__ == "__main__":
    main("evaluate", "run", "--ray")
