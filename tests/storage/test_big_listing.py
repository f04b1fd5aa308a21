"""Thousands of names come page by page from a real S3 server."""

from __future__ import annotations

import http.client
from concurrent.futures import ThreadPoolExecutor

from tests.servers.ceph import CephServer
from uss_ray.store.store import Store


def test_a_listing_goes_on_past_the_pages_of_the_store(s3_server: CephServer) -> None:
    names = [f"{number:05d}.wav" for number in range(2500)]
    s3_server.client().create_bucket(Bucket="listing", ACL="public-read-write")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda first: put_empty(s3_server, "listing/archive", names[first::8]), range(8)))
    first_page = s3_server.client().list_objects_v2(Bucket="listing")
    assert first_page["IsTruncated"]
    listed = Store("s3://listing/archive").list()
    assert [place.relative_to(Store("s3://listing/archive")) for place in listed] == names


def put_empty(server: CephServer, folder: str, names: list[str]) -> None:
    """Make many empty objects, fast: in a bucket that anybody may write to, without a client library."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    for name in names:
        connection.request("PUT", f"/{folder}/{name}", body=b"")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
    connection.close()
