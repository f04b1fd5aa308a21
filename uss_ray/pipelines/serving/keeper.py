"""The keeper of jobs as a replica of Ray Serve, and drivers as Ray jobs."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping
from typing import Any

import ray
from ray.job_submission import JobStatus, JobSubmissionClient

from uss_ray.pipelines.serving.missing import missing_of
from uss_ray.service.jobs import JobOrder
from uss_ray.service.keeper import DRIVER, VARIABLE, Keeper, KeepingHere, Life
from uss_ray.service.settings import ServiceSettings

logger = logging.getLogger(__name__)


class RayJobExecutor:
    """Drivers as Ray jobs of the cluster of this process; what the Jobs API says is a hint, the table is the truth."""

    def __init__(self) -> None:
        self._known: JobSubmissionClient | None = None

    def start(self, order: JobOrder) -> None:
        """See `JobExecutor`; Ray refuses a name that it has."""
        # Ray tells a driver the cluster that was started last on its machine, which may be another one, or gone.
        order = order.replace(address=self._address)
        self._client().submit_job(
            entrypoint=shlex.join(DRIVER),
            submission_id=order.name,
            runtime_env={"env_vars": {VARIABLE: order.canonical_json()}},
        )

    def life(self, name: str) -> Life:
        """See `JobExecutor`."""
        try:
            status = self._client().get_job_status(name)
        except Exception as error:  # noqa: BLE001 - it knows no such job, or is away: Ray raises plain ones
            logger.info("Ray does not know driver %s: %s", name, type(error).__name__)
            self._known = None
            return "unknown"
        return "alive" if status in (JobStatus.PENDING, JobStatus.RUNNING) else "ended"

    def missing(self) -> str | None:
        """See `JobExecutor`."""
        try:
            self._client().get_version()
        except Exception as error:  # noqa: BLE001 - as above
            logger.warning("Ray's Jobs API does not answer: %s", error)
            self._known = None
            return "Ray's Jobs API does not answer"
        return None

    def close(self) -> None:
        """See `JobExecutor`; drivers live without a keeper."""

    @property
    def _address(self) -> str:
        return str(ray.get_runtime_context().gcs_address)

    def _client(self) -> JobSubmissionClient:
        if self._known is None:
            # None given fails where there are two Rays on a machine.
            self._known = JobSubmissionClient(self._address)
        return self._known


class JobKeeper(KeepingHere):
    """Keeps the jobs of a service, as a replica of Serve.

    Parameters
    ----------
    settings : ServiceSettings
    """

    def __init__(self, settings: ServiceSettings) -> None:
        keeper = Keeper.of(settings, RayJobExecutor())
        super().__init__(keeper)
        keeper.begin()
        self._end = keeper.close

    def __del__(self) -> None:
        """End with the replica, by Serve's call: a driver that it has begun is started before."""
        self._end()


class RayKeeping:
    """The keeper behind a handle.

    Parameters
    ----------
    keeper : DeploymentHandle
        Of `JobKeeper`.
    """

    def __init__(self, keeper: Any) -> None:
        self._keeper = keeper

    async def begin(self) -> None:
        """See `JobKeeping`; the keeper is Serve's."""

    async def wake(self) -> None:
        """See `JobKeeping`; nobody waits for it."""
        self._keeper.wake.remote()

    async def missing(self) -> Mapping[str, str]:
        """See `JobKeeping`."""
        return await missing_of("keeper", self._keeper)

    async def close(self) -> None:
        """See `JobKeeping`."""
