from __future__ import annotations

import gzip
import json
import math
import pickle
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from uss_ray.errors import DataError, RecordingError
from uss_ray.records import recording_key
from uss_ray.sources.listing import list_recordings, open_listing
from uss_ray.sources.manifests import open_manifest
from uss_ray.store.store import Store

ROWS = [
    {"uri": "s3://bucket/a/x.wav", "id": "first", "bytes": 12, "duration_seconds": 1.5},
    {"uri": "/disk/b c.bin", "id": None, "bytes": None, "duration_seconds": None},
    {"uri": "near/d.flac", "id": None, "bytes": 0, "duration_seconds": 0.0},
    {"uri": "https://host/e.mp3?signature=secret", "id": None, "bytes": None, "duration_seconds": 3},
]


def write_parquet(path):
    pq.write_table(pa.Table.from_pylist(ROWS), path)


def write_csv(path):
    lines = [",".join(["uri", "note", "id", "bytes", "duration_seconds"])]
    for row in ROWS:
        cells = [row["uri"], '"two\nlines, quoted"', row["id"], row["bytes"], row["duration_seconds"]]
        lines.append(",".join("" if cell is None else str(cell) for cell in cells))
    path.write_text("\ufeff" + "\r\n".join(lines) + "\r\n", encoding="utf-8", newline="")


def write_jsonl(path):
    kept = [{name: value for name, value in row.items() if value is not None} for row in ROWS]
    path.write_text("\n\n".join(map(json.dumps, kept)))


def write_gzip(path):
    plain = path.with_name("plain.jsonl")
    write_jsonl(plain)
    path.write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()


@pytest.fixture(
    params=[
        ("list.parquet", write_parquet),
        ("list.csv", write_csv),
        ("list.jsonl", write_jsonl),
        ("list.ndjson.gz", write_gzip),
    ],
    ids=lambda param: param[0],
)
def manifest(request, tmp_path):
    name, write = request.param
    write(tmp_path / name)
    return tmp_path / name


def rows_of(listing):
    return [row for table in listing.tables() for row in table.to_pylist()]


def test_every_format_tells_the_same(manifest, tmp_path):
    listing = open_listing(str(manifest))
    assert (listing.kind, listing.known_count) == ("manifest", 4)
    rows = rows_of(listing)
    assert [row["recording_uri"] for row in rows] == [
        "s3://bucket/a/x.wav",
        "/disk/b c.bin",
        str(tmp_path / "near/d.flac"),
        "https://host/e.mp3?signature=secret",
    ]
    assert [row["recording_id"] for row in rows] == ["first", "disk/b c.bin", "near/d.flac", "host/e.mp3"]
    assert [row["bytes"] for row in rows] == [12, None, 0, None]
    assert [row["duration_seconds"] for row in rows] == [1.5, None, 0.0, 3.0]
    assert rows[0]["recording_key"] == recording_key("first")


def test_readers_travel_and_begin_anew(manifest):
    (reader,) = pickle.loads(pickle.dumps(open_listing(str(manifest)).readers))  # noqa: S301
    assert [table.to_pylist() for table in reader()] == [table.to_pylist() for table in reader()] != []


def test_a_manifest_in_a_store_means_its_own_surroundings(tmp_path):
    (tmp_path / "m.csv").write_text("recording_uri,recording_id\nx/y.wav,\n../z.wav,\n")
    Store("memory://manifests/deep/m.csv").put(tmp_path / "m.csv")
    found = list(list_recordings("memory://manifests/deep/m.csv"))
    assert [item.recording_uri for item in found] == [
        "memory://manifests/deep/x/y.wav",
        "memory://manifests/z.wav",
    ]
    assert [item.recording_id for item in found] == ["x/y.wav", "manifests/z.wav"]


def test_two_buckets_never_meet_in_one_name(tmp_path):
    (tmp_path / "m.csv").write_text("uri\ns3://a/x.wav\ns3://b/x.wav\n")
    assert [item.recording_id for item in list_recordings(str(tmp_path / "m.csv"))] == ["a/x.wav", "b/x.wav"]


