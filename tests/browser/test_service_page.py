"""The page of a service in a real browser: what is heard is what the service keeps."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.browser.blocks import least_error
from tests.browser.looks import contrast
from tests.unit.service.answers import CAT, DOG, RATE, KnownAnswers, flac, stems_of
from tests.unit.service.conftest import Running, running, wait_until
from tests.unit.service.kept_job import NAMES, keep_job, sounds_of
from tests.unit.service.test_keeper import Noted
from uss_ray.service.keeper import Keeper, KeepingHere
from uss_ray.service.problems import Refusal
from uss_ray.service.settings import ServiceSettings

pytestmark = pytest.mark.browser

Open = Callable[..., Any]
TOKEN = "let me in"
SECONDS = 6
SOUND = (np.random.default_rng(7).integers(-9000, 9000, (2, SECONDS * RATE)) / 32768).astype(np.float32)
PLAYER = "[...UssRayPlayer.players].at(-1)"


class Moods(KnownAnswers):
    """Refuses first what it is told to refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals: list[Refusal] = []

    async def answer(self, work: Any) -> Any:
        if self.refusals:
            raise self.refusals.pop(0)
        return await super().answer(work)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    place = tmp_path_factory.mktemp("service")
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    (place / "tokens.yaml").write_text(f"tokens:\n  - {{sha256: {digest}, tenant: one}}\n")
    settings = ServiceSettings(tokens=str(place / "tokens.yaml"), store=str(place / "store"), decoders=1)
    keep_job(place / "store", "one")
    keeping = KeepingHere(Keeper.of(settings, Noted()))
    with running(settings, Moods(), keeping=keeping) as running_service:
        yield running_service


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "garden.flac"
    path.write_bytes(flac(SOUND))
    return path


@pytest.fixture
def page(open_page: Open, service: Running) -> Any:
    return let_in(open_page(service.url), TOKEN)


def let_in(page: Any, token: str) -> Any:
    page.wait_for_selector("#door:not([hidden])")
    page.fill("#token", token)
    page.click("#door button")
    page.troubles.clear()  # a browser tells of the first 401 itself
    return page


def until(page: Any, expression: str) -> None:
    """Wait without `eval`, which the policy of the page forbids."""
    wait_until(lambda: bool(page.evaluate(expression)))


def choose(page: Any, recording: Path) -> None:
    page.set_input_files("#file", recording)
    page.wait_for_selector("#tree li")


@pytest.fixture
def separated(page: Any, recording: Path) -> Any:
    """The page with a result of a dog and a cat that cancel each other, and the rest, which is all of the recording."""
    choose(page, recording)
    page.click("#all")
    page.wait_for_selector(".uss-tree")
    return page


def ask(page: Any, what: str) -> Any:
    return page.evaluate(f"(async () => {{ const p = {PLAYER}; return {what}; }})()")


def test_a_recording_goes_in_and_its_sounds_are_ticked_separated_and_saved(
    page: Any, service: Running, recording: Path, tmp_path: Path
) -> None:
    choose(page, recording)
    items = page.locator("#tree [role=treeitem]")
    assert [item.get_attribute("data-node") for item in items.all()] == ["/m/0jbk", DOG]
    assert page.inner_text("#state") == "garden.flac: 6.0 s, 2 sounds found."
    assert page.is_disabled("#ticked")
    items.nth(1).locator(".node").click()
    assert [item.get_attribute("aria-checked") for item in items.all()] == ["mixed", "true"]
    page.click("#ticked")
    page.wait_for_selector(".uss-tree")
    asked = service.backend.asked[-1].sounds
    assert asked.query.classes == (DOG,)
    assert asked.write.residual
    assert page.evaluate(f"location.hash.length === 41 && {PLAYER}.engine.name") == "windows"
    until(page, "[...document.querySelectorAll('#player-place img')].every(one => one.naturalWidth > 0)")

    saved = {}
    page.keyboard.press("1")
    for name, button in (("all", "#zip"), ("mix", "#mix"), ("one", ".uss-tree a >> nth=0")):
        if name == "one":
            page.locator(".uss-tree summary").first.click()
        with page.expect_download() as download:
            page.click(button)
        saved[name] = (download.value.suggested_filename, Path(download.value.path()).read_bytes())
    assert saved["all"][0] == "sounds.zip"
    assert saved["all"][1].startswith(b"PK")
    assert saved["one"] == ("dog.flac", flac(stems_of(SOUND)["query/dog.flac"]))
    mix, rate = soundfile.read(io.BytesIO(saved["mix"][1]), dtype="float32")
    assert (rate, saved["mix"][0]) == (RATE, "mix.wav")
    assert np.abs(mix.T - stems_of(SOUND)["query/dog.flac"]).max() < 2 / 32767

    page.reload()  # the address has the result
    page.wait_for_selector(".uss-tree")
    page.click("#forget")
    page.wait_for_selector("#result", state="hidden")
    assert page.evaluate("location.hash") == ""


