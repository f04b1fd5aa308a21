"""The page of an output: what it holds of an index, and what it says that it does not."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from uss_ray.errors import DataError, OutputError
from uss_ray.results.index.table import (
    ActiveSpan,
    IndexRow,
    RecordingFacts,
    RunFacts,
    Span,
    failed_row,
    to_table,
    write_index,
)
from uss_ray.results.layout import index_path
from uss_ray.results.report import archive
from uss_ray.results.report.archive import is_current_page, page_data, write_archive_page
from uss_ray.store.store import Store

RUN = RunFacts(run_id="r", weights_name="starter", weights_sha256="ab")


def row(recording: str, node_id: str = "/m/dog", label: str = "Dog", **facts: Any) -> IndexRow:
    defaults: dict[str, Any] = {
        "run_id": "r", "recording_uri": recording, "level": 3, "kind": "node", "status": "written",
        "probability": 0.5, "level_db": -20.04, "weights_name": "starter", "weights_sha256": "ab",
        "sample_rate": 8000, "frames": 80_000, "stem_uri": f"{recording}/level-3/dog.flac", "stem_sha256": "0",
        "stem_bytes": 5,
    }  # fmt: skip
    if facts.get("status", "written") != "written":
        defaults |= {"stem_uri": None, "stem_sha256": None, "stem_bytes": None, "level_db": None}
    return IndexRow(recording_id=recording, node_id=node_id, label=label, **(defaults | facts))


def made(root: Path, *rows: IndexRow) -> tuple[str, dict[str, Any]]:
    write_index(rows, path=root / index_path("a"))
    assert write_archive_page(root) == str(root / "index.html")
    text = (root / "index.html").read_text()
    (facts,) = re.findall(r'<script type="application/json" id="facts">(.*?)</script>', text, re.DOTALL)
    return text, json.loads(facts)


def chunk(root: Path, name: str) -> Any:
    found = re.fullmatch(
        r'UssRayArchive\.take\("([^"]+)",(.*)\)\n', (root / f"index-pages/{name}.js").read_text()
    )
    assert found is not None
    assert found[1] == name
    return json.loads(found[2])


def test_each_sound_has_its_rows_the_most_certain_first(tmp_path: Path) -> None:
    spans = tuple(ActiveSpan(start_seconds=n * 1.0, end_seconds=n + 0.5) for n in range(9))
    _, facts = made(
        tmp_path,
        row("a.wav", probability=0.25, certainty="doubtful"),
        row("b/run.json", probability=0.875, active_spans=spans),
        row("c.wav", status="absent", probability=0.15, level_db=None),
        row("a.wav", "residual", "Residual", kind="residual", probability=None),
        row("a.wav", "query:x y", "x y", level=None, kind="text", status="silent"),
    )
    sounds = {sound["id"]: sound for sound in facts["sounds"]}
    assert list(sounds) == ["/m/dog", "query:x y"]
    assert sounds["/m/dog"]["counts"] == [2, 0, 0, 1]
    data = chunk(tmp_path, sounds["/m/dog"]["chunk"])
    assert data["recordings"] == [["b/run.json"], ["a.wav"], ["c.wav"]]
    assert data["rows"][1:] == [
        [1, 0, 0.25, -20.0, 0, [], "level-3/dog.flac", 1],
        [2, 3, 0.15, None, 0, [], None, 0],
    ]
    assert data["rows"][0][4] == 9
    assert data["rows"][0][5] == [[n, n + 0.5] for n in range(6)]


def test_a_recording_whose_folder_has_another_name_is_found_there(tmp_path: Path) -> None:
    _, facts = made(tmp_path, row("index.html", stem_uri="%69ndex.html/level-3/dog.flac"))
    data = chunk(tmp_path, facts["sounds"][0]["chunk"])
    assert data["recordings"] == [["index.html", "%69ndex.html"]]
    assert data["rows"][0][6] == "level-3/dog.flac"


def test_a_folder_that_an_older_version_named_is_found_by_its_stems(tmp_path: Path) -> None:
    of_span = ActiveSpan(
        start_seconds=1.0, end_seconds=2.0, stem_uri="old/x/level-3/dog/000001.000.flac", stem_sha256="0", stem_bytes=1
    )  # fmt: skip
    nothing = {"stem_uri": None, "stem_sha256": None, "stem_bytes": None}
    _, facts = made(tmp_path, row("x", active_spans=(of_span,), **nothing), row("y", status="detected"))
    data = chunk(tmp_path, facts["sounds"][0]["chunk"])
    assert data["recordings"][0] == ["x", "old/x"]
    assert data["rows"][0][5] == [[1.0, 2.0, "level-3/dog/000001.000.flac", 1.0]]
    assert chunk(tmp_path, "recordings")[0][-1] == "old/x"


def test_events_are_where_a_sound_was_detected_and_play_from_the_file_that_holds_them(tmp_path: Path) -> None:
    files = tuple(
        ActiveSpan(
            start_seconds=start,
            end_seconds=start + 4,
            stem_uri=f"x/level-3/dog/{start:.0f}.flac",
            stem_sha256="0",
            stem_bytes=1,
            stem_start_frame=round((start - 0.125) * 8000),
        )
        for start in range(5, 90, 5)
    )
    nothing = {"stem_uri": None, "stem_sha256": None, "stem_bytes": None, "sample_rate": 8000}
    heard = (Span(start_seconds=86.0, end_seconds=87.5),)
    _, facts = made(
        tmp_path,
        row("x", active_spans=files, detected_spans=heard, probability=0.5, **nothing),
        row("x", active_spans=files, detected_spans=(), probability=0.25, **nothing),
        row("x", active_spans=files, probability=0.125, **nothing),
    )
    within, unheard, earlier = chunk(tmp_path, facts["sounds"][0]["chunk"])["rows"]
    assert within[4:7] == [1, [[86.0, 87.5, "level-3/dog/85.flac", 84.88]], None]
    assert unheard[4:7] == [0, [], "level-3/dog/5.flac"]
    assert (earlier[4], len(earlier[5])) == (17, 6)


def test_every_recording_is_counted_also_where_nothing_was_heard_and_where_it_failed(tmp_path: Path) -> None:
    broken = failed_row(RecordingFacts(recording_id="z.wav", recording_uri="z.wav"), run=RUN, reason="broken")
    quiet = [row("q.wav", f"n{n}", status="absent", probability=0.01) for n in range(5)]
    cannot = row("q.wav", "n9", status="unknown", probability=None)
    text, facts = made(tmp_path, row("a.wav"), *quiet, cannot, broken)
    assert (facts["recordings"], facts["failed"], len(facts["sounds"])) == (3, 1, 1)
    assert chunk(tmp_path, "recordings") == [
        ["z.wav", None, 0, "broken"],
        ["a.wav", 10.0, 1, None],
        ["q.wav", 10.0, 0, None],
    ]
    assert "0:20" in text


def test_what_is_too_much_for_a_page_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_KEPT_ROWS", 3)
    monkeypatch.setattr(archive, "_KEPT_RECORDINGS", 4)
    rows = [row(f"{n}.wav", probability=n / 10) for n in range(8)]
    text, facts = made(tmp_path, *rows, row("x.wav", status="absent", probability=0.99))
    data = chunk(tmp_path, facts["sounds"][0]["chunk"])
    assert data["recordings"] == [["7.wav"], ["6.wav"], ["5.wav"]]
    assert facts["sounds"][0]["counts"] == [8, 0, 0, 1]
    assert facts["recordings"] == 9
    assert len(chunk(tmp_path, "recordings")) == 4
    assert "Of 1 sound the page holds 3 findings each; the index has all." in text


def test_what_failed_keeps_its_folder_of_an_older_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_KEPT_RECORDINGS", 2)
    page = archive.ArchivePage()
    for n in range(9):
        page.take(to_table([row(f"s{n}", stem_uri=f"s{n}/level-1/dog.flac")]))
    page.take(
        to_table([failed_row(RecordingFacts(recording_id="s8", recording_uri="s8"), run=RUN, reason="cut")])
    )
    assert page.recordings.listed()[0] == ["s8", 10.0, 1, "cut"]


def test_what_is_held_of_an_index_is_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither spans that it does not show, nor more recordings than it lists."""
    monkeypatch.setattr(archive, "_KEPT_ROWS", 3)
    monkeypatch.setattr(archive, "_KEPT_RECORDINGS", 4)
    spans = tuple(ActiveSpan(start_seconds=n * 1.0, end_seconds=n + 0.5) for n in range(5000))
    rows = [row(f"{n:02}.wav", probability=n / 99, active_spans=spans) for n in range(50)]
    failed = [
        failed_row(RecordingFacts(recording_id=f"z{n:02}", recording_uri="z"), run=RUN, reason="cut")
        for n in range(20)
    ]
    page = archive.ArchivePage()
    for one in (*rows, *failed):
        page.take(to_table([one]))
    (sound,) = page.sounds.values()
    assert [shown.recording_id for shown in sound.shown()] == ["49.wav", "48.wav", "47.wav"]
    assert max(len(shown.text) for shown in sound.shown()) < 200
    assert len(page.recordings.folders.of) + len(page.recordings.reasons.of) <= 4 * 4
    assert page.recordings.counts() == (70, 20)
    assert [one[0] for one in page.recordings.listed()] == ["z00", "z01", "z02", "z03"]


