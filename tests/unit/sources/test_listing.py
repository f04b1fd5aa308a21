from __future__ import annotations

import pickle

import pyarrow as pa
import pytest

from uss_ray.errors import ConfigError, RecordingError
from uss_ray.records import recording_key
from uss_ray.sources.listing import list_recordings, open_listing
from uss_ray.sources.recordings import RECORDING_SCHEMA, single_recording
from uss_ray.store.store import Store


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    for number in range(2500):
        path = folder / f"day {number % 7}" / f"{number:04d}.wav"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * (number % 5))
    (folder / "day 0" / "notes.txt").touch()
    return str(folder)


def rows_of(listing):
    return pa.concat_tables([*listing.tables(), RECORDING_SCHEMA.empty_table()]).to_pylist()


def test_an_archive_lists_its_recordings_in_order_and_nothing_else(tmp_path):
    for name in ("b.wav", "a/x.FLAC", "a/notes.txt", ".hidden.wav", "a/y y.ogg", "a/z.M4A", "LICENSES.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = list(list_recordings(str(tmp_path)))
    assert [recording.recording_id for recording in found] == ["a/x.FLAC", "a/y y.ogg", "a/z.M4A", "b.wav"]
    assert found[0].recording_uri == str(tmp_path / "a" / "x.FLAC")


def test_one_recording_is_an_archive_of_one(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"1234")
    assert [r.recording_id for r in list_recordings(str(tmp_path / "a.wav"))] == ["a.wav"]
    listing = open_listing(str(tmp_path / "a.wav"))
    assert (listing.kind, listing.known_count) == ("file", 1)
    assert rows_of(listing)[0]["bytes"] == 4


def test_an_archive_without_recordings_is_an_error(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(RecordingError, match="expected recordings"):
        open_listing(str(tmp_path))
    with pytest.raises(RecordingError, match="nowhere"):
        list(list_recordings(str(tmp_path / "nowhere")))


def test_keys_are_int64_depend_on_the_id_alone_and_differ():
    keys = [recording_key(f"{n}.wav") for n in range(1000)]
    assert len(set(keys)) == 1000
    assert all(0 <= key < 2**63 for key in keys)
    assert single_recording("s3://bucket/a/x.wav").recording_key == recording_key("x.wav")


def test_a_recording_needs_a_name():
    with pytest.raises(RecordingError):
        single_recording("")


def test_a_folder_gives_small_tables_with_keys_and_sizes(archive):
    listing = open_listing(archive)
    tables = list(listing.tables())
    assert (listing.kind, listing.known_count, len(listing.readers)) == ("folder", None, 1)
    assert [table.num_rows for table in tables] == [1000, 1000, 500]
    assert all(table.schema.equals(RECORDING_SCHEMA) for table in tables)
    row = tables[0].to_pylist()[3]
    assert row == {
        "recording_key": recording_key("day 0/0021.wav"),
        "recording_id": "day 0/0021.wav",
        "recording_uri": f"{archive}/day 0/0021.wav",
        "bytes": 1,
        "duration_seconds": None,
        "content_tag": Store(f"{archive}/day 0/0021.wav").content_tag(),
    }


def test_a_prefix_of_a_store_lists_as_the_folder_does(archive):
    Store("memory://listing-test/a/x.wav").put(b"123")
    Store("memory://listing-test/a/x.txt").put(b"")
    listing = open_listing("memory://listing-test")
    assert listing.kind == "prefix"
    assert [(row["recording_id"], row["bytes"]) for row in rows_of(listing)] == [("a/x.wav", 3)]


def test_nothing_is_read_before_it_is_asked_for(archive, monkeypatch):
    asked = []
    listed = Store.files

    def counting(prefix, **options):
        for found in listed(prefix, **options):
            asked.append(found)
            yield found

    monkeypatch.setattr(Store, "files", counting)
    listing = open_listing(archive, limit=3)
    assert len(asked) == 1
    assert len(rows_of(listing)) == 3
    assert len(asked) <= 1 + 1000 + 1


def test_shards_part_the_archive(archive):
    shards = [rows_of(open_listing(archive, shard=(part, 3))) for part in (1, 2, 3)]
    keys = [{row["recording_key"] for row in shard} for shard in shards]
    assert sum(map(len, keys)) == len(set.union(*keys)) == 2500
    assert all(key % 3 == 1 for key in keys[1])
    assert all(700 < len(part) < 970 for part in keys)


def test_a_limit_takes_the_first_of_the_shard(archive):
    everything = rows_of(open_listing(archive, shard=(2, 3)))
    listing = open_listing(archive, shard=(2, 3), limit=400)
    assert rows_of(listing) == everything[:400]
    assert len(listing.readers) == 1
    assert rows_of(open_listing(archive, limit=5000)) == rows_of(open_listing(archive))


@pytest.mark.parametrize("choice", [{"shard": (0, 3)}, {"shard": (4, 3)}, {"limit": 0}])
def test_an_impossible_part_is_refused(archive, choice):
    with pytest.raises(ConfigError, match=next(iter(choice))):
        open_listing(archive, **choice)


def test_readers_travel_to_workers(archive):
    listing = open_listing(archive, shard=(1, 2), limit=10)
    (reader,) = pickle.loads(pickle.dumps(listing.readers))  # noqa: S301
    assert sum(table.num_rows for table in reader()) == 10


def test_parquet_among_recordings_is_no_manifest(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"anything")
    (tmp_path / "b.wav").touch()
    assert open_listing(str(tmp_path)).kind == "folder"


def test_where_there_are_only_links_that_lead_out_these_are_told(tmp_path, make_recording):
    elsewhere = make_recording("elsewhere/a.wav")
    folder = tmp_path / "links"
    folder.mkdir()
    (folder / "b.wav").symlink_to(elsewhere)
    with pytest.raises(RecordingError, match=r"found none but what is left out: b\.wav: .*--follow-links"):
        open_listing(str(folder))
    assert open_listing(str(folder), follow_links=True).kind == "folder"


@pytest.mark.parametrize(("names", "found"), [((), "none"), (("m.parquet",), r"a manifest \(m\.parquet\)")])
def test_who_takes_no_manifest_is_not_told_of_any_to_give(tmp_path, names, found):
    for name in names:
        (tmp_path / name).write_bytes(b"PAR1")
    with pytest.raises(RecordingError, match=rf"expected recordings \(WAV[^)]*\), found {found}$"):
        list(list_recordings(str(tmp_path), with_manifests=False))
