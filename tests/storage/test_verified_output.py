"""An output in a real S3 store is verified and repaired there: with what such stores have, uploads and versions."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from tests.servers.ceph import CephServer
from tests.servers.fixtures import BUCKET
from uss_ray.errors import OutputError
from uss_ray.pipelines.archive.ledger import read_ledger
from uss_ray.pipelines.archive.verify import Verification, verify_output
from uss_ray.records import recording_key
from uss_ray.results.index.table import IndexRow, write_index
from uss_ray.results.layout import index_path, stem_path
from uss_ray.store.store import Store

VERSIONED = "uss-ray-versions"


@pytest.fixture
def output(s3_root: str, tmp_path: Path) -> Store:
    """Two recordings of a stem each, and a note of the user's."""
    return _output(Store(f"{s3_root}/out", None, OutputError), tmp_path)


@pytest.fixture
def uploads_end(s3_server: CephServer) -> Iterator[None]:
    """End all uploads that a test has left open: others look for some of their own."""
    yield
    client = s3_server.client()
    for upload in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ()):
        client.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])


@pytest.fixture
def versioned(s3_server: CephServer) -> str:
    """A bucket that keeps every version of a key."""
    client = s3_server.client()
    client.create_bucket(Bucket=VERSIONED)
    client.put_bucket_versioning(Bucket=VERSIONED, VersioningConfiguration={"Status": "Enabled"})
    return f"s3://{VERSIONED}"


def _output(place: Store, folder: Path) -> Store:
    for name in ("a.wav", "tapes/b.wav"):
        uri = stem_path(name, level=1, slug="dog", extension="wav")
        buffer = io.BytesIO()
        sf.write(buffer, np.zeros((100, 1)), 8000, format="WAV")
        (place / uri).put(buffer.getvalue())
        row = IndexRow(
            run_id="r", recording_id=name, recording_uri=name, node_id="n", label="Dog", level=1, kind="node",
            status="written", stem_uri=uri, stem_sha256=hashlib.sha256(buffer.getvalue()).hexdigest(),
            stem_bytes=len(buffer.getvalue()), frames=100, weights_name="w", weights_sha256="0",
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
        )  # fmt: skip
        write_index([row], path=folder / "part.parquet")
        (place / index_path(name[0])).put(folder / "part.parquet")
    (place / "notes.txt").put(b"mine")
    return place


def told(found: Verification) -> list[tuple[str, str]]:
    return sorted((finding.kind, finding.place) for finding in found.findings)


def keys(server: CephServer, place: Store) -> set[str]:
    bucket, _, prefix = str(place).removeprefix("s3://").partition("/")
    pages = server.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
    return {item["Key"].removeprefix(f"{prefix}/") for page in pages for item in page.get("Contents", ())}


def begin_upload(server: CephServer, place: Store, *, parts: int = 1) -> None:
    """Begin a multipart upload as a process does that is killed in it."""
    bucket, _, key = str(place).removeprefix("s3://").partition("/")
    client = server.client()
    upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    for number in range(1, parts + 1):
        client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=bytes(5 << 20))


def open_uploads(server: CephServer, bucket: str = BUCKET) -> list[str]:
    return [
        upload["Key"] for upload in server.client().list_multipart_uploads(Bucket=bucket).get("Uploads", ())
    ]


@pytest.mark.parametrize("quick", [False, True])
def test_an_output_as_it_should_be_is_well(output: Store, quick: bool) -> None:
    found = verify_output(output, quick=quick)
    assert (told(found), found.recordings, found.stems) == ([], 2, 2)


def test_what_is_wrong_is_found_and_repaired(s3_server: CephServer, output: Store) -> None:
    stem = output / "a.wav/level-1/dog.wav"
    stem.put(stem.read()[:-1] + b"x")
    (output / "gone.wav/query/dog.flac").put(b"stray")
    # What somebody has copied there from a disk on which a run was killed.
    for name in (
        ".uss-ray-0a_bc1de/a.wav/half.flac",
        ".uss-ray-0a_bc1de/.lock",
        ".0123456789abcdef.part",
        "index/.00000000000000aa.part",
    ):
        (output / name).put(b"1")
    (output / ".parts/00000000000000aa/000000/00000.f32").put(b"half a span")
    assert told(verify_output(output)) == [
        ("altered", "a.wav/level-1/dog.wav"),
        ("stray", "gone.wav/query/dog.flac"),
        ("temporary", ".0123456789abcdef.part"),
        ("temporary", ".parts/00000000000000aa/000000/00000.f32"),
        ("temporary", ".uss-ray-0a_bc1de"),
        ("temporary", "index/.00000000000000aa.part"),
    ]
    assert told(verify_output(output, repair=True)) == []
    assert keys(s3_server, output) == {"notes.txt", "tapes/b.wav/level-1/dog.wav", "index/t.parquet"}
    assert read_ledger(output).separated.tolist() == [recording_key("tapes/b.wav")]