def captured(page: Any, at: float) -> np.ndarray:
    """Take 1024 samples of what is heard after `at` seconds, while no window was late for some blocks."""
    return np.array(
        page.evaluate(
            """async at => {
              const player = [...UssRayPlayer.players].at(-1), { engine } = player;
              player.pause();
              await player.seek(at);
              await player.play();
              const { context, output } = engine;
              const tap = context.createScriptProcessor(1024, 2, 2), origins = [];
              output.connect(tap);
              tap.connect(context.destination);
              const block = await new Promise(resolve => {
                tap.onaudioprocess = ({ inputBuffer, playbackTime }) => {
                  if (!player.isPlaying) {
                    player.seek(at);
                    player.play();
                  }
                  const now = context.currentTime - engine.origin;
                  // A call that comes late tells of sound before the origin that it sees.
                  const isLate = playbackTime < context.currentTime;
                  const isInTime = !isLate && now > at + 3 * 1024 / context.sampleRate && now < engine.until;
                  origins.push(isInTime ? engine.origin : NaN);
                  const last = origins.slice(-5);
                  if (last.length === 5 && last.every(one => one === last[0])) {
                    resolve([0, 1].map(channel => [...inputBuffer.getChannelData(channel)]));
                  }
                };
              });
              tap.onaudioprocess = null;
              output.disconnect(tap);
              player.pause();
              return block;
            }""",
            at,
        )
    )


def is_heard(page: Any, at: float, expected: np.ndarray, *, steps: float) -> bool:
    """Tell whether what is heard after `at` seconds is a piece of a sound, to some steps of 16 bits."""
    limit = steps / 32767
    return least_error(lambda: captured(page, at), expected, below=limit) < limit


def test_stems_that_cancel_are_silence_while_they_play_and_after_a_seek(separated: Any) -> None:
    page, dog = separated, stems_of(SOUND)["query/dog.flac"]
    page.keyboard.press("1")
    assert page.inner_text(".uss-say") == "You hear: Dog"
    assert is_heard(page, 3.1, dog, steps=2)
    page.keyboard.press("2")
    assert page.inner_text(".uss-say") == "You hear: Dog, Cat"
    for at in (0.1, 2.7):
        assert is_heard(page, at, np.zeros_like(dog), steps=1e-9)
    page.keyboard.press("0")
    assert is_heard(page, 1.0, SOUND, steps=4)
    page.keyboard.press("Shift+Digit3")
    assert page.inner_text(".uss-say") == "You hear: the recording, without Rest"
    assert is_heard(page, 1.0, np.zeros_like(dog), steps=1e-9)


def test_it_plays_to_the_end_in_a_loop_and_not_what_is_gone(separated: Any) -> None:
    page = separated
    ask(page, "p.seek(5.2)")
    page.keyboard.press("Space")
    until(page, f"!{PLAYER}.isPlaying && {PLAYER}.now > {SECONDS} - 0.1")
    ask(page, "(p.setLoop(1, 1.4), p.toggleLoop(true), p.seek(1.3), p.play())")
    until(page, f"{PLAYER}.engine.at === 1")  # it went back
    assert ask(page, "p.isPlaying")
    page.keyboard.press("Space")
    assert not ask(page, "p.isPlaying")

    page.route("**/window?*", lambda route: route.fulfill(status=404, body="{}"))
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    gone = "cannot be played: The service answered 404."
    until(page, f"document.querySelector('#result .uss-trouble').textContent.endsWith('{gone}')")
    assert not ask(page, "p.isPlaying")
    page.troubles.clear()


