"""S3 Inventory reports in all three formats, where S3 puts them and copied elsewhere."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from urllib.parse import quote_plus

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from tests.servers.fixtures import forget_clients
from uss_ray.errors import DataError
from uss_ray.sources.listing import list_recordings, open_listing
from uss_ray.store.store import Store

CSV_SCHEMA = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag"
OBJECTS = [
    # key, is latest, is delete marker, size
    ("2024/räume +1.wav", True, False, 100),
    ("2024/räume +1.wav", False, False, 90),
    ("2024/gone.wav", True, True, None),
    ("2024/notes.txt", True, False, 5),
    ("2024/.hidden/a.wav", True, False, 5),
    ("2024/tapes/", True, False, 0),
    ('b,c "d".FLAC', True, False, 7),
]
EXPECTED = [("2024/räume +1.wav", 100), ('b,c "d".FLAC', 7)]


def csv_data(objects=OBJECTS):
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    for key, latest, deleted, size in objects:
        flags = [str(latest).lower(), str(deleted).lower()]
        encoded = quote_plus(key, safe="/")
        writer.writerow(["sounds", encoded, "v1", *flags, "" if size is None else size, "2026-11-06", "e"])
    return gzip.compress(text.getvalue().encode())


def table():
    keys, latest, deleted, sizes = zip(*OBJECTS, strict=True)
    return pa.table(
        {
            "bucket": ["sounds"] * len(keys),
            "key": list(keys),
            "version_id": ["v1"] * len(keys),
            "is_latest": list(latest),
            "is_delete_marker": list(deleted),
            "size": pa.array(sizes, pa.int64()),
        }
    )


def orc_data():
    sink = io.BytesIO()
    orc.write_table(table(), sink)
    return sink.getvalue()


def parquet_data():
    sink = io.BytesIO()
    pq.write_table(table(), sink)
    return sink.getvalue()


FORMATS = {
    "CSV": (".csv.gz", CSV_SCHEMA, csv_data),
    "ORC": (".orc", "struct<bucket:string,key:string,version_id:string>", orc_data),
    "Parquet": (".parquet", "message s3.inventory { required binary bucket (STRING); }", parquet_data),
}


def write_report(root, *, file_format="CSV", parts=None, schema=None, **changes):
    """Lay a report out as S3 does; give where its manifest is."""
    suffix, its_schema, data = FORMATS[file_format]
    files = []
    for number, content in enumerate([data()] if parts is None else parts):
        key = f"lists/sounds/weekly/data/part-{number}{suffix}"
        (Store(root) / key).put(content)
        files.append({"key": key, "size": len(content), "MD5checksum": hashlib.md5(content).hexdigest()})
    manifest = {
        "sourceBucket": "sounds",
        "destinationBucket": "arn:aws:s3:::reports",
        "version": "2016-11-30",
        "creationTimestamp": "1478467200000",
        "fileFormat": file_format,
        "fileSchema": schema or its_schema,
        "files": files,
    } | changes
    place = str(Store(root) / "lists/sounds/weekly/2026-11-06T21-32Z/manifest.json")
    Store(place).put(json.dumps(manifest).encode())
    return place


@pytest.fixture(scope="module")
def s3():
    pytest.importorskip("s3fs")
    boto3 = pytest.importorskip("boto3")
    server_module = pytest.importorskip("moto.server")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        forget_clients()
        for bucket in ("reports", "sounds"):
            boto3.client("s3").create_bucket(Bucket=bucket)
        yield "s3://reports"
    forget_clients()
    server.stop()


def found(manifest):
    listing = open_listing(manifest)
    rows = [row for table in listing.tables() for row in table.to_pylist()]
    return listing, rows


@pytest.mark.parametrize("file_format", list(FORMATS))
def test_a_report_copied_to_a_folder_tells_what_is_there_now(tmp_path, file_format):
    listing, rows = found(write_report(str(tmp_path), file_format=file_format))
    assert (listing.kind, listing.known_count) == ("inventory", None)
    assert [(row["recording_id"].replace("%22", '"'), row["bytes"]) for row in rows] == EXPECTED
    assert [row["recording_uri"] for row in rows] == [f"s3://sounds/{key}" for key, _ in EXPECTED]


@pytest.mark.parametrize("file_format", list(FORMATS))
def test_a_report_in_its_bucket_names_recordings_as_a_listing_of_the_bucket_does(s3, file_format):
    for key, _ in EXPECTED:
        Store(f"s3://sounds/{key}").put(b"sound")
    _, rows = found(write_report(s3, file_format=file_format))
    listed = list(list_recordings("s3://sounds"))
    assert [(row["recording_uri"], row["recording_id"]) for row in rows] == [
        (item.recording_uri, item.recording_id) for item in listed
    ]


def test_a_manifest_alone_finds_its_data_in_the_destination_bucket(s3, tmp_path):
    alone = tmp_path / "manifest.json"
    alone.write_bytes(Store(write_report(s3)).read())
    assert [row["bytes"] for row in found(str(alone))[1]] == [100, 7]


def test_each_data_file_has_a_reader(tmp_path):
    parts = [csv_data([(f"{part}/{row}.wav", True, False, 1) for row in range(1500)]) for part in range(3)]
    listing, rows = found(write_report(str(tmp_path), parts=parts))
    assert len(listing.readers) == 3
    assert len({row["recording_key"] for row in rows}) == 4500
    assert max(table.num_rows for table in listing.tables()) == 1000


def test_a_bucket_without_versions_has_no_such_columns(tmp_path):
    data = gzip.compress(b'"sounds","a.wav","3"\n"sounds","b.wav","4"\n')
    _, rows = found(write_report(str(tmp_path), parts=[data], schema="Bucket, Key, Size"))
    assert [(row["recording_id"], row["bytes"]) for row in rows] == [("a.wav", 3), ("b.wav", 4)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fileFormat": "XML"}, "fileFormat: expected 'CSV', 'ORC' or 'Parquet', found 'XML'"),
        ({"fileFormat": None}, "fileFormat: expected .*, found null"),
        ({"fileSchema": "Bucket, Size"}, "fileSchema: expected the columns key"),
        ({"files": []}, "files: expected .*at least 1"),
        ({"files": [{"size": 3}]}, r"files\.0\.key: expected a value, found none"),
        ({"destinationBucket": None}, "destinationBucket"),
    ],
)
def test_a_wrong_manifest_is_named_before_any_work(tmp_path, changes, message):
    manifest = write_report(str(tmp_path), **changes)
    with pytest.raises(DataError, match=message) as caught:
        open_listing(manifest)
    assert "manifest.json" in caught.value.item


def test_any_other_json_is_no_report(tmp_path):
    (tmp_path / "manifest.json").write_text("[1, 2]")
    with pytest.raises(DataError, match="S3 Inventory"):
        open_listing(str(tmp_path / "manifest.json"))
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(DataError, match="S3 Inventory"):
        open_listing(str(tmp_path / "manifest.json"))


def test_a_data_file_cut_short_is_found_on_opening(tmp_path):
    manifest = write_report(str(tmp_path))
    data = tmp_path / "lists/sounds/weekly/data/part-0.csv.gz"
    data.write_bytes(data.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"part-0\.csv\.gz: expected \d+ bytes"):
        open_listing(manifest)


@pytest.mark.parametrize("file_format", list(FORMATS))
def test_a_damaged_data_file_is_named_with_its_format(tmp_path, file_format):
    manifest = write_report(str(tmp_path), file_format=file_format, parts=[b"\x1f\x8b no such thing"])
    with pytest.raises(DataError, match=rf"part-0.*S3 Inventory \({file_format}\)"):
        found(manifest)


def test_a_broken_row_is_named(tmp_path):
    data = gzip.compress(b'"sounds","a.wav","3"\n"sounds","b.wav"\n')
    with pytest.raises(DataError, match=r"row 2: expected 3 cells.*2"):
        found(write_report(str(tmp_path), parts=[data], schema="Bucket, Key, Size"))
    data = gzip.compress(b'"sounds","a.wav","many"\n')
    with pytest.raises(DataError, match=r"row 1, column 'Size'.*'many'"):
        found(write_report(str(tmp_path), parts=[data], schema="Bucket, Key, Size"))


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_report_tells_of_the_keys_that_are_no_recordings(tmp_path, file_format):
    told = []
    listing = open_listing(write_report(tmp_path, file_format=file_format))
    found = [
        name for table in listing.telling(told.extend).tables() for name in table["recording_id"].to_pylist()
    ]
    assert found
    assert told
    assert not set(told) & set(found)
    assert not any(name.endswith((".wav", "/")) for name in told)
