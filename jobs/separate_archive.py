"""Separate an archive: `ray job submit --working-dir . -- python -m jobs.separate_archive INPUT OUTPUT`."""

from __future__ import annotations

import argparse
import sys

from uss_ray.errors import UssRayError
from uss_ray.pipelines.request import DEFAULT_LEVELS, STARTER_WEIGHTS, Query, SeparationRequest
from uss_ray.pipelines.separate_archive import separate_archive


def main(arguments: list[str] | None = None) -> int:
    """Run the job and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("input", help="folder or URI of the recordings")
    parser.add_argument("output", help="folder or URI of the results")
    parser.add_argument("--levels", type=int, nargs="+", default=list(DEFAULT_LEVELS))
    parser.add_argument("--weights", default=STARTER_WEIGHTS, help="name, folder or URI")
    parser.add_argument("--format", default="flac", choices=["flac", "wav"])
    parser.add_argument("--actors", type=int)
    parser.add_argument("--overwrite", action="store_true")
    options = parser.parse_args(arguments)
    try:
        request = SeparationRequest(
            output=options.output,
            query=Query(levels=tuple(options.levels)),
            weights=options.weights,
            stem_format=options.format,
            overwrite=options.overwrite,
        )
        return separate_archive(options.input, request=request, actors=options.actors).exit_code
    except UssRayError as error:
        sys.stderr.write(f"error: {error.reason}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
