"""The page of a recording."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from tests.unit.results.conftest import RATE, blocks_of, faded_scene, write_stems
from uss_ray.errors import ConfigError, OutputError
from uss_ray.results.blocks import StemRequest
from uss_ray.results.index.activity import Activity
from uss_ray.results.index.table import ActiveSpan, RecordingFacts, RunFacts
from uss_ray.results.report.recording import render_report, write_report
from uss_ray.results.report.spectrogram import Spectrogram
from uss_ray.results.stems.written import WrittenRecording

EVIL = '<script>alert("1")</script> & Söhne'
STEMS = [
    StemRequest(key="/m/0jbk", label=EVIL, level=1),
    StemRequest(key="/m/09x0r", label="Speech", level=2),
    StemRequest(key="/m/04rlf", label="Music", level=2),
    StemRequest(key="query:q", label="犬", kind="text"),
]


class Page(HTMLParser):
    """Every element with its attributes."""

    VOID = frozenset({"meta", "link", "img", "br", "input", "path"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def values(self, tag: str, name: str) -> list[str]:
        return [attributes[name] for kind, attributes in self.elements if kind == tag and name in attributes]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def written(root: Path, recording_facts: RecordingFacts, run_facts: RunFacts) -> WrittenRecording:
    sound = np.random.default_rng(0).normal(0, 0.1, (2, recording_facts.frames or 0)).astype(np.float32)
    late = sound.copy()
    late[:, : 3 * RATE] = 0
    estimates = {STEMS[0].key: sound, STEMS[1].key: late, STEMS[3].key: late}
    facts = dataclasses.replace(
        recording_facts, recording_id="a b/<i>%23 'é\".wav", recording_uri="s3://b/<i>.wav"
    )
    blocks = blocks_of(sound, estimates, keys=[stem.key for stem in STEMS])
    return write_stems(blocks, stems=STEMS, root=root, recording=facts, run=run_facts)


def page_of(written: WrittenRecording, root: Path) -> tuple[Page, str]:
    path = write_report(written, root=root)
    assert path == root / written.recording.recording_id / "report.html"
    text = path.read_text(encoding="utf-8")
    return Page(text), text


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" class="uss-data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def files_of(text: str) -> list[str]:
    return [unquote(file["url"]) for lane in data_of(text)["lanes"] for file in lane["files"]]


def test_nothing_on_the_page_comes_from_elsewhere(root: Path, written: WrittenRecording) -> None:
    page, text = page_of(written, root)
    sources = [value for name in ("src", "srcset", "data", "poster") for value in page.values("img", name)]
    assert len(sources) == 1 + sum(row.status == "written" for row in written.rows)
    assert all(source.startswith("data:image/") for source in sources)
    assert page.values("link", "href") == ["data:,"]
    assert page.values("script", "src") == []
    assert "url(" not in text
    assert "@import" not in text
    assert re.search(r"https?://", text.replace("^https?:$", "")) is None


def test_all_sound_lies_beside_the_page_none_in_it(root: Path, written: WrittenRecording) -> None:
    _, text = page_of(written, root)
    files = files_of(text)
    folder = root / written.recording.recording_id
    assert files[0] == "report.mp3"
    assert len(files) == 1 + sum(row.status == "written" for row in written.rows)
    assert all((folder / file).is_file() for file in files)
    assert "data:audio" not in text


def test_names_and_labels_are_text_never_markup(root: Path, written: WrittenRecording) -> None:
    page, text = page_of(written, root)
    assert 'alert("1")' not in text
    assert "&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt; &amp; Söhne" in text
    assert EVIL in [lane["name"] for lane in data_of(text)["lanes"]]
    assert sum(tag == "script" for tag, _ in page.elements) == 2
    assert not any(tag == "i" and not attributes for tag, attributes in page.elements)
    assert "犬" in text


def test_each_picture_and_each_button_has_words_for_it(root: Path, written: WrittenRecording) -> None:
    page, _ = page_of(written, root)
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    assert images
    assert all(attributes.get("alt") for attributes in images)
    inputs = [attributes for tag, attributes in page.elements if tag == "input"]
    assert all(attributes.get("aria-label") or attributes["class"] == "uss-volume" for attributes in inputs)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(page.values("button", "aria-controls")) <= set(ids)
    assert "Speech: highest probability 0.75, 1 event" in page.values("svg", "aria-label")


def test_the_page_says_where_the_result_comes_from(root: Path, written: WrittenRecording) -> None:
    page, text = page_of(written, root)
    for fact in (
        "starter",
        "0" * 64,
        "threshold",
        "0.2",
        "s3://b/&lt;i&gt;.wav",
        "3 written, 1 absent",
        "8 kHz",
    ):
        assert fact in text
    assert "../../index.html" in page.values("a", "href")  # the page of the whole output, from this folder


def test_a_recording_of_one_silent_sample_has_a_page(tmp_path: Path, run_facts: RunFacts) -> None:
    facts = RecordingFacts(
        recording_id="1.wav", recording_uri="1.wav", sample_rate=48000, channels=1, frames=1
    )
    blocks = blocks_of(np.zeros((1, 1), np.float32), {}, keys=[STEMS[0].key])
    written = write_stems(blocks, stems=STEMS[:1], root=tmp_path, recording=facts, run=run_facts)
    _, text = page_of(written, tmp_path)
    assert "Nothing that was asked for is in this recording." in text


def test_a_page_that_cannot_be_written_is_an_error_and_leaves_no_part(
    tmp_path: Path, written: WrittenRecording
) -> None:
    path = tmp_path / written.recording.recording_id / "report.html"
    (path / "in the way").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"report\.html"):
        write_report(written, root=tmp_path)
    assert not list(tmp_path.rglob("*.part"))


def test_the_page_says_when_only_the_beginning_can_be_heard(root: Path, written: WrittenRecording) -> None:
    note = "plays its first"
    assert note not in page_of(written, root)[1]
    assert written.portrait is not None
    cut = dataclasses.replace(written, portrait=dataclasses.replace(written.portrait, heard_seconds=4.0))
    text = page_of(cut, root)[1]
    assert f"{note} 4 s: no sound was to be kept" in text
    assert data_of(text)["lanes"][0]["files"] == [{"url": "report.mp3", "start": 0.0, "end": 4.0}]


def test_spans_are_played_where_they_are(
    tmp_path: Path, run_facts: RunFacts, recording_facts: RecordingFacts
) -> None:
    scene = faded_scene({STEMS[0].key: "#." * 10, STEMS[1].key: "...." * 5})
    facts = dataclasses.replace(recording_facts, frames=scene.frames)
    written = write_stems(
        scene.blocks(),
        stems=STEMS[:2],
        root=tmp_path,
        recording=facts,
        run=run_facts,
        write="active-spans",
        stem_format="ogg",
        subtype="VORBIS",
    )
    page, text = page_of(written, tmp_path)
    (_, lane) = data_of(text)["lanes"]
    assert len(lane["files"]) == len(lane["spans"]) == 10
    assert all((tmp_path / facts.recording_id / unquote(file["url"])).is_file() for file in lane["files"])
    assert [round(file["start"], 3) for file in lane["files"]][:3] == [0.0, 1.875, 3.875]
    folders = [href for href in page.values("a", "href") if href.endswith("/")]
    assert all((tmp_path / facts.recording_id / unquote(folder)).is_dir() for folder in folders)
    assert len(folders) == 1
    for words in ("10 OGG files", "0:02.0–0:03.0" if "0:02.0" in text else "0:02–0:03"):
        assert words in text
    assert "lossless" not in text
    assert "add up to the recording" not in text
    assert data_of(text)["adds"] == []


def test_what_was_only_detected_has_a_time_line_and_no_sound(
    tmp_path: Path, run_facts: RunFacts, recording_facts: RecordingFacts
) -> None:
    scene = faded_scene({STEMS[1].key: "..##..", STEMS[2].key: "......"})
    blocks = (dataclasses.replace(block, estimates={}) for block in scene.blocks())
    written = write_stems(
        blocks, stems=STEMS[1:3], root=tmp_path, recording=recording_facts, run=run_facts, write="index-only"
    )
    page, text = page_of(written, tmp_path)
    (label,) = page.values("svg", "aria-label")
    assert label.startswith("Speech: highest probability")
    assert label.endswith("1 event")
    assert files_of(text) == ["report.mp3"]
    assert "1 detected, 1 absent" in text
    assert "Music <span>" in text


def test_what_the_weights_cannot_know_is_folded_away(
    tmp_path: Path, run_facts: RunFacts, recording_facts: RecordingFacts
) -> None:
    scene = faded_scene({STEMS[1].key: "..##..", STEMS[2].key: "......"})
    stems = [STEMS[1], dataclasses.replace(STEMS[2], is_known=False, label="Unheard of")]
    written = write_stems(
        scene.blocks(), stems=stems, root=tmp_path, recording=recording_facts, run=run_facts
    )
    _, text = page_of(written, tmp_path)
    assert "1 unknown" in text
    folded = text.index("1 that the weights cannot know</summary>")
    assert (
        text.rindex("<details", 0, folded)
        < folded
        < text.index("Unheard of")
        < text.index("</details>", folded)
    )


def test_a_recording_that_was_not_drawn_has_no_page(
    tmp_path: Path, run_facts: RunFacts, recording_facts: RecordingFacts
) -> None:
    scene = faded_scene({STEMS[1].key: "..##.."})
    written = write_stems(
        scene.blocks(), stems=STEMS[1:2], root=tmp_path, recording=recording_facts, run=run_facts, draw=False
    )
    with pytest.raises(ConfigError, match="with pictures"):
        write_report(written, root=tmp_path)


@pytest.mark.slow
def test_a_page_of_hundreds_of_busy_stems_stays_below_three_megabytes(
    written: WrittenRecording,
) -> None:
    assert written.portrait is not None
    noise = np.random.default_rng(3).uniform(-75, 0, (80, 600)).astype(np.float32)
    busy = Spectrogram(noise, top_hz=24_000.0)
    spans = tuple(ActiveSpan(start_seconds=n * 2.0, end_seconds=n * 2.0 + 1.0) for n in range(900))
    template = next(row for row in written.rows if row.label == "Speech")
    rows = [
        dataclasses.replace(
            template,
            node_id=f"n{n}",
            label=f"A sound of many words, number {n}",
            stem_uri=str(template.stem_uri).replace("speech", f"speech-{n}"),
            active_spans=spans,
            level_db=-20.0 - n / 10,
        )
        for n in range(120)
    ]
    activity = Activity(np.random.default_rng(4).uniform(0, 1, 1000).astype(np.float32), 1.8, spans)
    text = render_report(
        dataclasses.replace(
            written,
            recording=dataclasses.replace(written.recording, frames=1_800 * RATE),
            rows=rows,
            activities={row.node_id: activity for row in rows},
            portrait=dataclasses.replace(
                written.portrait, spectrograms={(row.level, row.node_id): busy for row in rows}
            ),
        )
    )
    assert len(text.encode()) <= 3_000_000
    assert text.count("No picture: the page would be too large with it.") + text.count("<img") == 121
    assert "Of A sound of many words, number 0, " in text
    assert "and 117 more sounds the keys find the first 330 events" in text
