"""What a service says of a request that it does not answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from uss_ray.errors import UssRayError


class ServiceError(UssRayError):
    """A request that was refused, or a service that cannot be reached.

    Parameters
    ----------
    item, expected, found : str
        As of every error.
    status : int, default=0
        Of the answer; 0 where there was none.
    request_id : str or None, default=None
        Under which the log of the service has it.
    limit : str or None, default=None
        Which limit of `Client.info` the request meets.
    """

    told_besides = ("status", "request_id", "limit")

    def __init__(
        self,
        item: str,
        *,
        expected: str,
        found: str,
        status: int = 0,
        request_id: str | None = None,
        limit: str | None = None,
    ) -> None:
        super().__init__(item, expected=expected, found=found)
        self.status = status
        self.request_id = request_id
        self.limit = limit

    @classmethod
    def of(cls, status: int, problem: Mapping[str, Any]) -> ServiceError:
        """Make it from an answer; what lies before a service may say nothing in our words."""
        return cls(
            str(problem.get("item", "request")),
            expected=str(problem.get("expected", "an answer")),
            found=str(problem.get("found", f"status {status}")),
            status=status,
            request_id=problem.get("request_id"),
            limit=problem.get("limit"),
        )