def test_a_recording_of_a_job_is_found_opened_and_heard(page: Any) -> None:
    page.click("#jobs > summary")
    page.click("#job-list button")
    page.wait_for_selector("#recordings li")
    assert sorted(page.locator("#recordings li").all_inner_texts()) == [
        f"{name} · Dog 0.75 · Cat 0.75" for name in sorted(NAMES)
    ]
    page.fill("#sound", "Kat")
    page.press("#sound", "Enter")
    until(page, "document.getElementById('trouble').textContent.includes('Kat')")
    page.troubles.clear()  # a browser tells of the 422 itself
    page.fill("#sound", "Cat")
    page.click("#filter button")
    until(page, "document.querySelector('#recordings li').innerText.endsWith('wav · Cat 0.75')")
    page.locator("#recordings button", has_text=NAMES[0]).click()
    page.wait_for_selector(".uss-tree")
    assert page.inner_text("#result-title") == NAMES[0]
    assert page.is_hidden("#forget")
    page.keyboard.press("1")
    assert page.inner_text(".uss-say") == "You hear: Dog"
    assert is_heard(page, 1.0, sounds_of()["/m/0bt9lr"], steps=3)
    page.keyboard.press("0")
    assert is_heard(page, 1.0, sounds_of()["mixture"], steps=4)


def test_the_tree_is_walked_and_ticked_by_keys(page: Any, recording: Path) -> None:
    choose(page, recording)
    page.focus("#tree [tabindex='0']")

    def focused() -> Any:
        return page.evaluate("document.activeElement.dataset.node")

    for key, node in (
        ("ArrowDown", DOG),
        ("ArrowDown", DOG),
        ("ArrowLeft", "/m/0jbk"),
        ("ArrowRight", DOG),
        ("Home", "/m/0jbk"),
        ("End", DOG),
    ):
        page.keyboard.press(key)
        assert focused() == node, key
    page.keyboard.press("Space")
    assert page.evaluate("document.activeElement.getAttribute('aria-checked')") == "true"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")  # folds
    assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "false"
    assert page.locator(f"[data-node='{DOG}']").is_hidden()
    page.keyboard.press("ArrowDown")
    assert focused() == "/m/0jbk"
    assert page.locator("#tree [tabindex='0']").count() == 1


def test_more_of_a_stretch_is_asked_for_by_example(page: Any, service: Running, recording: Path) -> None:
    choose(page, recording)
    assert page.is_disabled("#more")
    box = page.locator("#view").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 30, steps=3)
    page.mouse.up()
    assert [float(page.input_value(f"#{name}")) for name in ("from", "to")] == pytest.approx(
        [1.5, 3.0], abs=0.11
    )
    page.fill("#from", "2")
    page.fill("#to", "3")
    page.click("#more")
    page.wait_for_selector(".uss-tree")
    (example,) = service.backend.asked[-1].examples
    heard, rate = soundfile.read(io.BytesIO(example))
    assert len(heard) / rate == pytest.approx(1.0, abs=0.01)
    assert heard.std() > 0.05


def test_what_a_microphone_hears_is_a_recording(page: Any, service: Running) -> None:
    page.click("#record")
    page.wait_for_selector("#record[aria-pressed=true]")
    time.sleep(1.2)  # the microphone of the browser beeps once a second
    page.click("#record")
    page.wait_for_selector("#tree li")
    heard = service.backend.asked[-1]
    assert heard.seconds > 0.5
    assert np.abs(heard.samples).max() > 0.05


def test_a_busy_service_is_waited_for_and_a_refusal_is_said(
    page: Any, service: Running, recording: Path
) -> None:
    full = Refusal("queue", expected="room", found="none", status=503, retry_after=1)
    service.backend.refusals = [full, Refusal("recording", expected="a sound", found="a poem", status=422)]
    page.set_input_files("#file", recording)
    until(page, "document.getElementById('trouble').textContent !== ''")
    assert page.inner_text("#trouble") == "recording: expected a sound, found a poem"
    assert service.backend.refusals == []
    page.troubles.clear()
    choose(page, recording)
    assert page.inner_text("#trouble") == ""


def test_names_of_strangers_are_texts_and_no_policy_is_broken(
    open_page: Open, service: Running, recording: Path
) -> None:
    page = let_in(open_page(service.url), TOKEN)
    page.evaluate(
        "addEventListener('securitypolicyviolation', one => (globalThis.broken ??= []).push(one.violatedDirective))"
    )
    evil = "<img src=x onerror=globalThis.evil=1>"
    node = {
        "node_id": DOG,
        "label": evil,
        "level": 3,
        "probability": 0.5,
        "active_spans": [],
        "segments": None,
    }
    told = {"seconds": 6.0, "segment_seconds": 2, "nodes": [node]}
    page.route("**/v1/tag", lambda route: route.fulfill(status=200, body=json.dumps(told)))
    page.set_input_files("#file", recording)
    page.wait_for_selector("#tree li")
    assert evil in page.inner_text("#tree")
    page.click("#all")
    page.wait_for_selector(".uss-tree")
    assert page.evaluate("[globalThis.evil, globalThis.broken]") == [None, None]


