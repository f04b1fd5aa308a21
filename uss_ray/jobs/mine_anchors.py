"""Mine anchors: `ray job submit -- python -m uss_ray.jobs.mine_anchors SEGMENTS_CSV... AUDIO OUTPUT [options]`.

The options are those of `uss-ray mine`; the job runs on the cluster that it is submitted to.
"""

from __future__ import annotations

from uss_ray.cli.main import main

if __name__ == "__main__":
    main("mine")
