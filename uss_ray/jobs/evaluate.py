"""Score a benchmark: `ray job submit -- python -m uss_ray.jobs.evaluate BENCHMARK --data DATA -o RUN [options]`.

The options are those of `uss-ray evaluate run`; the job runs on the cluster that it is submitted to.
"""

from __future__ import annotations

from uss_ray.cli.main import main

if __name__ == "__main__":
    main("evaluate", "run", "--ray")
