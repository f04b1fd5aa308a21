"""Local folders, an S3 server and a web server give the same answers, and nothing half-written shows."""

from __future__ import annotations

import fcntl
import http.server
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.servers.in_process import s3_by_default, s3_in_process
from uss_ray.errors import ConfigError, DataError, OutputError, RecordingError, UssRayError, WeightsError
from uss_ray.store import store as store_module
from uss_ray.store.store import HALF_WRITTEN, Store, StoreOptions, sweep_half_written

BUCKET = "store-test"


# From the start of the module: what a test does to the environment is undone after it.
@pytest.fixture(scope="module", autouse=True)
def s3_endpoint() -> Iterator[str]:
    with s3_by_default(BUCKET) as endpoint:
        yield endpoint


@pytest.fixture(params=["local", "s3", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "s3":
        request.getfixturevalue("s3_endpoint")
        return Store(f"s3://{BUCKET}/{tmp_path.name}")
    if request.param == "memory":
        return Store(f"memory://{tmp_path.name}")
    return Store(tmp_path / "store")


def test_what_is_written_is_read_back_under_any_name(root: Store) -> None:
    place = root / "été 2024" / "шум #1 50%?.wav"
    assert not place.exists()
    place.put(b"0123456789")
    assert place.exists()
    assert place.size() == 10
    assert place.read() == b"0123456789"


def test_an_opened_file_seeks(root: Store) -> None:
    place = root / "clip.bin"
    place.put(bytes(range(256)) * 100)
    with place.open() as file:
        file.seek(-256, os.SEEK_END)
        assert file.read() == bytes(range(256))
        file.seek(3)
        assert file.read(2) == b"\x03\x04"


def test_each_reader_of_a_file_has_a_place_of_its_own_in_it(root: Store) -> None:
    place = root / "shared.bin"
    place.put(b"0123456789")
    with place.open() as first, place.open() as second:
        assert first.read(4) == b"0123"
        assert second.read(2) == b"01"
        assert place.read(most_bytes=20) == b"0123456789"
        assert first.read(3) == b"456"
        assert second.read() == b"23456789"


def test_put_file_replaces_what_was_there(root: Store, tmp_path: Path) -> None:
    source = tmp_path / "new file.flac"
    source.write_bytes(b"new" * 1000)
    place = root / "stems" / "m.flac"
    place.put(b"old")
    place.put(source)
    assert place.read() == b"new" * 1000
    assert source.exists()


def test_remove_takes_a_file_away_and_forgives_its_absence(root: Store) -> None:
    place = root / "gone.txt"
    place.put(b"x")
    place.remove()
    assert not place.exists()
    place.remove()


def test_listing_is_complete_in_order_and_without_hidden_names(root: Store) -> None:
    names = ["b.wav", "a/2.wav", "a/1.wav", "a.wav", "a-b/x.wav", "ä/深い/1.wav"]
    for name in [*names, ".part", "a/.tmp/1.wav"]:
        (root / name).put(b"x")
    listed = list(root.list())
    assert [place.relative_to(root) for place in listed] == sorted(names)
    assert all(place.read() == b"x" for place in listed)


def test_a_listing_may_begin_after_a_name(root: Store) -> None:
    names = ["a-b/x.wav", "a.wav", "a/1.wav", "a/2.wav", "b.wav"]
    for name in names:
        (root / name).put(b"x")
    for place, after in enumerate(names, start=1):
        assert [file.place.relative_to(root) for file in root.files(after=after)] == names[place:]
    assert len(list(root.files(after="a.wa"))) == 4


def test_listing_a_folder_leaves_out_siblings_that_begin_alike(root: Store) -> None:
    (root / "archive/1.wav").put(b"x")
    (root / "archive-old/2.wav").put(b"x")
    assert [place.name for place in (root / "archive").list()] == ["1.wav"]


def test_a_single_file_lists_itself(root: Store) -> None:
    place = root / "one.wav"
    place.put(b"x")
    assert list(place.list()) == [place]


def test_listing_nothing_is_a_recording_error(root: Store) -> None:
    with pytest.raises(RecordingError, match="no such file"):
        list((root / "nowhere").list())


def test_a_missing_file_is_an_error_of_the_kind_asked_for(root: Store) -> None:
    missing = root / "missing.wav"
    with pytest.raises(RecordingError, match=r"missing\.wav"):
        missing.open()
    with pytest.raises(RecordingError, match=r"missing\.wav"):
        missing.size()
    with pytest.raises(WeightsError, match=r"missing\.wav"):
        missing.raising(WeightsError).read()


def test_a_listing_of_s3_goes_on_past_its_first_page(
    s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, _ = Store(f"s3://{BUCKET}").file_system()
    for number in range(5):
        Store(f"s3://{BUCKET}/paged/{number}.wav").put(b"x")
    whole_call = type(system).call_s3
    pages = []

    def small_pages(self: Any, method: str, **request: Any) -> Any:
        pages.append(request.get("ContinuationToken"))
        return whole_call(self, method, MaxKeys=2, **request)

    monkeypatch.setattr(type(system), "call_s3", small_pages)
    listed = list(Store(f"s3://{BUCKET}/paged").list())
    assert listed == [Store(f"s3://{BUCKET}/paged/{number}.wav") for number in range(5)]
    assert len(pages) == 3


def test_folder_markers_of_s3_are_not_files(s3_endpoint: str) -> None:
    Store(f"s3://{BUCKET}/marked/1.wav").put(b"x")
    system, _ = Store(f"s3://{BUCKET}").file_system()
    system.call_s3("put_object", Bucket=BUCKET, Key="marked/", Body=b"")
    assert list(Store(f"s3://{BUCKET}/marked").list()) == [Store(f"s3://{BUCKET}/marked/1.wav")]


def test_a_missing_bucket_cannot_be_written(s3_endpoint: str) -> None:
    with pytest.raises(OutputError, match=r"s3://no-such-bucket/x\.flac"):
        Store("s3://no-such-bucket/x.flac").put(b"x")


@pytest.mark.parametrize("kind", [DataError, OutputError, RecordingError, WeightsError])
def test_a_store_that_does_not_answer_raises_the_kind_that_travels_with_it(kind: type[UssRayError]) -> None:
    dead = Store("s3://bucket", StoreOptions(endpoint="http://127.0.0.1:9", patience_seconds=0), kind)
    place = dead / "a" / "b.wav"
    for ask in (place.read, place.open, place.size, place.exists, lambda: list(place.list())):
        with pytest.raises(kind, match=r"s3://bucket/a/b\.wav"):
            ask()
    for change in (place.remove, lambda: place.put(b"x"), lambda: place.put(Path(__file__))):
        with pytest.raises(OutputError, match=r"s3://bucket/a/b\.wav"):
            change()


def test_a_local_place_that_cannot_be_looked_at_raises_the_kind_that_travels_with_it(tmp_path: Path) -> None:
    place = Store(tmp_path, None, DataError) / ("a" * 300) / "b.wav"
    with pytest.raises(DataError, match="expected a place that can be looked at, found"):
        place.exists()


def test_a_failed_local_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "index.json"
    place.write_bytes(b"old")

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_module.os, "fsync", full_disk)
    with pytest.raises(OutputError, match=r"index\.json.*No space left"):
        Store(place).put(b"new")
    assert place.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["index.json"]


def test_a_place_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match=r"file/stem\.flac"):
        Store(tmp_path / "file" / "stem.flac").put(b"x")


def test_local_names_that_look_like_chains_or_patterns_are_taken_literally(tmp_path: Path) -> None:
    for name in ("a::b.wav", "c*.wav", "[d].wav", "e#f.wav"):
        place = Store(tmp_path) / name
        place.put(name.encode())
        assert place.read() == name.encode()
    assert len(list(Store(tmp_path).list())) == 4


def test_a_folder_linked_into_itself_is_listed_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.wav").write_bytes(b"x")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "linked").symlink_to(tmp_path / "a")
    names = [place.relative_to(Store(tmp_path)) for place in Store(tmp_path).list()]
    assert names == ["a/1.wav", "linked/1.wav"]


def test_a_web_server_without_ranges_still_gives_a_seekable_file(tmp_path: Path) -> None:
    (tmp_path / "clip.bin").write_bytes(bytes(range(256)) * 64)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        base = f"http://127.0.0.1:{server.server_port}"
        with Store(f"{base}/clip.bin").open() as file:
            file.seek(300)
            assert file.read(3) == bytes([44, 45, 46])
        with pytest.raises(RecordingError, match=r"missing\.bin"):
            Store(f"{base}/missing.bin").open()
        with pytest.raises(RecordingError, match="can be listed"):
            list(Store(base).list())
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_an_unknown_scheme_is_a_setting_error() -> None:
    with pytest.raises(ConfigError, match="nosuch://"):
        Store("nosuch://bucket/a.wav").read()


def test_s3_without_s3fs_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules, "uss_ray.store.s3", raising=False)
    with pytest.raises(ConfigError, match="pip install s3fs"):
        Store("s3://bucket/a.wav").read()


