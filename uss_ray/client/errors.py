"""What a service says of a request that it does not answer."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
    retry_after : float or None, default=None
        Seconds after which it may be answered, where the service says so.
    """

    told_besides = ("status", "request_id", "limit", "retry_after")

    def __init__(
        self,
        item: str,
        *,
        expected: str,
        found: str,
        status: int = 0,
        request_id: str | None = None,
        limit: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(item, expected=expected, found=found)
        self.status = status
        self.request_id = request_id
        self.limit = limit
        self.retry_after = retry_after

    @classmethod
    def of(cls, status: int, problem: Mapping[str, Any], *, retry_after: float | None = None) -> ServiceError:
        """Make it from an answer; what lies before a service may say nothing in our words."""
        return cls(
            str(problem.get("item", "request")),
            expected=str(problem.get("expected", "an answer")),
            found=str(problem.get("found", f"status {status}")),
            status=status,
            request_id=problem.get("request_id"),
            limit=problem.get("limit"),
            retry_after=retry_after,
        )


@contextmanager
def understood(*, status: int = 200, expected: str = "one that this client understands") -> Iterator[None]:
    """Read an answer; one that is not as a service makes it is an error of the service."""
    try:
        yield
    except (
        EOFError, KeyError, NotImplementedError, TypeError, ValueError, zipfile.BadZipFile, zlib.error
    ) as error:  # fmt: skip
        found = f"{type(error).__name__}: {error}"[:200]
        raise ServiceError("answer", expected=expected, found=found, status=status) from error
