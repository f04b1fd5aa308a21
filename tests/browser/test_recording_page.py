"""The page of a recording in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from tests.browser.blocks import is_heard
from tests.browser.conftest import NAME, RATE, SECONDS, Output, make_output
from tests.browser.looks import contrast
from tests.browser.seen import becomes, forgive, hears, sees, until
from uss_ray.results.report.player import (
    Lane,
    LaneFile,
    Score,
    player_html,
    player_markup,
    player_script,
    player_style,
)

pytestmark = pytest.mark.browser

Open = Callable[..., Any]
PAGE = f"{NAME}/report.html"
LANES = {"Animal": 1, "Cat": 2, "Dog": 3, "Rest of level 1": 4, "Rest of level 3": 5}
PLAYER = "[...UssRayPlayer.players][0]"


def ask(page: Any, what: str) -> Any:
    return page.evaluate(f"(async () => {{ const p = {PLAYER}; return {what}; }})()")


def test_a_page_opened_as_a_file_plays_in_step_and_says_why(open_page: Open, output: Output) -> None:
    page = open_page(output.url(PAGE))
    assert ask(page, "p.engine.name") == "elements"
    sees(page.locator(".uss-mode")).to_contain_text("opened as a file")
    names = [name.split("\n")[-1] for name in page.locator(".uss-tree .uss-name b").all_inner_texts()]
    assert set(names) == set(LANES)
    page.keyboard.press("Shift+Digit2")
    ask(page, "p.seek(4.5)")
    is_there = "one.readyState > 1 && !one.seeking"
    where = f"p.engine.wanted(p.now).map(({{ element: one }}) => {is_there} && one.currentTime)"
    becomes(lambda: ask(page, where), [4.5, 4.5])
    ask(page, "p.toggleLoop(true)")  # it must not be over before the key
    page.keyboard.press("Space")
    until(page, f"{PLAYER}.now > 4.7")
    page.keyboard.press("Space")
    assert ask(page, "p.isPlaying") is False


def test_keys_and_buttons_do_the_same(open_page: Open, output: Output) -> None:
    page = open_page(output.url(PAGE))
    lanes = page.locator(".uss-tree .uss-lane")
    first = lanes.first.locator(".uss-name b").first.inner_text()
    hears(page, "the recording")
    page.keyboard.press("1")
    hears(page, first)
    sees(lanes.first.locator(".uss-solo").first).to_have_attribute("aria-pressed", "true")
    page.emulate_media(forced_colors="active")
    solos = lanes.locator(":scope > .uss-row .uss-solo")
    papers = "all => all.map(one => getComputedStyle(one).backgroundColor)"
    becomes(lambda: len(set(solos.evaluate_all(papers))), 2)  # what is pressed is seen
    page.emulate_media(forced_colors="none")
    lanes.first.locator(".uss-solo").first.click()
    hears(page, "the recording")
    page.keyboard.press("Shift+Digit1")
    hears(page, f"the recording, without {first}")
    page.keyboard.press("Digit0")
    lanes.first.locator(".uss-without").first.click()
    hears(page, f"the recording, without {first}")
    sees(lanes.first.locator(".uss-mute").first).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    hears(page, "the recording")
    for key, told in (("l", "true"), ("l", "false")):
        page.keyboard.press(key)
        sees(page.locator(".uss-loop")).to_have_attribute("aria-pressed", told)
    for key, at in (
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("ArrowLeft", 1),
        ("End", SECONDS),
        ("Home", 0),
        (".", 2),
    ):
        page.keyboard.press(key)
        becomes(lambda: ask(page, "p.now"), at)
    page.fill(".uss-volume", "0.5")
    becomes(lambda: ask(page, "[...p.audible().values()]"), [0.5])


def test_keys_are_of_those_that_sound(open_page: Open, tmp_path: Path) -> None:
    silent = Lane(name="Animal", spans=((0.0, 1.0),))
    lane = Lane(name="Dog", parent=1, depth=1, files=(LaneFile(url="dog.flac"),))
    score = Score(
        seconds=2.0, sample_rate=RATE, channels=1, lanes=(Lane(name="R", is_recording=True), silent, lane)
    )
    (tmp_path / "p.html").write_text(
        f"<!doctype html><meta charset=utf-8><style>{player_style()}</style>{player_markup(score, keys='page')}"
        f"<script>{player_script()}\nUssRayPlayer.mount(document.getElementById('player'))</script>"
    )
    page = forgive(
        open_page((tmp_path / "p.html").as_uri()), "Failed to load resource"
    )  # there is no such file
    page.keyboard.press("1")
    hears(page, "Dog")
    page.keyboard.press("2")
    hears(page, "Dog")


def test_muting_on_another_level_begins_with_all_of_that_level(open_page: Open, output: Output) -> None:
    page = open_page(output.url(PAGE))
    ask(page, "(p.toggleMute(2), p.toggleMute(3))")
    assert ask(page, "[...p.audible().keys()].length") == 1  # the rest of level 3
    ask(page, "p.toggleMute(1)")
    hears(page, "the recording, without Animal")
    assert ask(page, "[...p.audible().keys()].map(lane => p.data.lanes[lane].name)") == ["Rest of level 1"]


def test_what_is_heard_from_a_web_server_is_exact_to_the_sample(
    open_page: Open, output: Output, served: str
) -> None:
    page = open_page(f"{served}/{quote(PAGE)}")
    assert ask(page, "p.engine.name") == "decoded"
    sees(page.locator(".uss-mode")).to_contain_text("exact to the sample")
    cat = next(n for n in (1, 2, 3) if ask(page, f"p.data.lanes[{n}].name") == "Cat")
    assert is_heard(page, 0.5, output.mixture, within=1e-5)  # the rounding of Web Audio
    ask(page, f"p.toggleMute({cat}, true)")
    for at in (2.6, 0.3):
        assert is_heard(page, at, output.mixture - output.stems["/m/01yrx"], within=1e-5)
    ask(page, f"p.toggleSolo({cat})")
    assert is_heard(page, 4.0, output.stems["/m/01yrx"], within=1e-5)


def test_a_click_goes_to_that_place_and_a_drag_marks_a_loop(open_page: Open, output: Output) -> None:
    page = open_page(output.url(PAGE))
    box = page.locator(".uss-large").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.75, box["y"] + 20)
    becomes(lambda: ask(page, "p.now"), pytest.approx(0.75 * SECONDS, abs=0.02))
    track = page.locator(".uss-tree .uss-track").nth(1).bounding_box()
    page.mouse.move(track["x"] + track["width"] * 0.25, track["y"] + 5)
    page.mouse.down()
    page.mouse.move(track["x"] + track["width"] * 0.5, track["y"] + 8, steps=4)
    page.mouse.up()
    becomes(lambda: ask(page, "p.isLooping"), True)
    assert ask(page, "[p.loop.start, p.loop.end]") == pytest.approx([1.5, 3.0], abs=0.02)
    assert ask(page, "p.now") == pytest.approx(1.5, abs=0.02)
    page.locator(".uss-tree details").first.locator("summary").first.click()
    page.locator(".uss-chips button").first.click()
    becomes(lambda: ask(page, "p.isPlaying"), True)  # and goes on: it loops


def test_all_rows_have_one_axis_of_time_at_any_width_and_zoom(open_page: Open, output: Output) -> None:
    for width in (320, 1100):
        page = open_page(output.url(PAGE), width=width)
        for zoom in (1, 2):
            ask(page, f"p.setZoom({zoom})")
            edges = page.evaluate(
                "[...document.querySelectorAll('.uss-track, .uss-ruler, .uss-over')]"
                ".map(one => one.getBoundingClientRect()).map(box => [box.left, box.right])"
            )
            assert np.ptp(np.array(edges), axis=0).max() < 1.0
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_colours_and_texts_stand_out_by_day_and_by_night(open_page: Open, output: Output) -> None:
    for scheme in ("light", "dark"):
        page = open_page(output.url(PAGE), color_scheme=scheme)
        colours = page.evaluate(
            """() => {
              const probe = document.createElement('i');
              document.body.append(probe);
              const names = ['paper', 'card', 'ink', 'soft', 'track', 'edge', 'accent', 'accent-ink', 'on-accent',
                'mark', 'screen', 'screen-ink'];
              return Object.fromEntries(names.map(name => {
                probe.style.color = `var(--${name})`;
                return [name, getComputedStyle(probe).color];
              }));
            }"""
        )
        texts = [("ink", "paper"), ("soft", "paper"), ("ink", "card"), ("accent-ink", "paper"), ("mark", "paper"),
                 ("on-accent", "accent"), ("screen-ink", "screen")]  # fmt: skip
        shapes = [
            ("accent", "track"),
            ("ink", "track"),
            ("edge", "paper"),
            ("edge", "card"),
            ("accent", "paper"),
        ]
        found = {pair: round(contrast(colours[pair[0]], colours[pair[1]]), 2) for pair in texts + shapes}
        assert {pair: ratio for pair, ratio in found.items() if ratio < (4.5 if pair in texts else 3.0)} == {}
        used = page.evaluate(
            "['.uss-probability', '.uss-spans'].map(one => getComputedStyle(document.querySelector(one)).fill)"
        )
        assert used == [colours["accent"], colours["ink"]]
        assert (
            page.evaluate("getComputedStyle(document.querySelector('.uss-strip')).backgroundColor")
            == colours["track"]
        )


def test_a_keyboard_alone_reaches_everything_and_is_seen(open_page: Open, output: Output) -> None:
    page = open_page(output.url(PAGE))
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, a, [role=slider]')].filter(one => "
        "!(one.getAttribute('aria-label') || one.textContent.trim() || one.labels?.length)).map(one => one.outerHTML)"
    )
    assert unnamed == []
    seen = set()
    for _ in range(200):
        page.keyboard.press("Tab")
        tag, name, outline = page.evaluate(
            "(one => [one.tagName, one.className, getComputedStyle(one).outlineStyle])(document.activeElement)"
        )
        if tag == "BODY":
            break
        assert outline != "none", name
        seen.add(name)
    assert tag == "BODY"
    assert {"uss-play", "uss-ruler", "uss-solo", "uss-mute", "uss-without", "uss-fader", "uss-branch"} <= seen
    page.focus(".uss-ruler")
    page.keyboard.press("ArrowRight")
    sees(page.locator(".uss-ruler")).to_have_attribute("aria-valuenow", "1")
    ask(page, "p.toggleLoop(true)")  # it plays on
    page.focus(".uss-play")
    page.keyboard.press("Space")  # of the button, once
    becomes(lambda: ask(page, "p.isPlaying"), True)
    page.locator(".uss-branch").first.click()
    sees(page.locator(".uss-branch").first).to_have_attribute("aria-expanded", "false")
    sees(page.locator(".uss-tree ul").first).to_be_hidden()


def test_who_wants_less_motion_gets_none(open_page: Open, output: Output) -> None:
    page = open_page(output.url(PAGE), reduced_motion="reduce")
    moving = (
        "[...document.querySelectorAll('*')]"
        ".filter(one => getComputedStyle(one).transitionDuration !== '0s').length"
    )
    assert page.evaluate(moving) == 0
    assert open_page(output.url(PAGE)).evaluate(moving) > 0


def test_what_is_not_beside_the_page_is_said_and_the_rest_plays(open_page: Open, tmp_path: Path) -> None:
    moved = make_output(tmp_path / "moved")
    (moved.root / NAME / "report.mp3").unlink()
    (dog,) = (moved.root / NAME).rglob("dog*.flac")
    dog.unlink()
    page = forgive(open_page(moved.url(PAGE)), "Failed to load resource")
    trouble = page.locator(".uss-trouble")
    sees(trouble).to_contain_text("Recording cannot be played: it is not beside this page")
    assert ask(page, "p.failed.has(0)") is True
    assert (
        ask(page, "[...p.audible().keys()].includes(0)") is False
    )  # the stems and the rest are the recording
    number = next(n for n in (1, 2, 3) if ask(page, f"p.data.lanes[{n}].name") == "Dog")
    page.keyboard.press(str(number))
    sees(trouble).to_contain_text("Dog cannot be played")


@pytest.mark.slow
def test_a_long_recording_is_heard_to_its_end(open_page: Open, tmp_path: Path) -> None:
    long = make_output(tmp_path, seconds=600)
    assert (long.root / PAGE).stat().st_size < 1_000_000
    page = open_page(long.url(PAGE))
    box = page.locator(".uss-large").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.95, box["y"] + 20)
    page.keyboard.press("Space")
    until(page, f"{PLAYER}.now > 570.3")
    assert ask(page, "p.engine.leader.element.currentTime") > 570
    assert ask(page, "p.engine.leader.element.error") is None


def test_elements_that_drift_are_brought_back(open_page: Open, output: Output) -> None:
    page = open_page(output.url(PAGE))
    found = page.evaluate("[0.5, -0.2, 0.1, 0.02, -0.02, 0.004].map(UssRayPlayer.correction)")
    assert [one["seek"] for one in found] == [True, True, False, False, False, False]
    assert [one["rate"] for one in found] == pytest.approx([1, 1, 0.96, 0.98, 1.02, 1])


def test_players_of_a_notebook_share_a_page(open_page: Open, tmp_path: Path) -> None:
    sound = np.random.default_rng(0).uniform(-0.3, 0.3, (1, 2 * RATE)).astype(np.float32)
    outputs = [player_html(sound, {"Dog": sound / 2}, residual=sound / 2, sample_rate=RATE) for _ in range(2)]
    (tmp_path / "notebook.html").write_text("<!doctype html><meta charset=utf-8>" + "".join(outputs))
    page = open_page((tmp_path / "notebook.html").as_uri())
    assert page.evaluate("[...UssRayPlayer.players].map(p => p.engine.name)") == ["decoded", "decoded"]
    pressed, second = page.locator(".uss-solo[aria-pressed=true]"), page.locator(".uss").nth(1)
    page.keyboard.press("1")  # a notebook's keys are its own
    second.focus()
    page.keyboard.press("1")
    sees(second.locator(".uss-say")).to_have_text("You hear: Dog")
    sees(pressed).to_have_count(1)  # the first key pressed none
    for place in (0, 1):
        page.evaluate(f"[...UssRayPlayer.players][{place}].toggleLoop(true)")  # it plays on
        page.locator(".uss-play").nth(place).click()
        until(page, f"[...UssRayPlayer.players][{place}].now > 0")
    assert page.evaluate("[...UssRayPlayer.players].map(p => p.isPlaying)") == [False, True]


def test_what_lies_under_the_pointer_is_read_out(open_page: Open, output: Output) -> None:
    page = open_page(output.url(PAGE))
    box = page.locator(".uss-large .uss-picture").bounding_box()
    read = page.locator(".uss-read")
    sees(read).to_be_hidden()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.99)
    sees(read).to_have_text(re.compile(rf"^0:0{SECONDS / 2:.2f} · \d+ Hz · (below )?−?\d+ dB$"))
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 1)
    sees(read).to_contain_text(" kHz · ")
    top = read.inner_text().split(" · ")[1]
    assert RATE / 2000 * 0.95 <= float(top.removesuffix(" kHz")) <= RATE / 2000
    strip = page.locator(".uss-strip").first.bounding_box()
    page.mouse.move(strip["x"] + 2, strip["y"] + 2)
    sees(read).to_contain_text(" · p ")
    page.mouse.move(1, 1)
    sees(read).to_be_hidden()


def test_a_page_behind_a_signed_address_says_what_that_is_good_for(open_page: Open, output: Output) -> None:
    page = open_page(output.url(PAGE) + "?X-Amz-Signature=ab12")
    sees(page.locator(".uss-mode")).to_contain_text(
        "opened by a signed address, which is good for the page alone"
    )
