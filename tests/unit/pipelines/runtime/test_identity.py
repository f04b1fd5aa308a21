from __future__ import annotations

import json
import re
import threading
from importlib.metadata import version

import pytest

from uss_ray.api.owned import Owned
from uss_ray.api.request import Query, SeparationRequest
from uss_ray.errors import DataError, OccupiedError, OutputError
from uss_ray.pipelines.runtime import identity as identity_module
from uss_ray.pipelines.runtime.identity import RunIdentity, counts_already, end_overwriting
from uss_ray.results.index.table import INDEX_VERSION, RunFacts
from uss_ray.results.options import WriteOptions
from uss_ray.separation.settings import SeparationSettings
from uss_ray.store import lease as lease_module
from uss_ray.store.lease import take_turn

OWNED = Owned({"index": re.compile("[0-9a-f]+[.]parquet")})


def open_run(request, identity):
    return identity_module.open_run(
        identity,
        output=request.output_store,
        owned=OWNED,
        overwrite=request.overwrite,
    )


@pytest.fixture
def request_here(tmp_path):
    return SeparationRequest(output=str(tmp_path / "out"), query=Query(levels=(1,)))


def identity_of(request, *, archive="s3://b/in/", sha256="0", threads=2):
    facts = RunFacts(run_id="r", weights_name="w", weights_sha256=sha256, settings=request.described())
    return RunIdentity.of(archive, run=facts, threads=threads)


def test_a_run_is_found_again_with_its_threads(request_here):
    begun, resumed = open_run(request_here, identity_of(request_here))
    assert not resumed
    found, resumed = open_run(request_here, identity_of(request_here, archive="s3://b/in", threads=7))
    assert resumed
    assert found == begun
    assert found.threads == 2


@pytest.mark.parametrize("name", ["index/a.parquet", "index.json"])
def test_results_of_no_run_are_refused(request_here, name):
    """The second is what a call to a service has left at its output."""
    (request_here.output_store / name).put(b"{}")
    with pytest.raises(OccupiedError, match=rf"{name.partition('/')[0]} without run\.json"):
        open_run(request_here, identity_of(request_here))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"archive": "s3://b/other"}, "input"),
        ({"sha256": "1"}, "weights"),
        ({"write": WriteOptions(residual=False)}, r"write\.residual True"),
        ({"query": Query(levels=(2,))}, r"query\.levels \[1\]"),
    ],
)
def test_another_run_is_refused_and_told_apart(request_here, changes, named):
    open_run(request_here, identity_of(request_here))
    asked = {name: changes[name] for name in changes if name in ("write", "query")}
    other = request_here.replace(**asked)
    with pytest.raises(OutputError, match=named) as raised:
        open_run(other, identity_of(other, **{name: changes[name] for name in changes if name not in asked}))
    assert "or another folder, found" in raised.value.reason
    assert "--" not in raised.value.expected  # it may be the reason of a job of a service
    replaced = other.replace(overwrite=True)
    assert open_run(replaced, identity_of(replaced))[1] is False


@pytest.mark.parametrize(
    "written", [".", "../in", "{tmp}/in/", "{tmp}/x/../in", "{tmp}/link", "file://{tmp}/in"]
)
def test_an_input_is_the_place_that_is_meant(request_here, tmp_path, monkeypatch, written):
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    open_run(request_here, identity_of(request_here, archive=str(tmp_path / "in")))
    monkeypatch.chdir(tmp_path / "in")
    written = written.format(tmp=tmp_path)
    assert open_run(request_here, identity_of(request_here, archive=written))[1]


def test_the_same_words_in_another_folder_are_another_input(request_here, tmp_path, monkeypatch):
    for name in "ab":
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "a")
    open_run(request_here, identity_of(request_here, archive="."))
    monkeypatch.chdir(tmp_path / "b")
    with pytest.raises(OutputError, match=r"input \S+/a$"):
        open_run(request_here, identity_of(request_here, archive="."))


def test_overwriting_starts_over_once_until_it_has_succeeded(request_here):
    asked = request_here.replace(overwrite=True)
    identity, output = identity_of(asked), asked.output_store
    open_run(request_here, identity_of(request_here))
    assert [open_run(asked, identity)[1] for _ in range(3)] == [False, True, True]
    assert open_run(request_here, identity)[1]  # going on without the flag is the same run
    end_overwriting(output)
    assert [open_run(asked, identity)[1] for _ in range(2)] == [False, True]
    changed = identity_of(asked, sha256="1")
    assert open_run(asked, changed)[1] is False


def test_overwriting_shards_start_over_once_together(request_here):
    asked = request_here.replace(overwrite=True)
    identity, output = identity_of(asked), asked.output_store
    assert [open_run(asked, identity)[1] for _ in range(2)] == [False, True]
    end_overwriting(output, shard=(1, 2))
    assert open_run(asked, identity)[1]
    end_overwriting(output, shard=(2, 2))
    assert open_run(asked, identity)[1] is False


