"""How a training job runs; none of it shapes the parameters. Without Ray, for the command line reads it."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field, field_validator

from uss_ray.config import Name, Settings
from uss_ray.errors import ConfigError

_RANGE = re.compile(r"(\d+)(?::(\d+))?")


class TrainOptions(Settings):
    """Workers of a training run."""

    workers: str = Field(
        default="0",
        description="0: this process, without Ray. N: so many Ray Train workers, a GPU each where the device is one. "
        "MIN:MAX: as many as there is room for; the run goes on with fewer when a machine is lost.",
    )
    address: Name | None = Field(
        default=None, description="Ray cluster; without it RAY_ADDRESS, or a local Ray."
    )
    cpus_per_worker: float = Field(default=1.0, gt=0.0, description="What Ray sets aside for a worker.")
    max_failures: int = Field(
        default=3, ge=-1, description="How often workers that die are started again; -1: always."
    )
    verbose: bool = Field(default=False, description="Let the logs of Ray and of the workers through.")

    @field_validator("workers", mode="before")
    @classmethod
    def _check_workers(cls, value: Any) -> Any:
        found = _RANGE.fullmatch(str(value))
        if found and (found[2] is None or 1 <= int(found[1]) <= int(found[2])):
            return str(value)
        raise ConfigError("workers", expected="N or MIN:MAX, such as 4 or 1:8", found=repr(value))

    @property
    def worker_range(self) -> tuple[int, int]:
        """Fewest and most workers."""
        fewest, _, most = self.workers.partition(":")
        return int(fewest), int(most or fewest)