def test_a_folder_of_parquet_is_one_manifest_with_a_reader_a_file(tmp_path):
    for part in range(3):
        table = pa.table({"uri": pa.array([f"{part}-{row}.wav" for row in range(part * 1100)], pa.string())})
        pq.write_table(table, tmp_path / f"part-{part}.parquet")
    listing = open_listing(str(tmp_path))
    assert (listing.kind, listing.known_count, len(listing.readers)) == ("manifest", 3300, 2)
    assert len(rows_of(listing)) == 3300
    assert max(table.num_rows for table in listing.tables()) == 1000


def test_the_columns_of_other_writers_are_understood(tmp_path):
    table = pa.table(
        {
            "recording_uri": pa.array(["a.wav", "b.wav", "a.wav"]).dictionary_encode(),
            "bytes": pa.array([1, 2, None], pa.uint32()),
            "duration_seconds": pa.array([1.0, math.nan, None], pa.float32()),
            "tags": pa.array([["x"], [], None]),
        }
    )
    pq.write_table(table, tmp_path / "m.parquet")
    rows = rows_of(open_listing(str(tmp_path / "m.parquet")))
    assert [(row["recording_id"], row["bytes"], row["duration_seconds"]) for row in rows] == [
        ("a.wav", 1, 1.0),
        ("b.wav", 2, None),
        ("a.wav", None, None),
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", "path\na.wav\n", r"m\.csv: expected a column 'uri'.*'path'"),
        ("m.csv", "", "header"),
        ("m.csv", "uri,uri\na,b\n", "one column uri"),
        ("m.csv", "uri,recording_uri\na,b\n", "one column uri"),
        ("m.csv", "uri,bytes\na.wav,1\nb.wav\n", "line 3: expected 2 cells.*1"),
        ("m.csv", "uri,bytes\na.wav,1\nb.wav,many\n", "line 3, column 'bytes'.*'many'"),
        ("m.csv", "uri,bytes\na.wav,-1\n", "line 2, column 'bytes'.*'-1'"),
        ("m.csv", "uri,duration_seconds\na.wav,long\n", "line 2, column 'duration_seconds'"),
        ("m.csv", "uri,duration_seconds\na.wav,-2\n", "line 2, column 'duration_seconds'"),
        ("m.csv", "uri,note\na.wav,\n,x\n", "line 3, column 'uri'"),
        ("m.csv", 'uri\n"a.wav\n', "expected CSV"),
        ("m.csv", "uri,id\na.wav,..\n", r"line 2, column 'id'.*'\.\.'"),
        ("m.jsonl", '{"uri": "a.wav"}\n{"uri": \n', "line 2, character"),
        ("m.jsonl", '{"uri": "a.wav"}\n["b.wav"]\n', "line 2: expected a JSON object"),
        ("m.jsonl", '{"uri": "a.wav"}\n{"id": "b.wav"}\n', "line 2, column 'uri'.*nothing"),
        ("m.jsonl", '{"uri": 7}\n', "line 1, column 'uri'.*7"),
        ("m.jsonl", '{"uri": "a.wav", "bytes": true}\n', "line 1, column 'bytes'.*True"),
        ("m.jsonl", '{"uri": "a.wav", "bytes": 1.5}\n', "line 1, column 'bytes'.*1.5"),
        ("m.jsonl", '{"path": "a.wav"}\n', "column 'uri'.*'path'"),
    ],
)
def test_a_broken_text_is_named_before_any_work(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        open_listing(str(tmp_path / name))


def test_other_bytes_are_named_before_any_work(tmp_path):
    (tmp_path / "m.csv").write_bytes(b"uri\n\xff\xfe.wav\n")
    (tmp_path / "m.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "m.csv.gz").write_bytes(gzip.compress(b"uri\na.wav\n")[:-4])
    (tmp_path / "n.csv.gz").write_bytes(b"uri\na.wav\n")
    for name, expected in (
        ("m.csv", "UTF-8"),
        ("m.parquet", "a Parquet file"),
        ("m.csv.gz", "gzip"),
        ("n.csv.gz", "gzip"),
        ("absent.csv", "no such file"),
    ):
        with pytest.raises(DataError, match=f"{name}.*{expected}"):
            open_listing(str(tmp_path / name))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"path": ["a.wav"]}, "a column 'uri'"),
        ({"uri": [1]}, "column 'uri': expected text, found int64"),
        ({"uri": ["a.wav"], "bytes": ["1"]}, "column 'bytes': expected whole numbers"),
        ({"uri": ["a.wav"], "duration_seconds": ["1"]}, "column 'duration_seconds': expected numbers"),
        ({"uri": ["a.wav", None]}, "row group 0, column 'uri'.*1 rows"),
    ],
)
def test_a_wrong_parquet_is_named_before_any_work(tmp_path, columns, message):
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    with pytest.raises(DataError, match=message):
        open_listing(str(tmp_path / "m.parquet"))


