"""The application that Ray Serve is told to run: `serve run serve_app.app:app service.tokens=tokens.yaml`."""

from __future__ import annotations

from typing import Any

from ray import serve

from uss_ray.pipelines.serving.application import build
from uss_ray.pipelines.serving.options import Serving
from uss_ray.service.tokens import Tokens


def app(arguments: dict[str, Any]) -> serve.Application:
    """Make the application from the arguments of `serve run`, or `args` of a configuration of Serve."""
    serving = Serving.of(arguments)
    Tokens.of(serving.service.tokens)  # or each front finds out by itself that they are wrong
    return build(serving)
