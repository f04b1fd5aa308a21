"""How a store is reached, as plain values that travel with it: no credentials, nothing set in the environment.

Keys stay where the client libraries look for them: environment, profile files, the role of the machine.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from uss_ray.config import Settings
from uss_ray.errors import ConfigError


def _checked_endpoint(endpoint: str) -> str:
    expected = "http://host:port or https://host:port"
    if "@" in endpoint or "?" in endpoint:
        raise ConfigError(
            "store options endpoint",
            expected=f"{expected}, and credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or a profile",
            found="an address with a user name, password or query in it",
        )
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError("store options endpoint", expected=expected, found=repr(endpoint))
    return endpoint


class StoreOptions(Settings):
    """Which object store to talk to, and how patiently; what is None, the environment decides.

    Raises
    ------
    ConfigError
        Also if `endpoint` carries credentials, which the message does not repeat.
    """

    endpoint: Annotated[str, AfterValidator(_checked_endpoint)] | None = Field(
        default=None, description="Address of an S3-compatible store, without user name and password."
    )
    profile: str | None = Field(
        default=None,
        min_length=1,
        description="Profile in the AWS configuration files of every machine that takes part.",
    )
    region: str | None = Field(default=None, min_length=1, description="Region to sign requests for.")
    patience_seconds: float | None = Field(
        default=None, ge=0, description="How long a passing fault of the store is waited out; 0 tries once."
    )


Storage = Annotated[StoreOptions, Field(description="How an object store is reached.")]
"""Type of a field of a request."""
