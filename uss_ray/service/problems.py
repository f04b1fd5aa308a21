"""Errors as answers: which status each kind has, and its words as ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

import http
import math
from typing import Any, Final

from pydantic import BaseModel, Field

from uss_ray.errors import (
    ConfigError,
    DataError,
    OutputError,
    QueryError,
    RecordingError,
    UssRayError,
    WeightsError,
)

MEDIA_TYPE: Final = "application/problem+json"
_STATUS: Final[dict[type[UssRayError], int]] = {
    ConfigError: 422,
    QueryError: 422,
    RecordingError: 422,
    DataError: 422,
    OutputError: 503,
    WeightsError: 503,
}
_RETRY_SECONDS = 10
_NO_SPACE = "No space left"


class Problem(BaseModel):
    """What is answered where something is wrong."""

    type: str = Field(description="Which kind of error, as a URN.")
    title: str = Field(description="The status in words.")
    status: int
    detail: str = Field(description="The three below in one line.")
    item: str = Field(description="What is wrong.")
    expected: str
    found: str
    limit: str | None = Field(default=None, description="The limit of /v1/info that was met.")
    request_id: str = Field(description="Under which the log has it.")


class Refusal(UssRayError):  # noqa: N818 - that is what a client meets
    """A request that is not answered, for no fault of its sound or its query.

    Parameters
    ----------
    item, expected, found : str
        As of every error.
    status : int
        Of the answer.
    limit : str, optional
        Field of `Limits` that it meets.
    retry_after : float, optional
        Seconds after which it may be answered.
    allow : str, optional
        Methods that there are in place of the one that was asked for.
    """

    told_besides = ("status", "limit", "retry_after", "allow")

    def __init__(
        self,
        item: str,
        *,
        expected: str,
        found: str,
        status: int,
        limit: str | None = None,
        retry_after: float | None = None,
        allow: str | None = None,
    ) -> None:
        super().__init__(item, expected=expected, found=found)
        self.status = status
        self.limit = limit
        self.retry_after = retry_after
        self.allow = allow


def internal() -> Refusal:
    """Say that the fault is ours; what it was stands in the log, under the id of the request."""
    return Refusal(
        "request", expected="an answer", found="an error of the service; its log has the id", status=500
    )


def status_of(error: UssRayError) -> int:
    """Give the status that an error is answered with."""
    if isinstance(error, Refusal):
        return error.status
    if isinstance(error, OutputError) and _NO_SPACE in error.found:
        return 507
    return next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)


def as_problem(error: UssRayError, *, request_id: str) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Put an error into the words of an answer.

    Returns
    -------
    int
        The status.
    dict of str to str
        Headers besides that of the type.
    dict
        The body. Of what goes wrong inside the service it holds no place and no name of it.
    """
    status = status_of(error)
    if status >= 500 and not isinstance(error, Refusal):
        shown: UssRayError = Refusal(
            "service",
            expected="a place with room for results, weights and a store that answer",
            found="none now; the log of the service has the id",
            status=status,
        )
    else:
        shown = error
    problem = Problem(
        type=f"urn:uss-ray:{_kind(error)}",
        title=http.HTTPStatus(status).phrase,
        status=status,
        detail=str(shown),
        item=shown.item,
        expected=shown.expected,
        found=shown.found,
        limit=shown.limit if isinstance(shown, Refusal) else None,
        request_id=request_id,
    )
    headers: dict[str, str] = {}
    if status in (429, 503):
        wanted = shown.retry_after if isinstance(shown, Refusal) else None
        headers["retry-after"] = str(max(1, math.ceil(_RETRY_SECONDS if wanted is None else wanted)))
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    if isinstance(shown, Refusal) and shown.allow is not None:
        headers["allow"] = shown.allow
    return status, headers, problem.model_dump(exclude_none=True)


def _kind(error: UssRayError) -> str:
    name = type(error).__name__
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).strip("-")
