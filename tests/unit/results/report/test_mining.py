from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from uss_ray.anchors.anchor import Anchor
from uss_ray.anchors.manifest import MiningManifest, write_manifest
from uss_ray.anchors.shards import write_anchor_shard
from uss_ray.errors import DataError
from uss_ray.results.report.mining import write_mining_report

RATE = 32_000
LABELS = ["Dog", "Rain <b>on</b> tin", "Piano", "Never heard"]


def tone(clip: int, class_index: int, *, score: float, purity: float) -> Anchor:
    seconds = np.arange(2 * RATE) / RATE
    return Anchor(
        clip_id=f"clip{clip}",
        class_index=class_index,
        start_sample=3 * RATE,
        sample_rate=RATE,
        score=score,
        purity=purity,
        intruder_index=2,
        level_db=-12.0,
        label_indexes=(0, class_index),
        prob_indexes=(class_index,),
        probs=np.array([score], np.float32),
        waveform=(8000 * np.sin(2 * np.pi * 440 * (1 + class_index) * seconds)).astype(np.int16),
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    anchors = [tone(n, 0, score=0.92, purity=0.97) for n in range(3)] + [tone(9, 1, score=0.31, purity=0.42)]
    shard = write_anchor_shard(anchors, tmp_path / "anchors" / "a.parquet")
    manifest = MiningManifest.of(
        [shard],
        rejects={"silent": 5, "missing": 2},
        weights_name="starter",
        weights_sha256="ab" * 32,
        class_list_sha256="cd" * 32,
        settings={"mode": "paper", "silence_db": -60.0},
        sample_rate=RATE,
        clips=11,
    )
    write_manifest(manifest, tmp_path)
    return tmp_path


class Links(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href") and value]


def test_the_page_is_complete_in_one_file(root: Path) -> None:
    page = Path(write_mining_report(root, labels=LABELS)).read_text()
    links = Links(page).found
    assert all(link.startswith("data:") for link in links)
    assert sum(link.startswith("data:image/png") for link in links) == 12
    sounds = [link for link in links if link.startswith("data:audio/mpeg")]
    audio, rate = soundfile.read(io.BytesIO(base64.b64decode(sounds[0].partition(",")[2])))
    assert rate == RATE
    assert len(audio) / rate == pytest.approx(2.0, abs=0.1)


def test_the_page_counts_what_the_shards_hold(root: Path) -> None:
    page = Path(write_mining_report(root, labels=LABELS, examples=2)).read_text()
    text = re.sub(r"<[^>]+>", " ", page)
    assert "Anchors 4" in re.sub(r"\s+", " ", text)
    assert "0.90 to 0.95: 3; " in page
    assert "0.30 to 0.35: 1; " in page
    assert "0.95 to 1.00: 3; " in page
    assert page.index("<strong>silent</strong>") < page.index("<strong>missing</strong>")
    assert "2 classes of the list have none" in page
    assert "Rain &lt;b&gt;on&lt;/b&gt; tin" in page
    assert "Strongest unrelated class: Piano 0.58" in page
    assert page.count("Strongest unrelated class") == 1


def test_the_same_run_gives_the_same_page(root: Path) -> None:
    first = Path(write_mining_report(root, labels=LABELS)).read_bytes()
    assert Path(write_mining_report(root, labels=LABELS)).read_bytes() == first


def test_a_run_without_anchors_has_a_page_too(tmp_path: Path) -> None:
    shard = write_anchor_shard([], tmp_path / "anchors" / "a.parquet")
    facts = {"weights_name": "w", "weights_sha256": "a", "class_list_sha256": "b", "settings": {}}
    manifest = MiningManifest.of([shard], rejects={}, sample_rate=RATE, clips=0, **facts)
    write_manifest(manifest, tmp_path)
    assert "There is no anchor." in Path(write_mining_report(tmp_path, labels=LABELS)).read_text()


def test_an_unfinished_run_is_named(tmp_path: Path) -> None:
    write_anchor_shard([tone(1, 0, score=0.5, purity=0.5)], tmp_path / "anchors" / "a.parquet")
    with pytest.raises(DataError, match="expected a finished mining run"):
        write_mining_report(tmp_path, labels=LABELS)
