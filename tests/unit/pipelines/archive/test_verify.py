"""Outputs that are not what their index says."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile as sf

from uss_ray.api.staging import staging_folder
from uss_ray.errors import ConfigError, OutputError, UssRayError
from uss_ray.pipelines.archive import verify
from uss_ray.pipelines.archive.ledger import read_ledger
from uss_ray.pipelines.archive.verify import verify_output
from uss_ray.pipelines.runtime.identity import RunIdentity
from uss_ray.records import recording_key
from uss_ray.results.index.table import (
    ActiveSpan,
    IndexRow,
    RecordingFacts,
    RunFacts,
    failed_row,
    read_index_part,
    write_index,
)
from uss_ray.results.layout import index_path as path_of_part
from uss_ray.results.layout import stem_path
from uss_ray.results.report.archive import write_archive_page
from uss_ray.store.lease import hold_lease
from uss_ray.store.store import Store

FACTS = RunFacts(run_id="r", weights_name="w", weights_sha256="0", settings="{}")
EARLY = datetime(2026, 1, 1, tzinfo=UTC)


def index_path(name):
    """Place a part that is called by a hash, as the program's are; the last letter of its name stands for that."""
    return path_of_part(f"{name[:-1]}{ord(name[-1]):016x}")


@pytest.fixture
def output(tmp_path):
    """Two recordings of a stem each, an index part for each, and a note of the user's."""
    place = Store(tmp_path / "out", None, OutputError)
    for name in ("a.wav", "tapes/b.wav"):
        write_index([separated(place, name)], path=tmp_path / "out" / index_path(name[0]))
    (place / "tapes/b.wav/report.html").put(b"page")
    (place / "tapes/b.wav/report.mp3").put(b"sound")
    (place / "notes.txt").put(b"mine")
    return place


def separated(output, name):
    uri = stem_path(name, level=1, slug="dog", extension="wav")
    path = output.local_path() / uri
    path.parent.mkdir(parents=True)
    sf.write(path, np.zeros((100, 1)), 8000)
    content = path.read_bytes()
    return IndexRow(
        run_id="r", recording_id=name, recording_uri=name, node_id="n", label="Dog", level=1, kind="node",
        status="written", stem_uri=uri, stem_sha256=hashlib.sha256(content).hexdigest(), stem_bytes=len(content),
        frames=100, weights_name="w", weights_sha256="0", created_at=EARLY,
    )  # fmt: skip


def kinds(found):
    return {finding.kind for finding in found.findings}


def remove_stem(root):
    (root / "a.wav/level-1/dog.wav").unlink()


def alter_stem(root):
    path = root / "a.wav/level-1/dog.wav"
    path.write_bytes(path.read_bytes()[:-2] + b"xy")


def cut_stem(root):
    path = root / "a.wav/level-1/dog.wav"
    path.write_bytes(path.read_bytes()[:-2])


def rewrite_rows(root, **changes):
    table = [IndexRow.from_record(record) for record in rows_of(root, "a")]
    write_index([replace(row, **changes) for row in table], path=root / index_path("a"))


def rows_of(root, name):
    with open(root / index_path(name), "rb") as file:
        return read_index_part(file, name=name).to_pylist()


def state_a_wrong_length(root):
    rewrite_rows(root, frames=101)


def list_twice(root):
    rows = [IndexRow.from_record(record) for record in rows_of(root, "a")]
    late = [replace(row, created_at=datetime(2026, 1, 2, tzinfo=UTC)) for row in rows]
    write_index(late, path=root / index_path("c"))


def leave_a_stray(root):
    (root / "gone.wav/query").mkdir(parents=True)
    (root / "gone.wav/query/dog.flac").write_bytes(b"1")


def leave_temporary_files(root):
    (root / ".uss-ray-0a_bc1de/a.wav").mkdir(parents=True)
    (root / ".uss-ray-0a_bc1de/a.wav/half.flac").write_bytes(b"1")
    (root / "index/.00000000000000aa.part").write_bytes(b"1")


def leave_spans_of_a_done_one(root):
    folder = root / f".parts/{recording_key('a.wav'):016x}/000000"
    folder.mkdir(parents=True)
    (folder / "part.json").write_text("{}")


def break_an_index_part(root):
    (root / index_path("a")).write_bytes(b"PAR1")


