"""For a checkout: `serve run serve_app.app:app service.tokens=FILE`; the package has it in `pipelines.serving`."""

from __future__ import annotations

from uss_ray.pipelines.serving.application import app

__all__ = ["app"]