def test_of_a_part_what_a_page_needs_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, columns = archive.read_index_part, []

    def reading(file, **how):
        columns.append(how["columns"])
        return read(file, **how)

    monkeypatch.setattr(archive, "read_index_part", reading)
    made(tmp_path, row("a.wav"))
    assert len(columns) == 1
    assert "settings" not in columns[0]  # the longest of all, alike in all rows


def test_scripts_of_sounds_that_are_gone_go(tmp_path: Path) -> None:
    made(tmp_path, row("a.wav"), row("a.wav", "/m/CAT", "Cat"), row("a.wav", "/m/cat", "Cat"))
    assert sorted(path.name for path in (tmp_path / "index-pages").iterdir()) == [
        "recordings.js", "sound-m_cat-2.js", "sound-m_cat.js", "sound-m_dog.js",
    ]  # fmt: skip
    made(tmp_path, row("a.wav"))
    assert [path.name for path in sorted((tmp_path / "index-pages").iterdir())] == [
        "recordings.js",
        "sound-m_dog.js",
    ]


def test_an_output_in_a_store_has_its_page_there(storage_root: str, tmp_path: Path) -> None:
    write_index([row("a.wav"), row("a.wav", "/m/cat", "Cat")], path=tmp_path / "rows.parquet")
    output = Store(storage_root) / "out"
    (output / "index" / "a.parquet").put((tmp_path / "rows.parquet").read_bytes())
    for _ in range(2):
        assert write_archive_page(output) == str(output / "index.html")
        assert {place.relative_to(output) for place in output.list()} == {
            "index.html", "index/a.parquet", "index-pages/recordings.js", "index-pages/sound-m_cat.js",
            "index-pages/sound-m_dog.js",
        }  # fmt: skip


