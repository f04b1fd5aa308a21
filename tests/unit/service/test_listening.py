"""A kept result to be looked at and heard."""

from __future__ import annotations

import dataclasses
import json
import re
import xml.etree.ElementTree as ElementTree

import pytest

from tests.unit.service.answers import DOG, SOUND, flac, row_of, work_of
from uss_ray.service.backend import Answer
from uss_ray.service.kept import KeptResults
from uss_ray.service.listening import player_of, spectrogram_of, waveform_of
from uss_ray.service.problems import Refusal
from uss_ray.service.result import Result


def data_of(markup: str) -> dict:
    found = re.search(r'<script type="application/json" class="uss-data">(.*?)</script>', markup, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_player_has_a_lane_for_each_stem_and_its_addresses(made: Result) -> None:
    markup = player_of(made)
    data = data_of(markup)
    assert [lane["name"] for lane in data["lanes"]] == ["Recording", "Dog", "Cat", "Rest"]
    root = f"v1/results/{made.result_id}"
    assert [lane["files"][0]["url"] for lane in data["lanes"]] == [
        f"{root}/stems/recording.flac",
        f"{root}/stems/query/dog.flac",
        f"{root}/stems/query/cat.flac",
        f"{root}/stems/query/residual.flac",
    ]
    assert data["adds"] == ["queries"]
    assert data["seconds"] == 2.5
    assert f'src="{root}/spectrogram.png"' in markup
    assert f'src="{root}/waveform.svg?stem=query%2Fdog.flac"' in markup
    assert f'href="{root}/stems/query/dog.flac"' in markup
    assert data["lanes"][1]["probs"][0]


def test_without_the_rest_it_says_that_the_recording_is_not_there(made: Result) -> None:
    rows = [row for row in made.index["rows"] if row["kind"] != "residual"]
    alone = dataclasses.replace(made, index={**made.index, "recording": None, "rows": rows}, recording=())
    for words in ("the recording itself is not here", ">All sounds</button>"):
        assert words in player_of(alone)
        assert words not in player_of(made)


def test_nothing_in_it_needs_a_lax_policy(made: Result) -> None:
    markup = player_of(made)
    assert not re.search(r"\sstyle=|\son[a-z]+=|<style|javascript:", markup)
    assert re.findall(r"<script[^>]*>", markup) == ['<script type="application/json" class="uss-data">']


def test_names_of_strangers_are_texts(results: KeptResults) -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    answer = Answer(
        rows=[row_of(DOG, label=evil, stem_uri="query/a&b.flac")],
        files={"query/a&b.flac": flac(SOUND)},
        run={},
    )
    markup = player_of(results.keep(work_of(SOUND), answer, tenant="one", seconds=60))
    assert "<img src=x" not in markup
    assert data_of(markup)["lanes"][1]["name"] == evil
    assert "stem=query%2Fa%26b.flac" in markup


@pytest.mark.parametrize("detected", [None, [], [(0.75, 1.0)]])
def test_spans_are_files_of_one_lane(
    results: KeptResults, detected: list[tuple[float, float]] | None
) -> None:
    spans = [
        {"start_seconds": at, "end_seconds": at + 0.5, "stem_uri": f"query/dog/{at}.flac", "stem_sha256": "0",
         "stem_bytes": 1, "stem_start_frame": int(at * 8000)}
        for at in (0.5, 1.5)
    ]  # fmt: skip
    files = {span["stem_uri"]: flac(SOUND[:, :4000]) for span in spans}
    told = detected and [{"start_seconds": start, "end_seconds": end} for start, end in detected]
    row = row_of(DOG, active_spans=spans) | ({} if detected is None else {"detected_spans": told})
    answer = Answer(rows=[row], files=files, run={})
    made = results.keep(work_of(SOUND), answer, tenant="one", seconds=60)
    markup = player_of(made)
    lane = data_of(markup)["lanes"][1]
    assert [file["start"] for file in lane["files"]] == [0.5, 1.5]
    assert [tuple(span) for span in lane["spans"]] == (
        [(0.5, 1.0), (1.5, 2.0)] if detected is None else detected
    )
    assert markup.count('/stems/query/dog/0.5.flac"') == 2  # a link, and what the script reads


def test_a_result_of_failures_alone_has_a_player(results: KeptResults) -> None:
    failed = {
        **dict.fromkeys(row_of(DOG)),
        "label": "Spech",
        "kind": "class",
        "status": "failed",
        "reason": "no such",
    }
    answer = Answer(rows=[failed], files={}, run={})
    made = results.keep(work_of(SOUND), answer, tenant="one", seconds=60)
    markup = player_of(made)
    assert [lane["name"] for lane in data_of(markup)["lanes"]] == ["Recording"]
    assert "Spech failed: no such" in markup


def test_pictures_show_where_the_sound_is(results: KeptResults) -> None:
    quiet = SOUND.copy()
    quiet[:, 5000:] = 0
    answer = Answer(
        rows=[row_of(DOG, stem_uri="query/dog.flac")], files={"query/dog.flac": flac(quiet)}, run={}
    )
    made = results.keep(work_of(SOUND), answer, tenant="one", seconds=60)
    drawn = waveform_of(made, "query/dog.flac")
    path = ElementTree.fromstring(drawn)[0].attrib["d"]
    upper = [float(point.split(",")[1]) for point in path.strip("Mz").split()[:600]]
    assert max(upper[:149]) < 100
    assert set(upper[151:]) == {100.0}
    assert spectrogram_of(made).startswith(b"\x89PNG")
    with pytest.raises(Refusal, match="expected a recording whose sound was kept"):
        spectrogram_of(dataclasses.replace(made, recording=()))