def test_a_broken_row_deep_in_parquet_is_named_when_it_is_reached(tmp_path):
    names = [f"{row}.wav" for row in range(2500)]
    pq.write_table(pa.table({"uri": names, "bytes": [1] * 2399 + [-1] + [1] * 100}), tmp_path / "m.parquet")
    (reader,), count = open_manifest([Store(str(tmp_path / "m.parquet"))])
    tables = reader()
    assert count == 2500
    assert [next(tables).num_rows, next(tables).num_rows] == [1000, 1000]
    with pytest.raises(DataError, match="row 2400, column 'bytes'"):
        next(tables)


def test_a_limit_looks_at_no_more_lines_than_it_takes(tmp_path):
    (tmp_path / "m.csv").write_text("uri,bytes\na.wav,1\nb.wav,1\nc.wav,broken\n")
    listing = open_listing(str(tmp_path / "m.csv"), limit=2)
    assert listing.known_count is None
    assert [row["recording_id"] for row in rows_of(listing)] == ["a.wav", "b.wav"]


def test_a_manifest_without_rows_is_an_error(tmp_path):
    (tmp_path / "m.csv").write_text("uri\n")
    with pytest.raises(RecordingError, match="no row"):
        open_listing(str(tmp_path / "m.csv"))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows_of_a_row_group(tmp_path):
    rows = 100_000
    digits = np.random.default_rng(0).bytes(85 * rows).hex()
    names = pa.array([digits[170 * row : 170 * row + 170] for row in range(rows)])
    pq.write_table(
        pa.table({"uri": names}), tmp_path / "m.parquet", row_group_size=rows, use_dictionary=False
    )
    (reader,), count = open_manifest([Store(str(tmp_path / "m.parquet"))])
    pool = pa.default_memory_pool()
    before = pool.bytes_allocated()
    peak = max(pool.bytes_allocated() - before for _ in islice(reader(), 60))
    assert count == rows
    assert names.nbytes > 16 << 20
    assert peak < names.nbytes / 2


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_manifests_of_pandas_and_pathlib_are_read(tmp_path, kind):
    place = tmp_path / "a b%20c ü.wav"
    place.write_bytes(b"x")
    other = tmp_path / "d e.wav"
    other.write_bytes(b"x")
    frame = {
        "uri": [place.as_uri(), other.as_uri()],
        "id": ["one", "two"],
        "bytes": [3528.0, float("nan")],
        "duration_seconds": [2.0, float("nan")],
    }
    manifest = tmp_path / f"m.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table(frame), manifest)
    else:
        pd = pytest.importorskip("pandas")
        data = pd.DataFrame(frame)
        if kind == "csv":
            data.to_csv(manifest, index=False)
        else:
            data.to_json(manifest, orient="records", lines=True)
    rows = [row for table in open_listing(str(manifest)).tables() for row in table.to_pylist()]
    assert [(row["bytes"], row["duration_seconds"]) for row in rows] == [(3528, 2.0), (None, None)]
    assert [Store(row["recording_uri"]).read() for row in rows] == [b"x", b"x"]
