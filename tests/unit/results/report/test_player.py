"""The player's markup and data; what it does in a browser is tested in tests/browser."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from uss_ray.results.report.player import Lane, LaneFile, Score, player_html, player_markup, player_script

RECORDING = Lane(name="Recording", is_recording=True)


def score(*lanes: Lane, seconds: float = 10.0) -> Score:
    return Score(seconds=seconds, sample_rate=8000, channels=1, lanes=(RECORDING, *lanes), adds=("g",))


def test_the_tree_is_nested_lists() -> None:
    markup = player_markup(score(Lane(name="A"), Lane(name="B", parent=1, depth=1), Lane(name="C")), uid="p7")
    assert markup.count("<ul") == 2
    assert markup.index('<ul id="p7-in-1">') < markup.index('data-lane="2"') < markup.index('data-lane="3"')
    assert 'aria-controls="p7-in-1"' in markup
    assert "uss-fold" in markup
    assert "uss-fold" not in player_markup(score(Lane(name="A")))


def test_names_are_text_in_markup_and_data() -> None:
    evil = "</script><script>alert(1)</script>"
    markup = player_markup(score(Lane(name=evil)))
    assert "<script>alert" not in markup
    (data,) = re.findall(r'class="uss-data">(.*?)</script>', markup, re.DOTALL)
    assert json.loads(data)["lanes"][1]["name"] == evil


def test_only_what_sounds_has_buttons() -> None:
    markup = player_markup(score(Lane(name="A"), Lane(name="B", files=(LaneFile(url="b.flac"),))))
    assert markup.count('class="uss-solo"') == 1
    assert 'aria-label="Solo B"' in markup
    assert '<kbd aria-hidden="true">1</kbd><b title="B">' in markup  # the key of the first that sounds


def test_events_beyond_what_a_page_can_hold_are_counted() -> None:
    spans = tuple((float(n), n + 0.5) for n in range(50_000))
    one = score(Lane(name="Rain", spans=spans), seconds=50_000.0)
    assert "and 49940 more" in player_markup(one)
    assert "Of Rain the keys find the first 20000 events" in one.left_out
    assert len(one.data["lanes"][1]["spans"]) == 20_000
    assert score(Lane(name="Rain", spans=spans[:10])).left_out == ""


@pytest.mark.parametrize("shape", [(8000,), (2, 8000)])
def test_arrays_become_one_piece_of_html(shape: tuple[int, ...]) -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)
    html = player_html(
        sound, {"Dog <b>": sound / 2}, residual=sound / 2, sample_rate=8000, spans={"Dog <b>": ((0.0, 0.5),)}
    )
    checker = HTMLParser()
    checker.feed(html)
    assert html.count("data:audio/mpeg") == 3
    assert "Dog &lt;b&gt;" in html
    assert "0:00.0–0:00.5" in html
    uid = re.search(r'class="uss" id="(uss-\w+)"', html)
    assert uid is not None
    assert f'UssRayPlayer.mount(document.getElementById("{uid[1]}"))' in html
    assert player_html(sound, {}, sample_rate=8000) != player_html(sound, {}, sample_rate=8000)


def test_the_script_can_stand_in_a_page() -> None:
    assert "</" not in player_script()