def leave_a_half_written_span(root):
    folder = root / ".parts/00000000000000aa/000001"
    folder.mkdir(parents=True)
    (folder / "00000.f32").write_bytes(b"1")


def leave_a_half_written_file(root):
    (root / ".0123456789abcdef.part").write_bytes(b"{")


def begin_with_an_earlier_version(root):
    outdate(root / index_path("a"))


def outdate(part):
    """Make a part of version 2: without the column that version 3 added."""
    table = pq.read_table(part).drop_columns(["recording_content"])
    pq.write_table(table.replace_schema_metadata({b"uss_ray.index_version": b"2"}), part)


FAULTS = [
    (remove_stem, "missing", True),
    (alter_stem, "altered", True),
    (cut_stem, "altered", True),
    (state_a_wrong_length, "wrong length", True),
    (list_twice, "duplicate", False),
    (leave_a_stray, "stray", False),
    (leave_temporary_files, "temporary", False),
    (leave_spans_of_a_done_one, "unjoined", False),
    (leave_a_half_written_span, "temporary", False),
    (leave_a_half_written_file, "temporary", False),
    (begin_with_an_earlier_version, "mixed index", False),
    (break_an_index_part, "index", True),
]


@pytest.mark.parametrize("quick", [False, True])
def test_an_output_as_it_should_be_is_well(output, quick):
    found = verify_output(output, quick=quick)
    assert (found.findings, found.recordings, found.stems) == ([], 2, 2)


def test_a_stem_that_several_rows_point_to_is_one(output):
    root = output.local_path()
    rows = [IndexRow.from_record(record) for record in rows_of(root, "a")]
    write_index(
        [*rows, *(replace(row, node_id="m", label="Pets") for row in rows)], path=root / index_path("a")
    )
    assert verify_output(output).stems == 2
    remove_stem(root)
    assert [finding.kind for finding in verify_output(output).findings] == ["missing"]


@pytest.mark.parametrize(
    ("fault", "kind", "is_lost"), FAULTS, ids=lambda value: getattr(value, "__name__", "")
)
def test_each_fault_is_found_and_repaired(output, fault, kind, is_lost):
    fault(output.local_path())
    assert kind in kinds(verify_output(output))
    repaired = verify_output(output, repair=True)
    if kind == "index":  # its stems became strays, which stay for once
        assert kinds(repaired) == {"stray"}
        assert (output / "a.wav/level-1/dog.wav").exists()
        repaired = verify_output(output, repair=True)
    assert repaired.findings == []
    assert verify_output(output).findings == []
    done = {recording_key("tapes/b.wav")} | (set() if is_lost else {recording_key("a.wav")})
    assert set(read_ledger(output).separated.tolist()) == done
    assert (output / "notes.txt").read() == b"mine"


