from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

import pytest

from tests.servers.in_process import s3_by_default
from uss_ray.api.staging import (
    check_apart,
    check_output,
    commit,
    staging_folder,
    sweep_staging,
)
from uss_ray.errors import OutputError
from uss_ray.results.layout import is_own_file
from uss_ray.store.store import Store, StoreOptions


def stage(staging, name, files):
    for file, content in files.items():
        path = staging / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def content_of(output, name):
    base = output / name
    return {item.relative_to(base): item.read().decode() for item in base.list()}


def test_a_folder_comes_to_its_place_with_all_its_files(output):
    with staging_folder(output) as staging:
        stage(staging, "tapes/a.wav", {"level-1/dog.flac": "woof", "report.html": "page"})
        commit(staging, output=output, name="tapes/a.wav")
    assert content_of(output, "tapes/a.wav") == {"level-1/dog.flac": "woof", "report.html": "page"}
    assert not staging.exists()


def test_what_stood_there_before_is_gone(output):
    for files in ({"old.flac": "1", "both.flac": "1"}, {"both.flac": "2"}):
        with staging_folder(output) as staging:
            stage(staging, "a.wav", files)
            commit(staging, output=output, name="a.wav", is_own=lambda name: name != "notes.txt")
        (output / "a.wav/notes.txt").put(b"mine")
    assert content_of(output, "a.wav") == {"both.flac": "2", "notes.txt": "mine"}


def test_what_is_not_its_own_stays(output):
    for staged in ({"level-1/old.flac": "1", "level-1/both.flac": "1"}, {"level-1/both.flac": "2"}):
        with staging_folder(output) as staging:
            stage(staging, "s1/mic1", {"level-1/dog.flac": "woof"})
            commit(staging, output=output, name="s1/mic1", is_own=is_own_file)
        for name in ("notes.txt", "level-1/notes.txt", "level-1/my mix.flac"):
            (output / "s1" / name).put(b"mine")
        with staging_folder(output) as staging:
            stage(staging, "s1", staged)
            commit(staging, output=output, name="s1", is_own=is_own_file)
    assert content_of(output, "s1") == {
        "level-1/both.flac": "2",
        "level-1/my mix.flac": "mine",
        "level-1/notes.txt": "mine",
        "mic1/level-1/dog.flac": "woof",
        "notes.txt": "mine",
    }


def test_of_what_is_replaced_no_empty_folder_is_left(tmp_path):
    output = Store(tmp_path / "out")
    for files in (
        {"level-1/dog.flac": "1", "level-2/dog/000000.000.flac": "1", "level-3/dog.flac": "1"},
        {"level-1/dog.flac": "2"},
    ):
        with staging_folder(output) as staging:
            stage(staging, "a.wav", files)
            commit(staging, output=output, name="a.wav", is_own=is_own_file)
        (tmp_path / "out/a.wav/mine").mkdir(exist_ok=True)
        (output / "a.wav/notes.txt").put(b"mine")
    names = sorted(path.name for path in (tmp_path / "out/a.wav").iterdir())
    assert names == ["level-1", "mine", "notes.txt"]


def test_a_file_can_be_committed_as_well(output):
    with staging_folder(output) as staging:
        stage(staging, "index", {"part.parquet": "rows"})
        commit(staging, output=output, name="index/part.parquet")
    assert content_of(output, "index") == {"part.parquet": "rows"}


def test_nothing_is_left_when_the_work_fails(output):
    context = staging_folder(output)
    staging = context.__enter__()
    stage(staging, "a.wav", {"half.flac": "1"})
    fault = RuntimeError("on the way")
    assert not context.__exit__(RuntimeError, fault, None)
    assert not staging.exists()
    assert not (output / "a.wav").exists()


def test_an_output_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="file"), staging_folder(Store(tmp_path / "file" / "out")):
        pass


def test_what_a_killed_worker_left_goes_with_the_staging_folder_of_its_job(tmp_path):
    out = Store(tmp_path / "out")
    with staging_folder(out) as job:
        left_open = staging_folder(out, within=job)
        stage(left_open.__enter__(), "a.wav", {"half.flac": "1"})
        with staging_folder(out, within=job) as staging:
            stage(staging, "b.wav", {"stem.flac": "1"})
            commit(staging, output=out, name="b.wav")
    assert [path.name for path in out.local_path().iterdir()] == ["b.wav"]


def test_an_error_names_the_place_a_file_was_meant_for(output):
    with pytest.raises(OutputError) as failure, staging_folder(output) as staging:
        raise OutputError(str(staging / "a.wav" / "dog.flac"), expected="space", found="a full disk")
    assert failure.value.item == str(output / "a.wav/dog.flac")


def test_who_is_killed_while_it_replaces_a_folder_takes_nothing_away(tmp_path, monkeypatch):
    output = Store(tmp_path / "out")
    with staging_folder(output) as staging:
        stage(staging, "a.wav", {"dog.flac": "woof", "rain.flac": "drip"})
        commit(staging, output=output, name="a.wav")

    def killed(_path, _target):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), staging_folder(output) as staging:  # noqa: PT012
        stage(staging, "a.wav", {"dog.flac": "woof", "rain.flac": "drip"})
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", killed)
            commit(staging, output=output, name="a.wav")
    assert content_of(output, "a.wav") == {"dog.flac": "woof", "rain.flac": "drip"}


