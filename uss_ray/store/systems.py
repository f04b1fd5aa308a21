"""The file system of a location: patient with its store, and without a memory of listings.

One is made per process and options (fsspec keeps them), so two stores with different endpoints work side by side.
"""

from __future__ import annotations

import os
import re
from typing import Any, cast

from uss_ray.errors import ConfigError
from uss_ray.store.options import StoreOptions
from uss_ray.wording import without_secrets

S3_SCHEMES = ("s3", "s3a")
WEB_SCHEMES = ("http", "https")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://")
_CHECKSUMS = ("request_checksum_calculation", "response_checksum_validation")


def scheme_of(location: str) -> str:
    """Name the scheme of a URI; ``file`` for a local path, whatever characters its name holds."""
    found = _SCHEME.match(location)
    return found[1] if found else "file"


def file_system(location: str, options: StoreOptions) -> tuple[Any, str]:
    """Find the fsspec file system of a URI, and the path in it.

    Parameters
    ----------
    location : str
        ``scheme://...``; a local path gives the local file system.
    options : StoreOptions
        Given to the client; what is None, it reads from the environment (``AWS_ENDPOINT_URL`` and its kin).

    Returns
    -------
    tuple of (file system, str)
        Listings are not kept: other workers write to the same prefixes.

    Raises
    ------
    ConfigError
        If there is no such scheme, or the package for it is missing.

    Notes
    -----
    Not `fsspec.url_to_fs`, which would take a ``::`` in a name for a chain of file systems.
    """
    scheme = scheme_of(location)
    try:
        system = _of_scheme(scheme, options)
    except ImportError as error:
        found = f"{error} (pip install {'s3fs' if scheme in S3_SCHEMES else 'the package it needs'})"
        raise ConfigError(
            without_secrets(location), expected=f"the package for {scheme}://", found=found
        ) from error
    except ValueError as error:
        raise ConfigError(
            without_secrets(location), expected="a local path, s3:// or https://", found=f"{scheme}://"
        ) from error
    return system, cast(str, system._strip_protocol(location))


def _of_scheme(scheme: str, options: StoreOptions) -> Any:
    if scheme in S3_SCHEMES:
        from uss_ray.store.s3 import PatientS3FileSystem

        return PatientS3FileSystem(
            use_listings_cache=False, patience_seconds=options.patience_seconds, **_s3_client(options)
        )
    if scheme in WEB_SCHEMES:
        from uss_ray.store.web import PatientHTTPFileSystem

        return PatientHTTPFileSystem(use_listings_cache=False, patience_seconds=options.patience_seconds)
    if scheme == "memory":
        from uss_ray.store.memory import OwnReadersMemoryFileSystem

        return OwnReadersMemoryFileSystem()
    import fsspec  # only once somebody reaches for a store of its kinds

    return fsspec.filesystem(scheme)


def _s3_client(options: StoreOptions) -> dict[str, Any]:
    """Name the client's arguments; only what is given, for the client takes None for a choice in places."""
    client: dict[str, Any] = {}
    if options.profile is not None:
        client["profile"] = options.profile
    if options.region is not None:
        client["client_kwargs"] = {"region_name": options.region}
    if options.endpoint is not None:
        client["endpoint_url"] = options.endpoint
        # Older S3-compatible stores refuse checksums that only newer ones know.
        client["config_kwargs"] = {
            name: "when_required" for name in _CHECKSUMS if f"AWS_{name.upper()}" not in os.environ
        }
    return client
