"""The page of a service in a real browser: what is heard is what the service keeps."""

from __future__ import annotations

import hashlib
import io
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.browser.blocks import is_heard
from tests.browser.looks import contrast
from tests.browser.seen import becomes, forgive, hears, holding, sees, until
from tests.unit.service.answers import CAT, DOG, RATE, KnownAnswers, flac, stems_of
from tests.unit.service.conftest import Running, running
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
    forgive(page, "status of 401")  # a browser tells of the first one itself
    sees(page.locator("#door")).to_be_visible()
    page.fill("#token", token)
    page.click("#door button")
    return page


def choose(page: Any, recording: Path) -> None:
    page.set_input_files("#file", recording)
    sees(page.locator("#state")).to_contain_text(f"{recording.name}: ")
    sees(page.locator("#tree li").first).to_be_visible()


def opened(page: Any) -> Any:
    """Wait for a result."""
    sees(page.locator(".uss-tree")).to_be_visible()
    return page


def open_jobs(page: Any) -> None:
    """Open the recordings of the job."""
    page.click("#jobs > summary")
    page.click("#job-list button")
    sees(page.locator("#recordings li")).to_have_count(len(NAMES))


@pytest.fixture
def separated(page: Any, recording: Path) -> Any:
    """The page with a result of a dog and a cat that cancel each other, and the rest, which is all of the recording."""
    choose(page, recording)
    page.click("#all")
    return opened(page)


def ask(page: Any, what: str) -> Any:
    return page.evaluate(f"(async () => {{ const p = {PLAYER}; return {what}; }})()")


def test_a_recording_goes_in_and_its_sounds_are_ticked_separated_and_saved(
    page: Any, service: Running, recording: Path, tmp_path: Path
) -> None:
    choose(page, recording)
    items = page.locator("#tree [role=treeitem]")
    sees(page.locator("#state")).to_have_text("garden.flac: 6.0 s, 2 sounds found.")
    assert [item.get_attribute("data-node") for item in items.all()] == ["/m/0jbk", DOG]
    bars = items.nth(1).locator(".uss-probability")
    sees(bars).to_have_attribute("d", "M0.0 12v-6.0H333.3V12zM333.3 12v-1.2H666.7V12z")  # 2 s of 6 each
    until(page, "document.getElementById('picture').naturalWidth > 0")
    sees(page.locator("#ticked")).to_be_disabled()
    items.nth(1).locator(".node").click()
    becomes(lambda: [item.get_attribute("aria-checked") for item in items.all()], ["mixed", "true"])
    page.click("#ticked")
    opened(page)
    asked = service.backend.asked[-1].sounds
    assert asked.query.classes == (DOG,)
    assert asked.write.residual
    assert page.evaluate(f"location.hash.length === 41 && {PLAYER}.engine.name") == "windows"
    sees(page.locator("#state")).to_have_text("garden.flac: separated.")
    sees(page.locator("#result-title")).to_have_text("Sounds of garden.flac")
    sees(page.locator("#unheard-place li")).to_have_text("Animal 0.75")
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
    opened(page)
    page.click("#forget")
    sees(page.locator("#result")).to_be_hidden()
    assert page.evaluate("location.hash") == ""


STEP = 1 / 32767
"""Of 16 bits."""


def test_stems_that_cancel_are_silence_while_they_play_and_after_a_seek(separated: Any) -> None:
    page, dog = separated, stems_of(SOUND)["query/dog.flac"]
    page.keyboard.press("1")
    hears(page, "Dog")
    assert is_heard(page, 3.1, dog, within=2 * STEP)
    page.keyboard.press("2")
    hears(page, "Dog, Cat")
    for at in (0.1, 2.7):
        assert is_heard(page, at, np.zeros_like(dog), within=1e-9 * STEP)
    page.keyboard.press("0")
    assert is_heard(page, 1.0, SOUND, within=4 * STEP)
    page.keyboard.press("Shift+Digit3")
    hears(page, "the recording, without Rest")
    assert is_heard(page, 1.0, np.zeros_like(dog), within=1e-9 * STEP)