def test_nothing_is_touched_without_repair(output):
    for fault in (remove_stem, leave_a_stray, leave_temporary_files, list_twice):
        fault(output.local_path())
    before = {path: path.read_bytes() for path in output.local_path().rglob("*") if path.is_file()}
    verify_output(output)
    assert {path: path.read_bytes() for path in output.local_path().rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("repair", [False, True])
def test_no_index_is_no_output_and_nothing_comes_there(tmp_path, repair):
    with pytest.raises(OutputError, match="expected an output with an index"):
        verify_output(Store(tmp_path), repair=repair)
    assert list(tmp_path.iterdir()) == []


def everything(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("mark", ["index/0.parquet", "run.json", ".lease/0.json"])
def test_outputs_and_folders_of_others_below_are_left_alone(output, mark):
    """`--version v2` puts results below OUTPUT; a trash or a backup may lie there too."""
    root = output.local_path()
    for name in (
        mark, "a.wav/level-1/dog.flac", "b.wav/report.html", ".uss-ray-0a_bc1de/half.flac", ".00000000000000aa.part",
        ".parts/00000000000000aa/000000/part.json",
    ):  # fmt: skip
        (output / "v2" / name).put(b"1")
    (output / ".Trash-1000/files/a.wav/level-1/dog.flac").put(b"1")
    leave_a_stray(root)
    before = everything(root)
    assert kinds(verify_output(output)) == {"stray"}
    assert verify_output(output, repair=True).findings == []
    assert everything(root) == {path: what for path, what in before.items() if "gone.wav" not in path.parts}


OTHERS = [
    "tapes/events/bell.wav",
    "music/events/x.flac",
    "music/report.mp3",
    "level-1/take.wav",
    "rehearsal/query/choir.ogg",
    "a.wav/level-1/my mix.flac",
    "a.wav/level-1/dog.aup3",
    "a.wav/level-1/dog/cut.wav",
    "index/notes.txt",
    "index/.mine.part",
    "index-pages/notes.js",
    ".parts/notes.txt",
    ".parts/0/000000/part.json",
    ".uss-ray-notes/a.txt",
    ".0a.part",
]


def test_nothing_goes_that_is_not_called_as_this_program_calls_what_it_writes(output):
    for name in OTHERS:
        (output / name).put(b"mine")
    remove_stem(output.local_path())
    found = verify_output(output, repair=True)
    assert kinds(found) == {"unjoined"}  # somebody's part.json, in no folder of a long recording
    assert {name for name in OTHERS if (output / name).read() == b"mine"} == set(OTHERS)


def test_open_uploads_of_files_at_the_root_are_told_and_files_of_that_name_stay(output, monkeypatch):
    ours = ["failed.jsonl", "index.html", "index-pages/recordings.js", "a.wav/level-1/dog.flac"]
    others = ["notes.txt", "summary.html", "tapes/events/bell.wav", "v2/failed.jsonl", "v2/a.wav/report.html"]
    monkeypatch.setattr(verify, "_uploads", lambda _output: ((name, {}) for name in [*ours, *others]))
    for name in ("failed.jsonl", "index.html"):
        (output / name).put(b"mine")
    (output / "v2/run.json").put(b"{}")
    found = verify_output(output).findings
    assert [(finding.kind, finding.place) for finding in found] == [("open upload", name) for name in ours]


def test_a_table_of_others_in_the_index_is_told_and_stays(output):
    (output / "index/birds.parquet").put(b"mine")
    for repair in (False, True):
        (finding,) = verify_output(output, repair=repair).findings
        assert (finding.kind, finding.place) == ("index", "index/birds.parquet")
    assert (output / "index/birds.parquet").read() == b"mine"


def test_a_recording_is_never_a_stray_whatever_the_folder_it_lies_in(output):
    root = output.local_path()
    sound = root / "session.wav/events/bell.wav"
    sound.parent.mkdir(parents=True)
    sound.write_bytes(b"mine")
    assert kinds(verify_output(output)) == {"stray"}
    rewrite_rows(root, recording_uri=str(sound))
    assert verify_output(output, repair=True).findings == []
    assert sound.read_bytes() == b"mine"


@pytest.mark.parametrize("source", ["session.wav", "session.wav/events", "linked/events"])
def test_what_lies_in_the_input_of_the_run_is_never_a_stray(output, source):
    root = output.local_path()
    sound = root / "session.wav/events/bell.wav"
    sound.parent.mkdir(parents=True)
    sound.write_bytes(b"mine")
    (root / "linked").symlink_to("session.wav")
    identity = RunIdentity.of(str(root / source), run=FACTS, threads=1)
    (output / "run.json").put(json.dumps(identity.record()).encode())
    assert verify_output(output, repair=True).findings == []
    assert sound.read_bytes() == b"mine"


def test_stems_in_a_folder_of_before_go_with_their_recording(output):
    """One without an ending: the index alone tells that the folder is a recording's, until it is taken out."""
    row = separated(output, "b.wav")
    stem = output.local_path() / "s1/level-1/dog.wav"
    stem.parent.mkdir(parents=True)
    (output.local_path() / row.stem_uri).rename(stem)
    (output / "s1/level-1/cat.wav").put(b"stray")
    (output / "s2/level-1/cat.wav").put(b"mine")
    row = replace(row, recording_id="s1", stem_uri="s1/level-1/dog.wav", stem_sha256="0")
    write_index([row], path=output.local_path() / index_path("s"))
    assert verify_output(output, repair=True).findings == []
    assert not (output / "s1").exists()
    assert (output / "s2/level-1/cat.wav").read() == b"mine"


def test_what_a_live_process_is_writing_is_no_leftover(output):
    with staging_folder(output) as staging:
        (staging / "half.flac").write_bytes(b"1")
        assert verify_output(output, repair=True).findings == []
        assert (staging / "half.flac").exists()


def test_reports_of_an_output_of_before_are_no_strays(output, tmp_path):
    """A recording whose id has no ending had its results in a folder of the very name."""
    (output / "s1/report.html").put(b"page")
    write_index(
        [replace(separated(output, "b.wav"), recording_id="s1")], path=output.local_path() / index_path("s")
    )
    assert verify_output(output).findings == []


def test_an_index_of_several_versions_is_one_table_for_others_once_it_is_repaired(output):
    part = output.local_path() / index_path("t")
    outdate(part)
    count = f"SELECT count(recording_content) + count(*) FROM '{output}/index/*.parquet'"
    with pytest.raises(duckdb.Error):
        duckdb.sql(count).fetchall()
    assert verify_output(output, repair=True).repaired == 1
    assert duckdb.sql(count).fetchall() == [(2,)]


def test_an_index_of_an_earlier_version_alone_is_well(output):
    for name in "at":
        outdate(output.local_path() / index_path(name))
    assert verify_output(output).findings == []


def test_each_file_is_asked_for_once(output, monkeypatch):
    """An archive of millions of stems is not asked for each of them."""

    def refuse(place):
        raise AssertionError(place)

    monkeypatch.setattr(Store, "size", refuse)
    assert verify_output(output, quick=True).findings == []


def test_a_run_that_was_killed_before_anything_was_done_left_an_output(tmp_path):
    output = Store(tmp_path)
    (output / "run.json").put(json.dumps(RunIdentity.of("in", run=FACTS, threads=1).record()).encode())
    (output / ".0123456789abcdef.part").put(b"{")
    found = verify_output(output)
    assert (found.recordings, kinds(found)) == (0, {"temporary"})
    assert verify_output(output, repair=True).findings == []


def refuse_to_read(name, fault, monkeypatch):
    there = Store.read

    def read(place, **asked):
        if place.name == name:
            raise OutputError(str(place), expected="a readable file", found=str(fault)) from fault
        return there(place, **asked)

    monkeypatch.setattr(Store, "read", read)


@pytest.mark.parametrize("fault", [PermissionError(13, "no permission"), TimeoutError("no answer")])
def test_a_part_that_a_store_does_not_give_is_not_repaired_away(output, monkeypatch, fault):
    before = everything(output.local_path())
    refuse_to_read("0000000000000061.parquet", fault, monkeypatch)
    with pytest.raises(OutputError, match=r"61\.parquet: expected a readable file"):
        verify_output(output, repair=True)
    assert everything(output.local_path()) == before


def test_a_part_that_a_run_at_work_has_moved_is_no_fault(output, monkeypatch):
    refuse_to_read("0000000000000061.parquet", FileNotFoundError(2, "gone"), monkeypatch)
    assert verify_output(output).recordings == 1


def test_a_part_of_a_later_version_is_refused_and_stays(output):
    part = output.local_path() / index_path("a")
    pq.write_table(pq.read_table(part).replace_schema_metadata({b"uss_ray.index_version": b"99"}), part)
    before = everything(output.local_path())
    with pytest.raises(UssRayError, match=r"61\.parquet: expected index version .*, found version 99"):
        verify_output(output, repair=True)
    assert everything(output.local_path()) == before


@pytest.mark.parametrize("content", [b"", b'{"format_version": 2, "arch', b"[]", b"{}"])
def test_an_identity_that_no_run_goes_on_with_is_told_and_stays(output, content):
    (output / "run.json").put(content)
    for repair in (False, True):
        assert kinds(verify_output(output, repair=repair)) == {"identity"}
    assert (output / "run.json").read() == content


def test_what_failed_is_counted_once_and_not_where_it_was_separated_since(output):
    changed = failed_at("a.wav", datetime(2026, 1, 2, tzinfo=UTC))  # its stems are of what it was
    mended = failed_at("tapes/b.wav", datetime(2025, 1, 1, tzinfo=UTC))
    for number, row in enumerate((changed, mended, *(failed_at("c.wav", EARLY) for _ in range(2)))):
        write_index([row], path=output.local_path() / index_path(f"failed-{number}"))
    found = verify_output(output)
    assert (found.recordings, found.failed, found.findings) == (2, 2, [])


def failed_at(name, when):
    facts = RecordingFacts(recording_id=name, recording_uri=name)
    return replace(failed_row(facts, run=FACTS, reason="it is no sound"), created_at=when)


@pytest.fixture
def root_with_page(output):
    """The output with its page, which names both recordings."""
    write_archive_page(output)
    return output.local_path()


def test_a_repaired_output_has_a_page_without_what_was_taken_out_and_no_empty_folder(output, root_with_page):
    remove_stem(root_with_page)
    leave_a_stray(root_with_page)
    leave_temporary_files(root_with_page)
    assert verify_output(output, repair=True).findings == []
    recordings = (root_with_page / "index-pages/recordings.js").read_text()
    assert ("a.wav" in recordings, "tapes/b.wav" in recordings) == (False, True)
    assert [path for path in root_with_page.rglob("*") if path.is_dir() and not any(path.iterdir())] == []
    assert not (root_with_page / "a.wav").exists()


def test_no_page_is_left_of_an_output_without_recordings(output, root_with_page):
    for stem in root_with_page.rglob("dog.wav"):
        stem.unlink()
    assert verify_output(output, repair=True).recordings == 0
    assert {path.name for path in everything(root_with_page)} == {"notes.txt"}


@pytest.mark.parametrize("name", ["index.html", "index-pages/recordings.js", "index-pages/sound-n.js"])
def test_what_is_missing_of_a_page_is_found_and_written_again(output, root_with_page, name):
    whole = (root_with_page / name).read_bytes()
    (root_with_page / name).unlink()
    found = verify_output(output)
    assert [(finding.kind, finding.place) for finding in found.findings] == [("missing page", name)]
    assert verify_output(output, repair=True).findings == []
    assert len((root_with_page / name).read_bytes()) == len(whole)


def separate_one_more(output):
    write_index([separated(output, "c.wav")], path=output.local_path() / index_path("c"))


def fail_one_more(output):
    write_index([failed_at("d.wav", EARLY)], path=output.local_path() / index_path("d"))


def put_another_sound(output):
    (output / "index-pages/sound-n.js").put((output / "index-pages/recordings.js").read())


def cut_the_page(output):
    (output / "index.html").put((output / "index.html").read()[:-20])


def cut_the_page_early(output):
    (output / "index.html").put((output / "index.html").read()[:2000])


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        (separate_one_more, {"index.html", "index-pages/recordings.js", "index-pages/sound-n.js"}),
        (fail_one_more, {"index.html", "index-pages/recordings.js"}),
        (put_another_sound, {"index-pages/sound-n.js"}),
        (cut_the_page, {"index.html"}),
        (cut_the_page_early, {"index.html"}),
    ],
)
@pytest.mark.parametrize("quick", [False, True])
def test_a_page_that_says_something_else_than_the_index_is_found_and_written_again(
    output, root_with_page, change, stale, quick
):
    assert verify_output(output, quick=quick).findings == []
    change(output)
    found = verify_output(output, quick=quick)
    assert {(finding.kind, finding.place) for finding in found.findings} == {
        ("stale page", name) for name in stale
    }
    assert verify_output(output, quick=quick, repair=True).findings == []
    after = everything(root_with_page)
    write_archive_page(output)
    for name in stale - {"index.html"}:
        assert (root_with_page / name).read_bytes() == after[root_with_page / name]


