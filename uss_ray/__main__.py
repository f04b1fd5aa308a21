"""`python -m uss_ray`: what `uss-ray` is, where its script is not on the path."""

from __future__ import annotations

from uss_ray.cli.main import main

if __name__ == "__main__":
    main()