def test_importing_brings_in_no_object_store_client() -> None:
    code = "import sys, uss_ray.store.store; print({'s3fs', 'botocore', 'torch', 'ray'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_relative_refuses_what_is_not_below() -> None:
    with pytest.raises(ValueError, match="not below"):
        Store("s3://bucket/archive-old/a.wav").relative_to(Store("s3://bucket/archive"))


def test_a_listing_tells_sizes(root: Store) -> None:
    for name, data in (("b.bin", b"12"), ("a/x.bin", b"12345"), ("empty.bin", b"")):
        (root / name).put(data)
    found = {file.place.relative_to(root): file.size_bytes for file in root.files()}
    assert found == {"a/x.bin": 5, "b.bin": 2, "empty.bin": 0}
    (alone,) = (root / "b.bin").files()
    assert (alone.place, alone.size_bytes) == (root / "b.bin", 2)
    assert alone.changed_at is not None
    assert alone.changed_at in [file.changed_at for file in root.files()]


def test_a_tag_changes_with_the_content_and_is_the_same_in_a_listing(root: Store) -> None:
    place = root / "a.bin"
    assert place.content_tag() is None
    tags = []
    for data in (b"12", b"13"):
        place.put(data)
        (found,) = root.files()
        tags.append(place.content_tag())
        assert tags[-1] == found.content_tag is not None
    assert tags[0] != tags[1]