def test_the_page_of_an_output_that_a_run_is_at_work_in_is_not_judged(output, root_with_page):
    with hold_lease(output, job="separate", on_lost=lambda _: None):
        separate_one_more(output)
        assert verify_output(output).findings == []
    assert kinds(verify_output(output)) == {"stale page"}


def test_the_page_that_a_run_writes_while_it_is_looked_at_is_not_judged(output, root_with_page, monkeypatch):
    def end_of_a_run(place):
        separate_one_more(place)
        write_archive_page(place)
        return index_parts(place)

    index_parts = verify._index_parts
    monkeypatch.setattr(verify, "_index_parts", end_of_a_run)
    assert verify_output(output).findings == []


def test_a_row_that_says_written_and_names_no_file_is_refused(output):
    part = output.local_path() / index_path("a")
    table = pq.read_table(part)
    for name in ("stem_uri", "stem_sha256", "stem_bytes"):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.field(name), pa.nulls(len(table), table.field(name).type))
    pq.write_table(table, part)
    with pytest.raises(UssRayError, match="found written, 0 files"):
        verify_output(output, quick=True)


@pytest.mark.parametrize("content", [None, b"<html>mine</html>", b"<script>"])
def test_an_output_without_a_page_gets_none_and_a_page_of_others_stays(output, content):
    page = output / "index.html"
    if content is not None:
        page.put(content)
    remove_stem(output.local_path())
    assert verify_output(output, repair=True).findings == []
    assert (page.read() if page.exists() else None) == content
    assert not (output / "index-pages").exists()