def test_it_plays_to_the_end_in_a_loop_and_not_what_is_gone(separated: Any) -> None:
    page = separated
    ask(page, "p.seek(5.2)")
    page.keyboard.press("Space")
    until(page, f"!{PLAYER}.isPlaying && {PLAYER}.now > {SECONDS} - 0.1")
    ask(page, "(p.setLoop(1, 1.4), p.toggleLoop(true), p.seek(1.3), p.play())")
    until(page, f"{PLAYER}.engine.at === 1")  # it went back
    assert ask(page, "p.isPlaying")
    page.keyboard.press("Space")
    becomes(lambda: ask(page, "p.isPlaying"), False)

    ask(page, "p.toggleLoop(false)")
    held = holding(page, "**/window?*")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    sees(page.locator(".uss-say")).to_have_text("Reading: the recording")
    first = held()
    page.route("**/window?*", lambda route: route.fulfill(status=404, body="{}"))
    forgive(page, "status of 404")
    first.fulfill(status=404, body="{}")
    trouble = page.locator("#result .uss-bar .uss-trouble")
    sees(trouble).to_have_text("Dog, Cat, Rest cannot be played: The service answered 404.")
    becomes(lambda: ask(page, "p.isPlaying"), False)
    page.unroute("**/window?*")
    page.click(".uss-again")
    becomes(lambda: ask(page, "p.isPlaying && p.failed.size === 0"), True)
    sees(trouble).to_have_text("")
    page.keyboard.press("Space")

    forgive(page, "ERR_FAILED")
    page.route("**/window?*", lambda route: route.abort())
    ask(page, "(p.engine.cache.clear(), p.play().then())")
    sees(trouble).to_have_text("Dog, Cat, Rest cannot be played: The service cannot be reached.")
    page.unroute("**/window?*")
    becomes(lambda: ask(page, "p.failed.size"), 0)  # by itself
    sees(page.locator(".uss-again")).to_be_hidden()


def test_a_recording_of_a_job_is_found_opened_and_heard(page: Any) -> None:
    rows = page.locator("#recordings li")
    open_jobs(page)
    assert sorted(rows.all_inner_texts()) == [f"{name} · Dog 0.75 · Cat 0.75" for name in sorted(NAMES)]
    sees(page.locator("#recordings-say")).to_have_text("")
    forgive(page, "status of 422")
    page.fill("#sound", "Kat")
    page.press("#sound", "Enter")
    sees(page.locator("#trouble")).to_contain_text("Kat")
    sees(rows).to_have_count(0)
    page.fill("#sound", "Cat")
    page.click("#filter button")
    sees(rows.first).to_have_text(re.compile("wav · Cat 0.75$"))
    page.locator("#recordings button", has_text=NAMES[0]).click()
    opened(page)
    sees(page.locator("#result-title")).to_have_text(NAMES[0])
    sees(page.locator("#forget")).to_be_hidden()
    page.keyboard.press("1")
    hears(page, "Dog")
    assert is_heard(page, 1.0, sounds_of()["/m/0bt9lr"], within=3 * STEP)
    page.keyboard.press("0")
    assert is_heard(page, 1.0, sounds_of()["mixture"], within=4 * STEP)

    made = page.evaluate(  # 90 stems of a rate that no browser plays
        """async () => {
          const { Windows } = await import('/assets/windows.js'), asked = [];
          const lane = (_, n) => ({ groups: [], files: [{ url: `x/stems/${n}`, start: 0 }] });
          const lanes = Array.from({ length: 90 }, lane);
          const load = async ({ stems }) => {
            asked.push(stems.length);
            return new Int16Array(2 * stems.length).fill(32767).buffer;
          };
          const engine = new Windows({ sampleRate: 500, channels: 1, seconds: 1, lanes }, () => {}, { load });
          engine.prepare();
          const sounds = await engine.fetchWindow(lanes.map((_, n) => n), 0, 2);
          return [asked, sounds.map(({ lane, buffer }) => [lane, buffer.sampleRate, ...buffer.getChannelData(0)])];
        }"""
    )
    assert made == [[40, 40, 10], [[lane, 8000, *[1] * 32] for lane in range(90)]]