def test_two_endpoints_side_by_side_and_nothing_in_the_environment(s3_endpoint: str) -> None:
    # Servers of one process share their buckets; the dead one shows that each store asks its own.
    dead = Store(f"s3://{BUCKET}/a.bin", StoreOptions(endpoint="http://127.0.0.1:9", patience_seconds=0))
    before = dict(os.environ)
    with s3_in_process("second") as second:
        here, there = Store(f"s3://{BUCKET}"), Store("s3://second", StoreOptions(endpoint=second))
        (here / "a.bin").put(b"here")
        (there / "a.bin").put(b"there")
        assert ((here / "a.bin").read(), (there / "a.bin").read()) == (b"here", b"there")
        with pytest.raises(RecordingError):
            dead.read()
        assert (here / "a.bin").read() == b"here"
        systems = {place.file_system()[0] for place in (here, there, dead)}
        assert {system.endpoint_url for system in systems} == {None, second, "http://127.0.0.1:9"}
    assert dict(os.environ) == before


def test_a_store_is_a_small_value() -> None:
    place = (
        Store("s3://bucket/a", StoreOptions(endpoint="http://127.0.0.1:9", region="here"), OutputError)
        / "b c"
    )
    packed = pickle.dumps(place)
    unpacked = pickle.loads(packed)  # noqa: S301
    assert unpacked == place
    assert unpacked.error is OutputError
    assert len(packed) < 250
    assert len({place, place.raising(DataError), place.raising(OutputError)}) == 2


def test_places_are_named_as_their_kind_names_them(tmp_path: Path) -> None:
    assert str(Store("s3://b/r/") / "a b" / "/x/" / "y.wav") == "s3://b/r/a b/x/y.wav"
    assert str(Store("archive//r") / "a: b.flac") == "archive/r/a: b.flac"
    assert not Store("archive/a: b.flac").is_remote
    assert Store("file:///data/x").local_path() == Path("/data/x")
    assert [Store(place).name for place in ("s3://b/r/a#1.wav", "s3://b/r/", "/data/a b.wav")] == [
        "a#1.wav", "r", "a b.wav"
    ]  # fmt: skip
    with pytest.raises(ValueError, match="not local"):
        Store("https://me:geheim@host/a").local_path()
    assert "geheim" not in repr(Store("https://me:geheim@host/a"))