@pytest.mark.parametrize("missing", ["report.html", "report.mp3"])
def test_half_a_report_is_told_and_its_stems_stay(output, missing):
    (output / "tapes/b.wav/report.html").put(b'<audio src="report.mp3">')
    (output / "tapes/b.wav" / missing).remove()
    for repair in (False, True):
        (finding,) = verify_output(output, repair=repair).findings
        assert (finding.kind, finding.place) == ("missing report", f"tapes/b.wav/{missing}")
        assert finding.recording_id == "tapes/b.wav"
    assert recording_key("tapes/b.wav") in read_ledger(output).separated


def test_a_recording_of_half_a_report_is_done_again_where_that_is_asked_for_and_no_other_is(output):
    (output / "tapes/b.wav/report.html").remove()
    found = verify_output(output, repair=True, lost_reports=True)
    assert (found.findings, found.taken_out) == ([], {"tapes/b.wav": {"missing report": 1}})
    assert read_ledger(output).separated.tolist() == [recording_key("a.wav")]
    assert not (output / "tapes/b.wav").exists(), "the next run finds nothing in its way"
    with pytest.raises(ConfigError):
        verify_output(output, lost_reports=True)


def test_an_output_without_reports_is_well(output):
    for name in ("report.html", "report.mp3"):
        (output / "tapes/b.wav" / name).remove()
    assert verify_output(output).findings == []


