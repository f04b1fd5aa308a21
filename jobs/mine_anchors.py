"""Mine anchors: `ray job submit --working-dir . -- python -m jobs.mine_anchors SEGMENTS_CSV... AUDIO OUTPUT [options]`.

The options are those of `uss-ray mine`; the job runs on the cluster that it is submitted to.
"""

from __future__ import annotations

import sys

from uss_ray.cli.main import run
from uss_ray.cli.stopping import end_on_signals


def main(arguments: list[str]) -> int:
    """Run the job and return its exit code."""
    return run(["mine", *arguments])


if __name__ == "__main__":
    end_on_signals()
    sys.exit(main(sys.argv[1:]))