def test_names_are_data_never_markup(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    text, facts = made(tmp_path, row("a.wav", label=evil))
    assert "<script>alert" not in text
    assert facts["sounds"][0]["label"] == evil


@pytest.mark.slow
def test_a_page_of_thousands_of_recordings_stays_small(tmp_path: Path) -> None:
    one = [row("00000.wav", f"/m/{node}", f"Sound {node}", probability=0.3) for node in range(20)]
    rows = [
        dataclasses.replace(each, recording_id=f"{n:05}.wav", probability=(n % 700) / 1000)
        for n in range(1500)
        for each in one
    ]
    made(tmp_path, *rows)
    assert (tmp_path / "index.html").stat().st_size < 100_000
    assert max(path.stat().st_size for path in (tmp_path / "index-pages").iterdir()) < 200_000


def test_without_an_index_there_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="an index"):
        write_archive_page(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_something_more_specific_explains_is_found_under_that_one(tmp_path: Path) -> None:
    rows = [row("a.wav", kind="event"), row("a.wav", "/m/animal", "Animal", kind="event", status="explained")]
    _, facts = made(tmp_path, *rows)
    assert [sound["label"] for sound in facts["sounds"]] == ["Dog"]
    assert facts["recordings"] == 1


def test_a_page_tells_which_files_it_reads(tmp_path: Path) -> None:
    made(tmp_path, row("a.wav"), row("a.wav", "/m/</script>", "Cat"))
    told = page_data((tmp_path / "index.html").read_bytes())
    assert set(told) == {f"index-pages/{path.name}" for path in (tmp_path / "index-pages").iterdir()}
    assert len(told) == 3


@pytest.mark.parametrize("facts", ["", "{", "[]", "{}", '{"sounds": [1]}', '{"sounds": []}'])
def test_a_page_of_others_reads_none_of_our_files(facts: str) -> None:
    assert page_data(f'<script type="application/json" id="facts">{facts}</script>'.encode()) == ()
    assert page_data(facts.encode()) == ()


@pytest.mark.parametrize("left", [300, 2000, -20])
def test_a_page_that_was_cut_is_written_again(tmp_path: Path, left: int) -> None:
    root = Store(tmp_path / "out")
    write_index([row("a.wav")], path=tmp_path / "out" / index_path("part"))
    write_archive_page(root)
    whole = (root / "index.html").read()
    (root / "index.html").put(whole[:left])
    assert not is_current_page(root)
    write_archive_page(root)
    assert (root / "index.html").read() == whole


@pytest.mark.parametrize("page", [b"<html>a site of mine</html>", b"\xff\x00"])
def test_a_page_of_others_is_not_written_over(tmp_path: Path, page: bytes) -> None:
    root = Store(tmp_path / "out")
    write_index([row("a.wav")], path=tmp_path / "out" / index_path("part"))
    (root / "index.html").put(page)
    with pytest.raises(OutputError, match=r"index\.html: expected no page yet"):
        write_archive_page(root)
    assert (root / "index.html").read() == page
    (root / "index.html").put(b"")  # half of one
    (root / "index-pages/notes.js").put(b"mine")
    write_archive_page(root)
    write_archive_page(root)
    assert (root / "index-pages/notes.js").read() == b"mine"
    assert is_current_page(root)