def test_why_a_job_failed_and_what_may_be_missing_is_told(page: Any) -> None:
    def changed(**facts: Any) -> Callable[[Any], None]:
        def answer(route: Any) -> None:
            made = route.fetch()
            said = made.json()
            for job in said.get("jobs", [said]):
                job |= facts
            route.fulfill(response=made, json=said)

        return answer

    page.route("**/v1/jobs?*", changed(status="failed", reason="input: expected recordings, found none"))
    page.route("**/recordings?*", changed(is_whole=False))
    open_jobs(page)
    told = "failed: input: expected recordings, found none, 2 of 2 recordings"
    sees(page.locator("#job-list")).to_contain_text(told)
    sees(page.locator("#recordings-say")).to_have_text("Some may be missing: the job went on.")
    page.route("**/recordings?*", changed(is_whole=False, recordings=[]))
    page.click("#filter button")
    sees(page.locator("#recordings-say")).to_have_text(
        "Nothing was heard. Some may be missing: the job went on."
    )


def test_what_was_asked_for_last_is_shown_whatever_comes_later(
    page: Any, tmp_path: Path, recording: Path
) -> None:
    other = tmp_path / "attic.flac"
    other.write_bytes(recording.read_bytes())
    tags = holding(page, "**/v1/tag?*")
    page.set_input_files("#file", other)
    tags()
    with page.expect_event("requestfailed"):  # nobody waits for it any more
        choose(page, recording)
    sees(page.locator("#state")).to_have_text("garden.flac: 6.0 s, 2 sounds found.")
    sees(page.locator("#sending")).to_be_hidden()

    rows, told = page.locator("#recordings li"), page.locator("#recordings-say")
    open_jobs(page)
    dogs = holding(page, "**/recordings?class=Dog*")
    page.fill("#sound", "Dog")
    page.click("#filter button")
    sees(rows).to_have_count(0)  # those of any sound are not those of a dog
    sees(told).to_have_text("Reading …")
    sees(page.locator("#recordings")).to_have_attribute("aria-busy", "true")
    page.fill("#sound", "Cat")
    page.click("#filter button")
    sees(rows).to_have_count(len(NAMES))
    of_dogs = dogs()
    with page.expect_response("**/recordings?class=Dog*") as late:
        of_dogs.continue_()
    late.value.finished()
    separations = holding(page, "**/v1/separate?*")
    page.click("#all")
    separation = separations()
    page.locator("#recordings button", has_text=NAMES[0]).click()
    sees(page.locator("#result-title")).to_have_text(NAMES[0])
    assert [text.split(" · ")[1] for text in rows.all_inner_texts()] == ["Cat 0.75"] * len(NAMES)
    separation.continue_()
    ready = page.get_by_role(
        "button", name="Open garden.flac"
    )  # it does not push aside what was opened meanwhile
    sees(ready).to_be_visible()
    sees(page.locator("#result-title")).to_have_text(NAMES[0])
    ready.click()
    sees(page.locator("#result-title")).to_have_text("Sounds of garden.flac")
    sees(ready).to_have_count(0)


def test_a_service_that_is_slow_to_tell_of_itself_mixes_no_recordings_up(
    open_page: Open, service: Running, tmp_path: Path, recording: Path
) -> None:
    """What is asked for each of two recordings comes back in any order."""
    page, told = open_page(service.url), []
    sees(page.locator("#door")).to_be_visible()
    page.route("**/v1/info", lambda route: told.append(route))
    let_in(page, TOKEN)
    shorter = tmp_path / "attic.flac"
    shorter.write_bytes(flac(SOUND[:, : 2 * RATE]))
    becomes(lambda: page.evaluate("1") and len(told), 1)
    for number, each in enumerate((shorter, recording), 2):
        page.set_input_files("#file", each)
        becomes(lambda: page.evaluate("1") and len(told), number)
    *earlier, last = told
    last.continue_()
    is_heard_whole = f"Math.round(document.querySelector('#original').duration) === {SECONDS}"
    until(page, is_heard_whole)
    for route in earlier:
        with page.expect_response("**/v1/info") as late:
            route.continue_()
        late.value.finished()
    sees(page.locator("#state")).to_have_text("garden.flac: 6.0 s, 2 sounds found.")
    until(page, is_heard_whole)