def test_it_works_offline_from_the_rest_of_the_world_and_asks_one_host_only(
    open_page: Open, service: Running, recording: Path
) -> None:
    asked: list[str] = []
    page = open_page("about:blank")
    page.on("request", lambda request: asked.append(request.url))
    page.goto(service.url)
    let_in(page, TOKEN)
    choose(page, recording)
    page.click("#all")
    page.wait_for_selector(".uss-tree")
    elsewhere = [url for url in asked if not url.startswith((service.url, "blob:", "data:"))]
    assert elsewhere == []


def test_it_fits_a_phone_by_day_and_by_night_and_can_be_read(
    open_page: Open, service: Running, recording: Path
) -> None:
    for scheme in ("light", "dark"):
        page = let_in(open_page(service.url, width=320, color_scheme=scheme, reduced_motion="reduce"), TOKEN)
        choose(page, recording)
        page.locator(".node").first.click()
        page.click("#ticked")
        page.wait_for_selector(".uss-tree")
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
        dim = page.evaluate(
            """() => [...document.querySelectorAll('p, h1, h2, label, button, .node span, .node b')]
              .filter(one => one.offsetParent && !one.disabled).map(one => {
                let below = one;
                while (getComputedStyle(below).backgroundColor === 'rgba(0, 0, 0, 0)') below = below.parentElement;
                return [one.textContent.trim(), getComputedStyle(one).color, getComputedStyle(below).backgroundColor];
              })"""
        )
        assert [text for text, ink, paper in dim if text and contrast(ink, paper) < 4.5] == []
        assert len(dim) > 30
        unnamed = page.evaluate(
            "[...document.querySelectorAll('button, input, a, [role=slider], [role=treeitem], canvas, audio')].filter("
            "one => !(one.getAttribute('aria-label') || one.textContent.trim() || one.labels?.length "
            "|| one.id === 'original')).map(one => one.outerHTML)"
        )
        assert unnamed == []
        moving = "[...document.querySelectorAll('*')].filter(one => getComputedStyle(one).transitionDuration !== '0s')"
        assert page.evaluate(f"{moving}.length") == 0


def test_axe_finds_nothing_wrong_and_a_keyboard_reaches_everything(separated: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = separated
    page.locator(".node").first.click()
    page.locator(".uss-tree summary").first.click()
    page.click("#jobs > summary")
    page.click("#job-list button")
    page.wait_for_selector("#recordings li")
    found = Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []

    page.focus("#file")
    seen = {"file"}
    for _ in range(60):
        page.keyboard.press("Tab")
        told = page.evaluate(
            """(one => [one.id || one.className || one.tagName, [one, ...one.children, one.nextElementSibling]
              .some(near => near && getComputedStyle(near).outlineStyle !== 'none')])(document.activeElement)"""
        )
        if told[0] in ("uss", "BODY") and seen:
            break
        assert told[1] or told[0] == "original", told  # whose buttons are the browser's own
        seen.add(told[0])
    assert {
        "file",
        "record",
        "sound",
        "from",
        "to",
        "all",
        "uss-play",
        "uss-solo",
        "uss-mute",
        "zip",
        "mix",
        "forget",
    } <= seen


def test_a_service_that_keeps_nothing_gives_the_stems_away(open_page: Open, recording: Path) -> None:
    with running(ServiceSettings(no_auth=True, decoders=1), KnownAnswers()) as forgetful:
        page = open_page(forgetful.url)
        choose(page, recording)
        with page.expect_download() as download:
            page.click("#all")
        assert Path(download.value.path()).read_bytes().startswith(b"PK")
        until(page, "document.getElementById('state').textContent.includes('keeps nothing')")
        assert page.is_hidden("#result")


def test_nobody_gets_in_without_a_token(open_page: Open, service: Running) -> None:
    page = let_in(open_page(service.url), "wrong")
    until(page, "document.getElementById('trouble').textContent.includes('token')")
    let_in(page, TOKEN)
    until(page, "document.getElementById('about').textContent.includes('known')")
    assert page.evaluate("sessionStorage.getItem('uss-token')") == TOKEN
    assert CAT not in page.content()
    page.troubles.clear()
