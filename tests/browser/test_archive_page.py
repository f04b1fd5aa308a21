"""The page of an output in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import NAME, Output
from tests.browser.seen import becomes, forgive, holding, sees, until
from uss_ray.results.corrections import read_corrections

pytestmark = pytest.mark.browser

Open = Callable[..., Any]


def names(page: Any) -> list[str]:
    return [str(one) for one in page.locator("#rows .where").all_inner_texts()]


def sounds(page: Any) -> list[str]:
    return [one.split("\n")[0] for one in page.locator("#sounds button").all_inner_texts()]


def at_dogs(page: Any) -> Any:
    """Wait for the sound that most recordings have."""
    sees(page.locator("#title")).to_have_text("Dog")
    sees(page.locator("#rows li").first).to_be_visible()
    return page


@pytest.fixture
def dogs(open_page: Open, output: Output) -> Any:
    """The page opened as a file, at the sound that most recordings have."""
    return at_dogs(open_page(output.url("index.html"), accept_downloads=True))


@pytest.fixture
def served_dogs(open_page: Open, served: str) -> Any:
    """The same from a web server, whose answers a test may hold back."""
    return at_dogs(open_page(f"{served}/index.html"))


def test_sounds_are_found_by_name_and_rows_sorted_and_filtered(dogs: Any) -> None:
    rows, count = dogs.locator("#rows li"), dogs.locator("#count")
    sees(rows).to_have_count(100)
    becomes(lambda: names(dogs)[0], "tape 199.wav")
    sees(count).to_contain_text("121 of 151 findings")
    dogs.click("#more")
    sees(rows).to_have_count(121)
    sees(dogs.locator("#more")).to_be_hidden()
    dogs.select_option("#order", "least")
    becomes(lambda: names(dogs)[0], "tape 51.wav")
    dogs.select_option("#sureness", "doubtful")
    becomes(lambda: names(dogs), [f"tape {n}.wav" for n in (51, 52, 53, 54, 56, 57, 58, 59)])
    sees(rows.first).to_contain_text("0.20?")
    dogs.select_option("#sureness", "all")
    dogs.uncheck("[name=status][value='0']")
    dogs.uncheck("[name=status][value='1']")
    dogs.check("[name=status][value='3']")
    sees(rows).to_have_count(30)
    becomes(lambda: names(dogs)[0], "tape 50.wav")
    dogs.fill("#in", "tape 19")
    becomes(lambda: names(dogs), ["tape 190.wav", "tape 195.wav"])
    dogs.fill("#search", "cat")
    becomes(lambda: sounds(dogs), ["Cat"])
    dogs.fill("#search", "nothing like it")
    sees(dogs.locator("#sounds-note")).to_have_text("No sound of this archive is called so.")


def test_a_row_leads_to_its_page_and_plays_at_its_event(dogs: Any) -> None:
    dogs.fill("#in", NAME)
    sees(dogs.locator("#rows li")).to_have_count(1)
    dogs.locator(".event").first.click()
    sees(dogs.locator("#stop")).to_have_attribute("aria-label", "Pause")
    sees(dogs.locator("#playing")).to_contain_text(f"Dog in {NAME}, 0:00.0–0:03.0")
    dogs.locator("#rows .where").click()
    sees(dogs.locator(".uss-tree")).to_be_visible()
    dogs.click("text=All recordings")
    at_dogs(dogs)


def test_what_is_not_there_is_said(dogs: Any) -> None:
    forgive(dogs, "Failed to load resource")
    dogs.fill("#in", "tape 199.wav")
    sees(dogs.locator("#rows li")).to_have_count(1)
    dogs.locator(".event").first.click()
    sees(dogs.locator("#playing")).to_contain_text("cannot be played")
    sees(dogs.locator("#waits")).to_be_hidden()
    sees(dogs.locator("#stop")).to_have_attribute("aria-label", "Play")


def test_recordings_are_listed_the_failed_first(dogs: Any) -> None:
    dogs.click("#recordings")
    sees(dogs.locator("#title")).to_have_text("Recordings")
    sees(dogs.locator("#count")).to_contain_text("152 of 152 recordings, 1 of them failed")
    becomes(
        lambda: dogs.locator("#rows li").first.inner_text().split(), ["broken.wav", "failed:", "cut", "off"]
    )
    dogs.fill("#search", "field")
    becomes(lambda: names(dogs), [NAME])


def test_rows_are_always_of_the_title_and_a_late_answer_changes_nothing(served_dogs: Any) -> None:
    page = served_dogs
    title, count, rows = (page.locator(one) for one in ("#title", "#count", "#rows"))
    held = holding(page, "**/recordings.js")
    page.click("#recordings")
    sees(title).to_have_text("Recordings")
    sees(count).to_have_text("Reading …")
    sees(rows).to_have_attribute("aria-busy", "true")
    sees(rows.locator("li")).to_have_count(0)
    late = held()

    page.click("#sounds button:has-text('Cat')")
    sees(title).to_have_text("Cat")
    sees(title).to_be_focused()
    sees(rows).to_have_attribute("aria-busy", "false")
    becomes(lambda: names(page), [NAME])
    script = "document.querySelector('script[src$=\"recordings.js\"]')"
    page.evaluate(f"{script}.addEventListener('load', () => {{ globalThis.late = true; }})")
    late.continue_()
    until(page, "globalThis.late === true")
    assert (title.inner_text(), names(page)) == ("Cat", [NAME])

    page.click("#recordings")  # which has come by now
    sees(count).to_contain_text("152 of 152 recordings")


def test_rows_that_did_not_come_are_asked_for_again(served_dogs: Any) -> None:
    page = forgive(served_dogs, "Failed to load resource")
    page.route("**/recordings.js", lambda route: route.abort())
    page.click("#recordings")
    sees(page.locator("#count")).to_contain_text("copy that folder")
    sees(page.locator("#rows")).to_have_attribute("aria-busy", "false")
    page.unroute("**/recordings.js")
    page.click("#recordings")
    sees(page.locator("#count")).to_contain_text("152 of 152 recordings")


def test_what_is_said_in_two_windows_is_kept_of_both(served_dogs: Any) -> None:
    page = served_dogs
    other = page.context.new_page()
    other.goto(page.url)
    at_dogs(other)
    page.locator(".verdict.right").first.click()
    sees(other.locator("#said")).to_have_text("1 right, 0 wrong")
    sees(other.locator(".verdict.right").first).to_have_attribute("aria-pressed", "true")
    other.locator(".verdict.wrong").nth(1).click()
    sees(page.locator("#said")).to_have_text("1 right, 1 wrong")
    page.locator(".verdict.wrong").nth(2).click()
    sees(other.locator("#said")).to_have_text("1 right, 2 wrong")


def test_what_a_person_says_is_kept_and_saved_for_the_loader(dogs: Any, tmp_path: Path) -> None:
    said = dogs.locator("#said")
    dogs.locator(".verdict.right").first.click()
    for place in (1, 2, 2):  # the last is taken back
        dogs.locator(".verdict.wrong").nth(place).click()
    sees(said).to_have_text("1 right, 1 wrong")
    saved = {}
    for kind in ("json", "csv"):
        with dogs.expect_download() as download:
            dogs.click(f"#save-{kind}")
        saved[kind] = tmp_path / download.value.suggested_filename
        download.value.save_as(saved[kind])
    read = read_corrections([saved["json"]])
    assert [(one.recording_id, one.verdict, one.is_there) for one in read.corrections] == [
        ("tape 199.wav", "right", True),
        ("tape 198.wav", "wrong", False),
    ]
    assert read.corrections[0].probability == 0.796
    assert read_corrections([saved["csv"]]) == read

    dogs.reload()
    at_dogs(dogs)
    sees(said).to_have_text(
        "1 right, 1 wrong"
    )  # a browser may hand over what is kept a little later than the page
    dogs.select_option("#judged", "done")
    becomes(lambda: names(dogs), ["tape 199.wav", "tape 198.wav"])
    kept = dogs.evaluate("Object.entries(localStorage)[0]")
    dogs.evaluate("([key]) => localStorage.setItem(key, '[]')", kept)  # of which a page has no event
    sees(said).to_have_text("none yet")
    dogs.evaluate("([key, text]) => localStorage.setItem(key, text)", kept)
    sees(said).to_have_text("1 right, 1 wrong")
    becomes(lambda: names(dogs), ["tape 199.wav", "tape 198.wav"])
    dogs.on("dialog", lambda dialog: dialog.accept())
    for _ in range(2):  # the same file may be chosen again
        dogs.click("#forget")
        sees(said).to_have_text("none yet")
        dogs.set_input_files("#load", saved["json"])
        sees(said).to_have_text("1 right, 1 wrong")
    dogs.set_input_files("#load", saved["csv"])
    sees(said).to_contain_text("no JSON file")


def test_it_fits_a_phone_and_works_from_a_server(open_page: Open, served: str) -> None:
    page = at_dogs(open_page(f"{served}/index.html", width=320))
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_rows_that_are_not_beside_the_page_are_missed_in_words(
    open_page: Open, output: Output, tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_bytes((output.root / "index.html").read_bytes())
    page = forgive(open_page((tmp_path / "index.html").as_uri()), "Failed to load resource")
    sees(page.locator("#count")).to_contain_text("copy that folder")