@pytest.mark.usefixtures("uploads_end")
def test_open_uploads_are_listed_and_ended_and_those_of_other_outputs_are_not(
    s3_server: CephServer, output: Store
) -> None:
    ours = [
        "a.wav/level-1/dog.flac",
        "a.wav/level-1/cat-é.flac",
        ".parts/00000000000000aa/000000/00000.f32",
        "failed.jsonl",
        "index.html",
    ]
    for name in ours:
        begin_upload(s3_server, output / name)
    begin_upload(s3_server, output / "a.wav/level-1/dog.flac", parts=2)
    (output / "v2/run.json").put(b"{}")
    others = [
        output / "v2/a.wav/level-1/dog.flac",
        output.parent / "out-2/a.wav/level-1/dog.flac",
        output / "tapes/events/bell.wav",  # a recording that comes
    ]
    for place in others:
        begin_upload(s3_server, place)
    expected = sorted(("open upload", name) for name in [*ours, ours[0]])
    assert told(verify_output(output)) == expected
    repaired = verify_output(output, repair=True)
    assert (told(repaired), repaired.repaired) == ([], 6)
    assert sorted(open_uploads(s3_server)) == sorted(
        str(place).removeprefix(f"s3://{BUCKET}/") for place in others
    )


def test_who_uploads_a_key_again_ends_what_was_begun_before(
    s3_server: CephServer, output: Store, tmp_path
) -> None:
    big = tmp_path / "stem.flac"
    big.write_bytes(np.random.default_rng(1).bytes(20_000_000))
    place = output / "a.wav/level-1/big.flac"
    begin_upload(s3_server, place)
    place.put(big)
    assert place.read() == big.read_bytes()
    key = str(place).removeprefix(f"s3://{BUCKET}/")
    assert key not in open_uploads(s3_server)


def test_a_bucket_with_versions_is_verified_by_the_latest_and_loses_none(
    s3_server: CephServer, versioned: str, tmp_path: Path
) -> None:
    output = _output(Store(f"{versioned}/out", None, OutputError), tmp_path)
    stem, gone = output / "a.wav/level-1/dog.wav", output / "tapes/b.wav/level-1/dog.wav"
    whole = stem.read()
    stem.put(whole[:-1] + b"x")
    gone.remove()
    assert told(verify_output(output)) == [
        ("altered", "a.wav/level-1/dog.wav"),
        ("missing", "tapes/b.wav/level-1/dog.wav"),
    ]
    stem.put(whole)
    assert told(verify_output(output)) == [("missing", "tapes/b.wav/level-1/dog.wav")]
    assert told(verify_output(output, repair=True)) == []
    assert read_ledger(output).separated.tolist() == [recording_key("a.wav")]
    versions = s3_server.client().list_object_versions(Bucket=VERSIONED, Prefix="out/a.wav/")["Versions"]
    assert len(versions) == 3


def test_the_tag_of_a_key_follows_its_content_and_not_its_versions(
    s3_server: CephServer, versioned: str
) -> None:
    place = Store(f"{versioned}/in/a.wav")
    place.put(b"one")
    first = place.content_tag()
    place.put(b"two")
    second = place.content_tag()
    place.put(b"one")
    assert first is not None
    assert first != second
    assert place.content_tag() == first
    [found] = Store(f"{versioned}/in").files()
    assert found.content_tag == first, "a listing and a question give the same tag"


def test_a_key_in_parts_has_one_tag_whoever_asks(s3_root: str, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(np.random.default_rng(1).bytes(20_000_000))
    place = Store(f"{s3_root}/in/a.wav")
    place.put(path)
    [found] = place.parent.files()
    assert place.content_tag() == found.content_tag
    before = found.content_tag
    changed = bytearray(path.read_bytes())
    changed[12_345_678] ^= 1
    path.write_bytes(changed)
    place.put(path)
    assert place.content_tag() != before
