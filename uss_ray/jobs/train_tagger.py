"""Train a tagger: `ray job submit -- python -m uss_ray.jobs.train_tagger FILES... --workers N [options]`.

The options are those of `uss-ray train tagger`; the job runs on the cluster that it is submitted to.
"""

from __future__ import annotations

from uss_ray.cli.main import main

if __name__ == "__main__":
    main("train", "tagger")