def test_what_a_killed_process_left_is_swept_away_and_the_work_of_a_live_one_is_not(
    output, tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    die = (
        "import os, sys\n"
        "from uss_ray.api.staging import check_output, staging_folder\n"
        "from uss_ray.store.store import Store\n"
        "context = staging_folder(Store(sys.argv[1]))\n"
        "print(context.__enter__(), flush=True)\n"
        "os._exit(9)"
    )
    told = subprocess.run(
        [sys.executable, "-c", die, str(output)],
        env={"TMPDIR": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
    )
    left = Path(told.stdout.strip())
    assert left.is_dir()
    mine = left.with_name(".uss-ray-notes")
    mine.mkdir()
    os.utime(mine, (0, 0))
    with staging_folder(output) as live:
        sweep_staging(output)
        assert (left.exists(), mine.exists()) == (False, True)
        stage(live, "a.wav", {"dog.flac": "woof"})
        commit(live, output=output, name="a.wav")
    assert content_of(output, "a.wav") == {"dog.flac": "woof"}


def test_an_output_is_checked_without_leaving_anything(output, tmp_path):
    check_output(output)
    assert not output.exists()
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be_is_told_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="found a file"):
        check_output(Store(tmp_path / "file" / "out"))
    with pytest.raises(OutputError, match=r"s3://bucket/out"):
        check_output(
            Store("s3://bucket/out", StoreOptions(endpoint="http://127.0.0.1:9", patience_seconds=0))
        )
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match="no permission"):
        check_output(Store(tmp_path / "out" / "deep"))


def test_an_output_in_a_bucket_that_is_not_there_is_told_by_the_name_of_the_bucket():
    with s3_by_default("there"):
        for root in ("s3://there", "s3://there/", "s3://there/out", "s3a://there/out/deep"):
            check_output(Store(root))
        assert list(Store("s3://there/").list()) == []
        for root in ("s3://misspelt", "s3://misspelt/out", "s3://misspelt/out/deep/"):
            with pytest.raises(OutputError) as refused:
                check_output(Store(root))
            assert (
                str(refused.value) == "s3://misspelt: expected a bucket that is there, found no such bucket"
            )
        with pytest.raises(OutputError, match="Invalid bucket name"):
            check_output(Store("s3://"))


@pytest.mark.parametrize(
    ("source", "output", "is_refused"),
    [
        ("in", "in", True),
        ("in", "in/out", True),
        ("in/", "./in/deep/../out", True),
        ("linked", "in/out", True),
        ("in", "in2", False),
        ("in", "out", False),
        ("in/list.csv", "in/out", False),
        ("s3://b", "s3://b/out", True),
        ("s3://b/in/", "s3a://b/in/out", True),
        ("s3://b/in", "s3://b/in2", False),
        ("s3://b/in", "in/out", False),
    ],
)
def test_an_output_in_the_input_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, output: str, is_refused: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "linked").symlink_to("in")
    if is_refused:
        with pytest.raises(OutputError, match="outside of the input"):
            check_apart(Store(source), Store(output), folders=["index"])
    else:
        check_apart(Store(source), Store(output), folders=["index"])


@pytest.mark.parametrize("scheme", ["", "memory://"])
def test_an_output_may_hold_its_input_unless_results_would_lie_in_it(tmp_path: Path, scheme: str) -> None:
    root = Store(f"{scheme}{tmp_path}")
    (root / "calls/in/a.wav").put(b"sound")
    check_apart(root / "calls/in", root, folders=["index"])
    (root / "calls/in/calls/in/b.wav").put(b"sound")
    (root / "index/c.wav").put(b"sound")
    for source in (root / "index", root / "index/c.wav"):
        with pytest.raises(OutputError, match="and its own files in index"):
            check_apart(source, root, folders=["index"])
    with pytest.raises(OutputError, match="one that holds the input as calls/in"):
        check_apart(root / "calls/in", root, folders=["index"])


@pytest.mark.parametrize(("there", "asked"), [("A.wav", "a.wav"), ("e\u0301.wav", "\u00e9.wav")])
def test_a_disk_that_takes_two_names_for_one_mixes_no_recordings(tmp_path, monkeypatch, there, asked):
    """Of a case-insensitive disk, which machines of tests seldom have: names that differ in case are the same file."""
    output = Store(tmp_path / "out")
    for name in (there, asked):
        monkeypatch.setattr(
            "uss_ray.api.staging.Path.samefile", lambda one, other: folded(one) == folded(other)
        )
        with staging_folder(output) as staging:
            stage(staging, name, {"dog.flac": name})
            if name == there:
                commit(staging, output=output, name=name)
                continue
            # The disk shows the other folder under this name.
            (tmp_path / "out" / name).symlink_to(there)
            monkeypatch.setattr(os, "listdir", lambda _: [there])
            with pytest.raises(OutputError, match="tells apart names"):
                commit(staging, output=output, name=name)
    assert (tmp_path / "out" / there / "dog.flac").read_text() == there


def folded(path):
    return unicodedata.normalize("NFC", str(path)).casefold()
