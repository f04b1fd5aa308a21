"""The file system of a location: patient with its store, and without a memory of listings.

Endpoints and credentials come from the environment (``AWS_ENDPOINT_URL`` and its kin), as s3fs and botocore read them.
"""

from __future__ import annotations

import os
from typing import Any, cast

import fsspec
from fsspec.utils import get_protocol

from uss_ray.errors import ConfigError
from uss_ray.store.faults import without_secrets

S3_SCHEMES = ("s3", "s3a")
WEB_SCHEMES = ("http", "https")


def file_system(location: str | os.PathLike[str]) -> tuple[Any, str]:
    """Find the fsspec file system of a URI, and the path in it.

    Parameters
    ----------
    location : str or path
        ``scheme://...``; a local path gives the local file system.

    Returns
    -------
    tuple of (file system, str)
        For pyarrow and others that take an fsspec file system. Listings are not kept: other workers write to the same
        prefixes.

    Raises
    ------
    ConfigError
        If there is no such scheme, or the package for it is missing.

    Notes
    -----
    Not `fsspec.url_to_fs`, which would take a ``::`` in a name for a chain of file systems.
    """
    uri = os.fspath(location)
    scheme = get_protocol(uri)
    try:
        system = _of_scheme(scheme)
    except ImportError as error:
        found = f"{error} (pip install {'s3fs' if scheme in S3_SCHEMES else 'the package it needs'})"
        raise ConfigError(
            without_secrets(uri), expected=f"the package for {scheme}://", found=found
        ) from error
    except ValueError as error:
        raise ConfigError(
            without_secrets(uri), expected="a local path, s3:// or https://", found=f"{scheme}://"
        ) from error
    return system, cast(str, system._strip_protocol(uri))


def _of_scheme(scheme: str) -> Any:
    if scheme in S3_SCHEMES:
        from uss_ray.store.s3 import PatientS3FileSystem

        return PatientS3FileSystem(use_listings_cache=False)
    if scheme in WEB_SCHEMES:
        from uss_ray.store.web import PatientHTTPFileSystem

        return PatientHTTPFileSystem(use_listings_cache=False)
    return fsspec.filesystem(scheme)