def test_the_tree_is_walked_and_ticked_by_keys(page: Any, recording: Path) -> None:
    choose(page, recording)
    page.focus("#tree [tabindex='0']")

    def focused() -> Any:
        return page.evaluate("document.activeElement.dataset.node")

    active = page.locator("#tree [role=treeitem]:focus")
    for key, node in (
        ("ArrowDown", DOG),
        ("ArrowDown", DOG),
        ("ArrowLeft", "/m/0jbk"),
        ("ArrowRight", DOG),
        ("Home", "/m/0jbk"),
        ("End", DOG),
    ):
        page.keyboard.press(key)
        becomes(focused, node)
    page.keyboard.press("Space")
    sees(active).to_have_attribute("aria-checked", "true")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")  # folds
    sees(active).to_have_attribute("aria-expanded", "false")
    sees(page.locator(f"[data-node='{DOG}']")).to_be_hidden()
    page.keyboard.press("ArrowDown")
    becomes(focused, "/m/0jbk")
    sees(page.locator("#tree [tabindex='0']")).to_have_count(1)


def test_more_of_a_stretch_is_asked_for_by_example(page: Any, service: Running, recording: Path) -> None:
    choose(page, recording)
    sees(page.locator("#more")).to_be_disabled()
    sees(page.locator("#view")).to_be_visible()
    box = page.locator("#view").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 30, steps=3)
    page.mouse.up()
    marked = pytest.approx([1.5, 3.0], abs=0.11)
    becomes(lambda: [float(page.input_value(f"#{name}")) for name in ("from", "to")], marked)
    page.fill("#from", "2")
    page.fill("#to", "3")
    page.click("#more")
    opened(page)
    (example,) = service.backend.asked[-1].examples
    heard, rate = soundfile.read(io.BytesIO(example))
    assert len(heard) / rate == pytest.approx(1.0, abs=0.01)
    assert heard.std() > 0.05


def test_what_a_microphone_hears_is_a_recording(page: Any, service: Running) -> None:
    record = page.locator("#record")
    record.click()
    sees(record).to_have_attribute("aria-pressed", "true")
    time.sleep(1.2)  # the microphone of the browser beeps once a second
    record.click()
    sees(page.locator("#tree li").first).to_be_visible()
    heard = service.backend.asked[-1]
    assert heard.seconds > 0.5
    assert np.abs(heard.samples).max() > 0.05


def test_a_busy_service_is_waited_for_and_a_refusal_is_said(
    page: Any, service: Running, recording: Path
) -> None:
    full = Refusal("queue", expected="room", found="none", status=503, retry_after=1)
    service.backend.refusals = [full, Refusal("recording", expected="a sound", found="a poem", status=422)]
    forgive(page, "status of 503", "status of 422")
    page.set_input_files("#file", recording)
    sees(page.locator("#trouble")).to_have_text("garden.flac: expected a sound, found a poem")
    sees(page.locator("#again")).to_be_hidden()  # it would be refused again
    assert service.backend.refusals == []
    forgive(page, "ERR_FAILED")
    page.route("**/v1/tag?*", lambda route: route.abort(), times=1)
    page.set_input_files("#file", recording)
    sees(page.locator("#trouble")).to_have_text("The service cannot be reached.")
    page.click("#again")
    sees(page.locator("#tree li").first).to_be_visible()
    sees(page.locator("#trouble")).to_have_text("")


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
        "active_seconds": 0.0,
    }
    told = {"seconds": 6.0, "segment_seconds": 2, "nodes": [node], "spectrogram": "data:,"}
    page.route("**/v1/tag?*", lambda route: route.fulfill(status=200, body=json.dumps(told)))
    page.set_input_files("#file", recording)
    sees(page.locator("#tree li")).to_contain_text(evil)
    page.click("#all")
    opened(page)
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
    opened(page)
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
        opened(page)
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
    open_jobs(page)
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
        sees(page.locator("#state")).to_contain_text("keeps nothing")
        sees(page.locator("#result")).to_be_hidden()


def test_nobody_gets_in_without_a_token(open_page: Open, service: Running) -> None:
    page = let_in(open_page(service.url), "wrong")
    sees(page.locator("#trouble")).to_contain_text("token")
    let_in(page, TOKEN)
    sees(page.locator("#about")).to_contain_text("known")
    assert page.evaluate("sessionStorage.getItem('uss-token')") == TOKEN
    assert CAT not in page.content()
