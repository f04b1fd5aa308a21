"""How a service runs on Ray Serve. Without Ray, for the command line reads it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field

from uss_ray.config import Count, Name, Settings, overlay
from uss_ray.service.settings import ServiceSettings


class ServeOptions(Settings):
    """How many processes a service has, and what each takes."""

    replicas: Count = Field(default=1, description="Separators.")
    fronts: Count = Field(
        default=4, description="At most so many processes that speak HTTP; more come with load."
    )
    cpus: float = Field(default=1.0, ge=0.0, description="CPUs that Ray sets aside for a separator.")
    gpus: float = Field(
        default=0.0, ge=0.0, description="Share of a GPU for a separator: 0.25 puts four on one."
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        description="CPU threads of a separator's networks; without a number those of the machine, shared. The last "
        "bit of a sample may depend on it.",
    )

    address: Name | None = Field(
        default=None, description="Ray cluster; without it RAY_ADDRESS, or a local Ray."
    )
    verbose: bool = Field(default=False, description="Let the logs of Ray and of the workers through.")

    @property
    def threads_each(self) -> int:
        """CPU threads of a separator, on the machine that asks."""
        return self.threads or max(1, len(os.sched_getaffinity(0)) // self.replicas)


class Serving(Settings):
    """Serve separation over HTTP until it is told to end (Ctrl-C, SIGTERM)."""

    service: ServiceSettings = Field(
        default_factory=ServiceSettings, description="What is served to whom, and how much."
    )
    options: ServeOptions = Field(default_factory=ServeOptions, description="With how many processes.")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Read the arguments of `serve run` and of a Serve configuration: nested, or with dots in their names.

        Examples
        --------
        >>> Serving.of({"service.no_auth": "true", "options": {"replicas": 2}}).options.replicas
        2
        """
        nested: dict[str, Any] = {}
        for name, value in values.items():
            part: Any = value
            for step in reversed(name.split(".")):
                part = {step: part}
            nested = overlay(nested, part)
        return cls(**nested)