def test_public_functions_take_a_location_or_a_store() -> None:
    given = Store("s3://b/r", StoreOptions(region="here"))
    assert Store.of(given, OutputError) == Store("s3://b/r", StoreOptions(region="here"), OutputError)
    assert Store.of(Path("out"), OutputError) == Store("out", StoreOptions(), OutputError)


def test_what_a_killed_process_left_half_written_is_swept_away_and_the_work_of_a_live_one_is_not(tmp_path):
    write = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from uss_ray.store import store\n"
        "store.os.fsync = lambda _: os._exit(9)\n"
        "store.Store(sys.argv[1]).put(b'half')"
    )
    subprocess.run([sys.executable, "-c", write, str(tmp_path / "run.json")], env=dict(os.environ))
    (left,) = tmp_path.iterdir()
    assert HALF_WRITTEN.fullmatch(left.name)
    (tmp_path / ".mine.part").write_bytes(b"a user's")
    swept = []

    def sweep_meanwhile(descriptor):
        sweep_half_written(tmp_path)
        swept.append({path.name for path in tmp_path.iterdir()})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", sweep_meanwhile)
        Store(tmp_path / "run.json").put(b"whole")
    assert [len(names) for names in swept] == [2]
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", ".mine.part"}
    assert (tmp_path / "run.json").read_bytes() == b"whole"


def test_a_file_that_is_swept_away_before_it_is_locked_is_begun_again(tmp_path, monkeypatch):
    locks = []
    lock = fcntl.flock

    def sweep_first(file, how):
        if not locks:
            for path in tmp_path.glob(".*"):
                path.unlink()
        locks.append(how)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", sweep_first)
    Store(tmp_path / "a").put(b"1")
    assert ((tmp_path / "a").read_bytes(), len(locks)) == (b"1", 2)
    assert len(list(tmp_path.iterdir())) == 1


def test_hidden_files_are_listed_on_request(root):
    for name in ("a", ".b", ".c/d"):
        (root / name).put(b"1")
    assert [found.place.relative_to(root) for found in root.files(with_hidden=True)] == [".b", ".c/d", "a"]


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_a_strangers_file_is_read_as_far_as_it_may_be_large(kind, tmp_path):
    place = Store(tmp_path / "x" if kind == "local" else f"memory://{tmp_path.name}/x", None, DataError)
    place.put(b"12345")
    assert place.read(most_bytes=5) == b"12345"
    with pytest.raises(DataError, match="at most 4 bytes"):
        place.read(most_bytes=4)


def test_a_place_is_meant_wherever_a_process_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(Store("a/../b", None, OutputError).absolute()) == f"{tmp_path}/b"
    assert Store("a").absolute().error is RecordingError
    for place in ("s3://bucket/a", f"{tmp_path}/a"):
        assert Store(place).absolute() == Store(place)


@pytest.mark.parametrize("write", [Store.put, Store.create])
def test_a_folder_that_goes_while_a_file_is_put_there_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any
) -> None:
    place = Store(tmp_path / "a" / "b", None, OutputError)
    names = iter("12")

    def named_late(_: int) -> str:
        if (tmp_path / "a").is_dir():
            (tmp_path / "a").rmdir()
        return next(names)

    monkeypatch.setattr(store_module.secrets, "token_hex", named_late)
    write(place, b"x")
    assert place.read() == b"x"


@pytest.mark.parametrize("root", ["local", "memory://created"])
def test_of_many_who_create_a_file_one_does(root: str, tmp_path: Path) -> None:
    place = Store(tmp_path / "a" if root == "local" else root) / "b.json"
    assert place.create(b"one")
    assert not place.create(b"two")
    assert place.read() == b"one"
    place.remove()


def test_a_name_below_a_scheme_alone_stays_remote() -> None:
    place = Store("s3://") / "config.json"
    assert (str(place), place.is_remote) == ("s3://config.json", True)
