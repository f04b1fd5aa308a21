"""The page of a recording."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile

from tests.unit.results.conftest import RATE, blocks_of, faded_scene, write_stems
from uss_ray.errors import ConfigError, OutputError
from uss_ray.results.blocks import StemRequest
from uss_ray.results.index.table import RecordingFacts, RunFacts
from uss_ray.results.report.recording import write_report
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

    VOID = frozenset({"meta", "link", "img", "br", "source", "rect"})

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


def page_of(written: WrittenRecording, root: Path, **options: float) -> tuple[Page, str]:
    path = write_report(written, root=root, **options)  # type: ignore[arg-type]
    assert path == root / written.recording.recording_id / "report.html"
    text = path.read_text(encoding="utf-8")
    return Page(text), text


def test_nothing_on_the_page_comes_from_elsewhere(root: Path, written: WrittenRecording) -> None:
    page, text = page_of(written, root)
    sources = [
        value
        for name in ("src", "srcset", "data", "poster")
        for tag in ("img", "audio", "source", "script")
        for value in page.values(tag, name)
    ]
    assert len(sources) >= 8
    assert all(source.startswith("data:") for source in sources + page.values("link", "href"))
    assert "url(" not in text
    assert "@import" not in text
    assert re.search(r"https?://", text) is None


def test_every_player_holds_sound_that_decodes(root: Path, written: WrittenRecording) -> None:
    page, _ = page_of(written, root)
    sources = page.values("audio", "src") + page.values("source", "src")
    assert len(sources) == 1 + sum(row.status == "written" for row in written.rows)
    for source in sources:
        media_type, data = source.split(";base64,")
        assert media_type == "data:audio/mpeg"
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
        assert len(samples) / rate == pytest.approx(5.04, abs=0.15)
        assert np.abs(samples).max() > 0.05 or source not in page.values("audio", "src")


@pytest.mark.parametrize("limit", [{"embed_seconds": 1.0}, {"page_bytes": 1}])
def test_what_is_too_long_or_too_large_is_linked_by_a_path_that_exists(
    root: Path, written: WrittenRecording, limit: dict[str, float]
) -> None:
    page, text = page_of(written, root, **limit)
    folder = root / written.recording.recording_id
    sources = page.values("source", "src")
    assert len(sources) == sum(row.status == "written" for row in written.rows)
    for source in sources:
        assert not source.startswith("data:")
        assert (folder / unquote(source)).is_file()
    assert "Plays the stem file beside this page" in text


def test_names_and_labels_are_text_never_markup(root: Path, written: WrittenRecording) -> None:
    page, text = page_of(written, root)
    assert 'alert("1")' not in text
    assert "&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt; &amp; Söhne" in text
    assert sum(tag == "script" for tag, _ in page.elements) == 1
    assert not any(tag == "i" and not attributes for tag, attributes in page.elements)
    assert "犬" in text


def test_each_picture_and_player_has_words_for_it(root: Path, written: WrittenRecording) -> None:
    page, _ = page_of(written, root)
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    assert images
    assert all(attributes.get("alt") for attributes in images)
    assert all(attributes.get("aria-label") for tag, attributes in page.elements if tag in {"audio", "svg"})
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(page.values("figure", "data-seek")) <= set(ids)
    labels = page.values("svg", "aria-label")
    assert "Speech: highest probability 0.75, active 0:03.0–0:05.0" in labels
    assert len(labels) == 3


def test_the_page_says_where_the_result_comes_from(root: Path, written: WrittenRecording) -> None:
    _, text = page_of(written, root)
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


def test_a_recording_of_one_silent_sample_has_a_page(tmp_path: Path, run_facts: RunFacts) -> None:
    facts = RecordingFacts(
        recording_id="1.wav", recording_uri="1.wav", sample_rate=48000, channels=1, frames=1
    )
    blocks = blocks_of(np.zeros((1, 1), np.float32), {}, keys=[STEMS[0].key])
    written = write_stems(blocks, stems=STEMS[:1], root=tmp_path, recording=facts, run=run_facts)
    _, text = page_of(written, tmp_path)
    assert "No stem was kept." in text
    assert "Nothing that was asked for is in this recording." in text


def test_a_page_that_cannot_be_written_is_an_error_and_leaves_no_part(
    tmp_path: Path, written: WrittenRecording
) -> None:
    path = tmp_path / written.recording.recording_id / "report.html"
    (path / "in the way").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"report\.html"):
        write_report(written, root=tmp_path, embed_seconds=0.0)
    assert not list(tmp_path.rglob("*.part"))


def test_the_page_says_when_its_player_holds_only_the_beginning(
    root: Path, written: WrittenRecording
) -> None:
    note = "The player holds the first"
    assert note not in page_of(written, root)[1]
    assert written.portrait is not None
    cut = dataclasses.replace(written, portrait=dataclasses.replace(written.portrait, preview_seconds=4.0))
    assert f"{note} 4 s of the recording" in page_of(cut, root, embed_seconds=1.0)[1]


def test_spans_have_players_of_their_own_and_the_rest_is_counted(
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
    sources = page.values("source", "src")
    assert len(sources) == 8
    assert all((tmp_path / facts.recording_id / unquote(source)).is_file() for source in sources)
    assert page.values("source", "type") == ["audio/ogg"] * 8
    folders = [href for href in page.values("a", "href") if href.endswith("/")]
    assert all((tmp_path / facts.recording_id / unquote(folder)).is_dir() for folder in folders)
    assert len(folders) == 1
    for words in ("10 OGG files", "2 more in the folder", "0:02.0–0:03.0"):
        assert words in text
    assert "lossless" not in text
    assert "add up to the recording" not in text
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(page.values("figure", "data-seek")) <= set(ids)


def test_what_was_only_detected_has_a_time_line_and_no_player(
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
    assert label.endswith("active 0:02–0:04")
    assert len(page.values("audio", "src")) == 1
    assert page.values("source", "src") == []
    for words in ("1 detected, 1 absent", "Detected only: nothing was to be separated.", "Without a stem: 2"):
        assert words in text


def test_what_the_weights_do_not_know_is_one_line(
    tmp_path: Path, run_facts: RunFacts, recording_facts: RecordingFacts
) -> None:
    scene = faded_scene({STEMS[1].key: "..##..", STEMS[2].key: "......"})
    stems = [STEMS[1], dataclasses.replace(STEMS[2], is_known=False, label="Unheard of")]
    written = write_stems(
        scene.blocks(), stems=stems, root=tmp_path, recording=recording_facts, run=run_facts
    )
    _, text = page_of(written, tmp_path)
    assert "1 unknown" in text
    assert "not trained on 1 more" in text
    assert "Unheard of" not in text


def test_a_recording_that_was_not_drawn_has_no_page(
    tmp_path: Path, run_facts: RunFacts, recording_facts: RecordingFacts
) -> None:
    scene = faded_scene({STEMS[1].key: "..##.."})
    written = write_stems(
        scene.blocks(), stems=STEMS[1:2], root=tmp_path, recording=recording_facts, run=run_facts, draw=False
    )
    with pytest.raises(ConfigError, match="with pictures"):
        write_report(written, root=tmp_path)
