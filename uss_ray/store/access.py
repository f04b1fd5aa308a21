"""Which object store to talk to, and how patiently, as plain values that travel to workers.

Holds no credentials and refuses an endpoint that does; keys stay where the client libraries look for them (environment,
profile files, the role of the machine).
"""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass
from urllib.parse import urlsplit

from uss_ray.errors import ConfigError
from uss_ray.store.patience import VARIABLE as PATIENCE_VARIABLE

_applied: dict[str, tuple[str, str | None]] = {}
"""What `apply` has set in this process, and what was there before."""


@dataclass(frozen=True)
class StorageAccess:
    """How an object store is reached; what is None is left to the environment.

    Parameters
    ----------
    endpoint : str or None, default=None
        ``http://`` or ``https://`` address of an S3-compatible store, without user name and password.
    profile : str or None, default=None
        Name of a profile in the AWS configuration files of every machine that takes part.
    region : str or None, default=None
        Region to sign requests for.
    patience_seconds : float or None, default=None
        How long a fault of the store that may pass is waited out; not negative, 0 tries once.

    Raises
    ------
    ConfigError
        If `endpoint` is no such address or carries credentials (which the message does not repeat), a name is
        empty, or the patience is no such number.
    """

    endpoint: str | None = None
    profile: str | None = None
    region: str | None = None
    patience_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.endpoint is not None:
            _check_endpoint(self.endpoint)
        for field in ("profile", "region"):
            if getattr(self, field) == "":
                raise ConfigError(f"storage {field}", expected="a name", found="an empty text")
        if self.patience_seconds is not None and not 0 <= self.patience_seconds < math.inf:
            raise ConfigError(
                "storage patience",
                expected="a number of seconds, not negative",
                found=str(self.patience_seconds),
            )

    def apply(self) -> None:
        """Make this process, and the processes it starts, use this store; doing it again changes nothing.

        Notes
        -----
        Sets ``AWS_ENDPOINT_URL``, ``AWS_PROFILE``, ``AWS_DEFAULT_REGION`` and ``USS_RAY_STORAGE_PATIENCE_SECONDS``;
        what another access has set before is taken back first, for workers serve one job after another. With an
        endpoint, checksums that only newer stores know are sent on demand only, unless the environment says
        otherwise: older S3-compatible stores refuse them.
        """
        known = {name: os.environ.get(name) for name in (*_applied, *_environment(self))}
        _take_back()
        for name, value in _environment(self).items():
            _applied[name] = (value, os.environ.get(name))
            os.environ[name] = value
        if all(os.environ.get(name) == value for name, value in known.items()):
            return
        # Clients keep the endpoint they were made with.
        if (s3 := sys.modules.get("uss_ray.store.s3")) is not None:
            s3.PatientS3FileSystem.clear_instance_cache()


def _take_back() -> None:
    """Undo the last `apply`, but for what somebody else has set since."""
    for name, (ours, before) in _applied.items():
        if os.environ.get(name) != ours:
            continue
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
    _applied.clear()


def _environment(access: StorageAccess) -> dict[str, str]:
    named = {
        "AWS_ENDPOINT_URL": access.endpoint,
        "AWS_PROFILE": access.profile,
        "AWS_DEFAULT_REGION": access.region,
        PATIENCE_VARIABLE: None if access.patience_seconds is None else f"{access.patience_seconds:g}",
    }
    wanted = {name: value for name, value in named.items() if value is not None}
    if access.endpoint is not None:
        # The service's own variables, where they are set, would win over the general ones.
        wanted |= {name: access.endpoint for name in ("AWS_ENDPOINT_URL_S3",) if name in os.environ}
        for name in ("AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION"):
            wanted[name] = os.environ.get(name, "when_required")
    if access.region is not None and "AWS_REGION" in os.environ:
        wanted["AWS_REGION"] = access.region
    return wanted


def _check_endpoint(endpoint: str) -> None:
    expected = "http://host:port or https://host:port"
    if "@" in endpoint or "?" in endpoint:
        raise ConfigError(
            "storage endpoint",
            expected=f"{expected}, and credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or a profile",
            found="an address with a user name, password or query in it",
        )
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError("storage endpoint", expected=expected, found=repr(endpoint))
