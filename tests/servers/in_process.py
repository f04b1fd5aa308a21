"""An S3 server in this process, for tests that need an endpoint rather than faults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.servers.fixtures import forget_clients


@contextmanager
def s3_in_process(*buckets: str) -> Iterator[str]:
    """Serve some buckets, with any credentials; servers of one process share theirs.

    Yields
    ------
    str
        The endpoint.
    """
    pytest.importorskip("s3fs")
    server_module = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        for bucket in buckets:
            boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket=bucket)
        yield endpoint
    finally:
        server.stop()


@contextmanager
def s3_by_default(*buckets: str) -> Iterator[str]:
    """Serve some buckets, and lead to them by the environment: what asks for no other store asks there."""
    with s3_in_process(*buckets) as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        forget_clients()
        yield endpoint
    forget_clients()
