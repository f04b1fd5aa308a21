"""The application on Ray Serve: fronts that need no CPU of their own, and separators."""

from __future__ import annotations

from typing import Any, Final

from ray import serve

from uss_ray.pipelines.serving.front import Front
from uss_ray.pipelines.serving.keeper import JobKeeper
from uss_ray.pipelines.serving.options import Serving
from uss_ray.pipelines.serving.separator import MakeBackend, Separator
from uss_ray.service.in_process import InProcessBackend
from uss_ray.service.tokens import Tokens

NAME = "uss-ray"
_FRONT_REQUESTS = 256
_SEPARATOR_REQUESTS = 64
_REQUESTS_A_FRONT = 16
_LONGER = 30.0

_SHARED: Final[dict[str, Any]] = {
    # A replica that died is missed when Serve looks; its default is each 10 s.
    "health_check_period_s": 2.0,
    # A line a call is the audit's.
    "logging_config": {"enable_access_log": False},
}


def build(serving: Serving, *, make_backend: MakeBackend = InProcessBackend) -> serve.Application:
    """Make the application.

    Parameters
    ----------
    serving : Serving
    make_backend : callable
        Of the separators; see `Separator`.
    """
    options, service = serving.options, serving.service
    # What is in flight when a replica ends, such as at a rolling update, is answered first.
    patience = service.limits.deadline_seconds + _LONGER
    separators = serve.deployment(
        name="Separator",
        num_replicas=options.replicas,
        max_ongoing_requests=_SEPARATOR_REQUESTS,
        graceful_shutdown_timeout_s=patience,
        ray_actor_options={"num_cpus": options.cpus, "num_gpus": options.gpus},
        **_SHARED,
    )(Separator).bind(service, options.threads_each, make_backend)
    fronts = serve.deployment(
        name="Front",
        max_ongoing_requests=_FRONT_REQUESTS,
        graceful_shutdown_timeout_s=patience,
        autoscaling_config={
            "min_replicas": 1,
            "max_replicas": options.fronts,
            "target_ongoing_requests": _REQUESTS_A_FRONT,
        },
        ray_actor_options={"num_cpus": 0},
        **_SHARED,
    )(serve.ingress()(Front))
    if service.store is None:
        return fronts.bind(service, separators, None)
    keeper = serve.deployment(name="Keeper", num_replicas=1, ray_actor_options={"num_cpus": 0}, **_SHARED)
    return fronts.bind(service, separators, keeper(JobKeeper).bind(service))


def app(arguments: dict[str, Any]) -> serve.Application:
    """Make the application from the arguments of `serve run`, or from `args` of a configuration of Serve."""
    serving = Serving.of(arguments)
    Tokens.of(serving.service.tokens)  # or each front finds out by itself that they are wrong
    return build(serving)
