from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from uss_ray.errors import OutputError
from uss_ray.service.job_driver import checked_input
from uss_ray.service.jobs import Counts, JobProgress, JobRequest, JobTable
from uss_ray.service.problems import Refusal
from uss_ray.service.settings import Limits
from uss_ray.service.uploads import PRESIGNED_SECONDS, Uploads
from uss_ray.store.store import Store


def _uploads(root: str | Path, *, presign: bool = False) -> Uploads:
    return Uploads(Store(root, None, OutputError), Limits(), presign=presign)


def test_what_is_over_goes_unless_a_job_needs_it(tmp_path: Path) -> None:
    uploads = _uploads(tmp_path)
    (tmp_path / "content").write_bytes(b"x")
    day_ago = time.time() - 24 * 3600 - 60
    for tenant in ("one", "two"):
        for name in ("old", "dawn/old", "new"):
            place = uploads.place(tenant, name)
            uploads.put(place, tmp_path / "content")
            if name != "new":
                os.utime(place.local_path(), (day_ago, day_ago))

    def left() -> list[str]:
        root = Store(tmp_path / "uploads")
        return [place.relative_to(root) for place in root.list()]

    assert uploads.expire(lambda _: [None]) == 0  # perhaps rows of a manifest
    reads = {"one": ["/elsewhere/in", str(tmp_path / "uploads" / "one" / "dawn")], "two": ["/elsewhere/in"]}
    assert uploads.expire(lambda tenant: reads[tenant]) == 2
    assert left() == ["one/dawn/old", "one/new", "one/old", "two/new"]
    assert uploads.expire(lambda _: ()) == 2
    assert left() == ["one/new", "two/new"]
    assert not (tmp_path / "uploads" / "one" / "dawn").exists()
    assert _uploads(tmp_path / "nothing").expire(lambda _: ()) == 0


def test_what_comes_while_its_empty_folder_goes_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = _uploads(tmp_path)
    (tmp_path / "content").write_bytes(b"x")
    place = uploads.place("one", "dawn/dusk/a.wav")
    mkdir = Path.mkdir

    def removed_again(path: Path, *given: object, **named: object) -> None:
        monkeypatch.undo()
        mkdir(path, *given, **named)  # type: ignore[arg-type]
        uploads.put(uploads.place("one", "dawn/dusk/b.wav"), tmp_path / "content")
        uploads.remove(uploads.place("one", "dawn/dusk/b.wav"))
        assert not path.parent.exists()
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "mkdir", removed_again)
    uploads.put(place, tmp_path / "content")
    assert place.exists()


def test_what_comes_again_while_the_old_is_about_to_go_stays(tmp_path: Path) -> None:
    uploads = _uploads(tmp_path)
    (tmp_path / "content").write_bytes(b"x")
    place = uploads.place("one", "a.wav")
    uploads.put(place, tmp_path / "content")
    os.utime(place.local_path(), (1e9, 1e9))

    def inputs_of(_: str) -> list[str]:
        uploads.put(place, tmp_path / "content")
        return []

    assert uploads.expire(inputs_of) == 0
    assert place.exists()


@pytest.mark.parametrize("is_begun", [True, False])
def test_what_only_a_manifest_elsewhere_names_stays_as_long_as_its_job(
    tmp_path: Path, is_begun: bool
) -> None:
    uploads = _uploads(tmp_path / "store")
    table = JobTable(Store(tmp_path / "store", None, OutputError))
    (tmp_path / "content").write_bytes(b"x")
    place = uploads.place("one", "a.wav")
    uploads.put(place, tmp_path / "content")
    os.utime(place.local_path(), (1e9, 1e9))
    manifest = tmp_path / "list.csv"
    manifest.write_text(f"uri\n{place}\n")
    said = {"digest": "d", "input": str(manifest), "output": "/out", "sounds": {}}
    prefixes = (str(tmp_path),)
    row = table.add(JobRequest(job_id="0" * 32, tenant="one", created_at=1.0, prefixes=prefixes, **said))  # type: ignore[arg-type]
    if is_begun:
        checked_input(row.request, folder=table.folder_of(row))
        table.note(row, JobProgress(attempt=1, found=1))
    assert uploads.expire(table.unfinished_inputs) == 0
    table.end(row, "succeeded", counts=Counts())
    assert uploads.expire(table.unfinished_inputs) == 1


@pytest.mark.parametrize(("root", "count"), [("/srv/store", 1), ("s3://bucket/a", 1), ("/srv/[store]", 0)])
def test_a_store_that_nobody_could_name_has_no_prefix(root: str, count: int) -> None:
    assert len(_uploads(root).prefixes_of("one")) == count


def test_what_may_come_by_an_address_takes_room_until_it_is_over(
    s3_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of any number of addresses found all the room, as long as nothing was sent to one."""
    now = time.time()
    monkeypatch.setattr("uss_ray.service.uploads.time", SimpleNamespace(time=lambda: now))
    store = Store(s3_root, None, OutputError)
    uploads = Uploads(store, Limits(uploads_bytes=10), presign=True)

    def has_room(name: str, size: int, *, tenant: str = "one") -> bool:
        try:
            uploads.check_room(uploads.place(tenant, name), tenant=tenant, size=size)
        except Refusal:
            return False
        return True

    for size in (6, 2):  # the first is good as long as it was
        uploads.presigned(uploads.place("one", "a"), size=size)
    uploads.place("one", "a").put(b"x" * 3)  # what came by it is what was promised
    uploads.place("one", "b").put(b"x" * 2)
    assert [has_room("c", 2), has_room("c", 3)] == [True, False]
    assert [has_room("a", 8), has_room("a", 9)] == [True, False]
    assert has_room("c", 10, tenant="two")
    uploads.expire(lambda _: ())
    assert not has_room("c", 3)
    now += PRESIGNED_SECONDS + 1
    assert [has_room("c", 5), has_room("c", 6)] == [True, False]
    assert len(list((store / "promised").list())) == 2
    uploads.expire(lambda _: ())
    assert not (store / "promised").exists()


def test_a_tenant_has_so_many_addresses_at_a_time(s3_root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each leaves a note, of which there was any number: one byte and one name each."""
    now = time.time()
    monkeypatch.setattr("uss_ray.service.uploads.time", SimpleNamespace(time=lambda: now))
    uploads = Uploads(Store(s3_root, None, OutputError), Limits(presigned_at_once=2), presign=True)
    uploads.presigned(uploads.place("one", "a"), size=1)
    uploads.presigned(uploads.place("one", "b"), size=1)
    with pytest.raises(Refusal, match="at most 2 addresses at a time, found 2") as caught:
        uploads.presigned(uploads.place("one", "c"), size=1)
    assert (caught.value.status, caught.value.limit) == (429, "presigned_at_once")
    uploads.presigned(uploads.place("two", "c"), size=1)
    now += PRESIGNED_SECONDS + 1
    uploads.presigned(uploads.place("one", "c"), size=1)


def test_the_store_takes_just_the_size_that_was_asked_for(s3_root: str) -> None:
    uploads = _uploads(s3_root, presign=True)
    place = uploads.place("one", "dawn/a é.wav")
    url = uploads.presigned(place, size=5)
    assert httpx.put(url, content=b"123456").status_code == 403
    assert not place.exists()
    assert httpx.put(url, content=b"12345").status_code == 200
    assert place.read() == b"12345"
    assert uploads.expire(lambda _: ()) == 0
    uploads.remove(place)
    assert not place.exists()