def test_a_repair_that_leaves_nothing_in_a_store_says_what_it_took_out(output):
    store = Store("memory://verified/out", None, OutputError)
    remove_stem(output.local_path())
    for name in (index_path("a"), "notes.txt"):
        (store / name).put((output / name).read())
    (store / "a.wav/report.html").put(b"page")
    found = verify_output(store, repair=True)
    assert (found.taken_out, found.recordings) == ({"a.wav": {"missing": 1}}, 0)
    assert [file.name for file in store.list()] == ["notes.txt"]
    (store / "notes.txt").remove()


def test_labels_go_with_the_recording_that_is_taken_out_and_no_others(output):
    """Where they stayed, the next run refused to mix its results with those of an earlier one."""
    root = output.local_path()
    for name in ("a.wav/labels.rttm", "tapes/b.wav/labels.rttm", "notes/labels.txt"):
        (output / name).put(b"mine")
    remove_stem(root)
    assert verify_output(output, repair=True).findings == []
    assert not (root / "a.wav").exists()
    assert {path.name for path in everything(root)} >= {"labels.rttm", "labels.txt"}


def test_rows_of_what_was_not_found_are_looked_at_as_columns(output, monkeypatch):
    """They are nearly all of an index."""
    heard, asked, make = separated(output, "c.wav"), [], IndexRow.from_record
    nothing = {"stem_uri": None, "stem_sha256": None, "stem_bytes": None}
    of_span = ActiveSpan(
        start_seconds=0.0, end_seconds=1.0, stem_uri="c.wav/x.wav", stem_sha256="0", stem_bytes=1
    )
    rows = [replace(heard, node_id=f"n{n}", status="absent", **nothing) for n in range(50)]
    rows += [heard, replace(heard, node_id="s", active_spans=(of_span,), **nothing)]
    write_index(rows, path=output.local_path() / index_path("c"))
    monkeypatch.setattr(IndexRow, "from_record", lambda record: asked.append(record) or make(record))
    found = verify_output(output, quick=True)
    assert [finding.place for finding in found.findings if finding.kind == "missing"] == ["c.wav/x.wav"]
    assert (found.recordings, found.stems, len(asked)) == (3, 4, 4)