@pytest.mark.parametrize(
    ("there", "run", "found"),
    [
        (
            ["index/a.parquet", "index/notes.txt"],
            None,
            "index/notes.txt, which none has written, and no run.json",
        ),
        (["index/field.wav"], b"half {", "index/field.wav, which none has written"),
        ([], b'{"name": "morning"}', "another program's run.json"),
        (
            ["index/a.parquet", "index/a (conflicted copy).parquet", "index/notes.txt"],
            b'{"format_version": 2}',
            "expected no tables of others in index/, where all of them count as results, "
            "found index/a (conflicted copy).parquet",
        ),
    ],
)
def test_starting_over_takes_no_folder_of_others(request_here, there, run, found):
    asked, output = request_here.replace(overwrite=True), request_here.output_store
    names = [*there, *(["run.json"] if run else [])]
    for name in there:
        (output / name).put(b"mine")
    if run:
        (output / "run.json").put(run)
    identity = identity_of(asked)
    for begin in (
        lambda: open_run(asked, identity),
        lambda: counts_already(identity, output=output, owned=OWNED, overwrite=True),
    ):
        with pytest.raises(OccupiedError, match=re.escape(found)):
            begin()
    assert sorted(file.relative_to(output) for file in output.list()) == sorted(names)


def test_starting_over_takes_results_and_leaves_what_lies_beside_them(request_here):
    asked, output = request_here.replace(overwrite=True), request_here.output_store
    (output / "index/a.parquet").put(b"of a single recording")
    assert not counts_already(identity_of(asked), output=output, owned=OWNED, overwrite=True)
    open_run(asked, identity_of(asked))
    for name in ("index/b.parquet", "index/notes.txt"):
        (output / name).put(b"x")
    open_run(asked, identity_of(asked, sha256="1"))
    assert {file.relative_to(output) for file in output.list()} == {"run.json", "index/notes.txt"}


def test_an_index_without_a_run_and_a_broken_run_are_refused(request_here, tmp_path):
    (tmp_path / "out" / "index").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"run\.json"):
        open_run(request_here, identity_of(request_here))
    (tmp_path / "out" / "run.json").write_text('{"archive": 1}')
    with pytest.raises(DataError, match=r"run\.json"):
        open_run(request_here, identity_of(request_here))


def test_what_an_earlier_version_wrote_is_read_and_said_to_be_of_another_format(request_here, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.json").write_text(
        '{"format_version": 1, "archive": "s3://b/in", "weights_name": "w", "weights_sha256": "0",'
        ' "settings": {"settings": {"silence_db": -Infinity}}, "threads": 1, "uss_ray_version": "0.1.0"}'
    )
    with pytest.raises(OutputError, match=r"found results with settings in format 1 of run\.json"):
        open_run(request_here, identity_of(request_here))


def test_the_identity_is_strict_json_whatever_the_profile(request_here, tmp_path):
    request = request_here.replace(settings=SeparationSettings.published())
    open_run(request, identity_of(request))
    text = (tmp_path / "out" / "run.json").read_text()
    settings = json.loads(text, parse_constant=lambda name: pytest.fail(name))["settings"]["settings"]
    assert settings["joins"] == "hard"


def change_record(request, **changes):
    path = request.output_store.local_path() / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def record_of(request):
    return json.loads((request.output_store.local_path() / "run.json").read_text())


def test_another_version_goes_on_and_says_so_once(request_here, caplog):
    open_run(request_here, identity_of(request_here))
    assert not caplog.records
    change_record(request_here, programs={"uss-ray": "0.0.1", "torch": version("torch")}, index_version=1)
    assert open_run(request_here, identity_of(request_here))[1]
    assert f"going on with uss-ray {version('uss-ray')} instead of 0.0.1" in caplog.text
    assert "torch" not in caplog.text
    caplog.clear()
    assert open_run(request_here, identity_of(request_here))[1]
    assert not caplog.records
    assert record_of(request_here)["index_version"] == INDEX_VERSION


def test_another_last_bit_goes_on_and_says_so_once(request_here, caplog):
    """Records without one are of the time when WAV stems of integers were cut down, not rounded."""
    open_run(request_here, identity_of(request_here))
    record = record_of(request_here)
    del record["last_bit_version"]
    (request_here.output_store / "run.json").put(json.dumps(record).encode())
    assert open_run(request_here, identity_of(request_here))[1]
    assert "going on with samples of version 5 instead of 1: samples may differ slightly" in caplog.text
    caplog.clear()
    assert open_run(request_here, identity_of(request_here))[1]
    assert not caplog.records


def test_a_run_that_only_tells_its_programs_version_is_gone_on_with(request_here, caplog):
    open_run(request_here, identity_of(request_here))
    record = record_of(request_here)
    for name in ("programs", "results_version", "index_version"):
        del record[name]
    (request_here.output_store / "run.json").put(json.dumps(record).encode())
    assert open_run(request_here, identity_of(request_here))[1]
    assert not caplog.records


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"results_version": 7}, "results of version 7, not 1"),
        ({"index_version": INDEX_VERSION + 1}, f"an index of version {INDEX_VERSION + 1}, later than"),
    ],
)
def test_results_that_would_be_other_ones_are_not_mixed(request_here, changes, told):
    open_run(request_here, identity_of(request_here))
    change_record(request_here, **changes)
    with pytest.raises(OutputError, match=told):
        open_run(request_here, identity_of(request_here))


def test_another_version_that_overwrites_starts_over(request_here):
    asked = request_here.replace(overwrite=True)
    open_run(asked, identity_of(asked))
    change_record(asked, programs={"uss-ray": "0.0.1"})
    assert open_run(asked, identity_of(asked))[1] is False


def test_shards_that_end_together_are_all_noted(request_here, monkeypatch):
    output = request_here.output_store
    monkeypatch.setattr(lease_module, "_TURN_SECONDS", 0.1)
    place = output / "run.json"
    place.put(b'{"overwriting": {"shards_done": []}}')

    def end(part):
        with take_turn(output, job="archive", shard=(part, 4)):
            end_overwriting(output, shard=(part, 4))

    threads = [threading.Thread(target=end, args=(part,)) for part in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert json.loads(place.read()) == {}
