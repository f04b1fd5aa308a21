"""How a job runs, the same for all jobs. Without Ray, for the command line reads it."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from uss_ray.config import Name, Settings
from uss_ray.errors import ConfigError


class JobOptions(Settings):
    """How a job runs; none of it shapes what comes out."""

    actors: int | None = Field(
        default=None,
        ge=1,
        description="Workers; without a number GPUs × actors_per_gpu, else as many as CPUs and memory allow, and "
        "no more than find work.",
    )
    actors_per_gpu: int | None = Field(
        default=None, ge=1, description="Workers that share a GPU; without a number 4."
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        description="CPU threads of each worker's networks; without a number those of the run that is resumed, or 1. "
        "The last bit of a sample may depend on it.",
    )
    address: Name | None = Field(
        default=None, description="Ray cluster; without it RAY_ADDRESS, or a local Ray."
    )
    shard: tuple[int, int] | None = Field(
        default=None, description="I/N: only the I-th of N parts, for a job of its own each."
    )
    limit: int | None = Field(default=None, ge=1, description="Only the first items.")
    follow_links: bool = Field(
        default=False,
        description="Follow links that lead out of an archive's folder; those within count anyway.",
    )
    retry_failed: bool = Field(default=False, description="Only the items that failed before.")
    max_failed_fraction: float = Field(
        default=1.0,
        ge=0.0,
        le=1.0,
        description="More failures than this share stop the run, once 100 items are finished; up to it the run "
        "counts as successful. 1 never stops, and any failure shows in the exit code.",
    )

    verbose: bool = Field(default=False, description="Let the logs of Ray and of the workers through.")

    @field_validator("shard", mode="before")
    @classmethod
    def _read_shard(cls, value: Any) -> Any:
        """Take `I/N` as text too."""
        numbers: Any = value.split("/") if isinstance(value, str) else value
        if numbers is None:
            return None
        try:
            part, parts = (int(number) for number in numbers)
            if 1 <= part <= parts:
                return part, parts
        except (TypeError, ValueError):
            pass
        raise ConfigError("shard", expected="I/N, such as 1/8", found=repr(value))
