"""The page of an output in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import NAME, Output
from uss_ray.results.corrections import read_corrections

pytestmark = pytest.mark.browser

Open = Callable[..., Any]


def names(page: Any) -> list[str]:
    return [str(one) for one in page.locator("#rows .where").all_inner_texts()]


@pytest.fixture
def dogs(open_page: Open, output: Output) -> Any:
    """The page opened as a file, at the sound that most recordings have."""
    page = open_page(output.url("index.html"), accept_downloads=True)
    page.wait_for_selector("#rows li")
    assert page.inner_text("#title") == "Dog"
    return page


def test_sounds_are_found_by_name_and_rows_sorted_and_filtered(dogs: Any) -> None:
    assert dogs.locator("#rows li").count() == 100
    assert names(dogs)[0] == "tape 199.wav"
    assert "121 of 151 findings" in dogs.inner_text("#count")
    dogs.click("#more")
    assert dogs.locator("#rows li").count() == 121
    assert dogs.is_hidden("#more")
    dogs.select_option("#order", "least")
    assert names(dogs)[0] == "tape 51.wav"
    dogs.select_option("#sureness", "doubtful")
    assert names(dogs) == [f"tape {n}.wav" for n in (51, 52, 53, 54, 56, 57, 58, 59)]
    assert "0.20?" in dogs.locator("#rows li").first.inner_text()
    dogs.select_option("#sureness", "all")
    dogs.uncheck("[name=status][value='0']")
    dogs.uncheck("[name=status][value='1']")
    dogs.check("[name=status][value='3']")
    assert names(dogs)[0] == "tape 50.wav"
    assert dogs.locator("#rows li").count() == 30
    dogs.fill("#in", "tape 19")
    assert names(dogs) == ["tape 190.wav", "tape 195.wav"]
    dogs.fill("#search", "cat")
    assert [one.split("\n")[0] for one in dogs.locator("#sounds button").all_inner_texts()] == ["Cat"]
    dogs.fill("#search", "nothing like it")
    assert dogs.inner_text("#sounds-note") == "No sound of this archive is called so."


def test_a_row_leads_to_its_page_and_plays_at_its_event(dogs: Any) -> None:
    dogs.fill("#in", NAME)
    (row,) = dogs.locator("#rows li").all()
    row.locator(".event").first.click()
    dogs.wait_for_function("document.getElementById('stop').getAttribute('aria-label') === 'Pause'")
    assert dogs.inner_text("#playing").startswith(f"Dog in {NAME}, 0:00.0–0:03.0")
    row.locator(".where").click()
    dogs.wait_for_selector(".uss-tree")
    dogs.click("text=All recordings")
    dogs.wait_for_selector("#rows li")


def test_what_is_not_there_is_said(dogs: Any) -> None:
    dogs.fill("#in", "tape 199.wav")
    dogs.locator(".event").first.click()
    dogs.wait_for_function("document.getElementById('playing').textContent.includes('cannot be played')")
    dogs.troubles.clear()  # a browser tells of missing files itself


def test_recordings_are_listed_the_failed_first(dogs: Any) -> None:
    dogs.click("#recordings")
    dogs.wait_for_function("document.getElementById('title').textContent === 'Recordings'")
    assert "152 of 152 recordings, 1 of them failed" in dogs.inner_text("#count")
    assert dogs.locator("#rows li").first.inner_text().split() == ["broken.wav", "failed:", "cut", "off"]
    dogs.fill("#search", "field")
    assert names(dogs) == [NAME]


def test_what_a_person_says_is_kept_and_saved_for_the_loader(dogs: Any, tmp_path: Path) -> None:
    dogs.locator(".verdict.right").first.click()
    dogs.locator(".verdict.wrong").nth(1).click()
    dogs.locator(".verdict.wrong").nth(2).click()
    dogs.locator(".verdict.wrong").nth(2).click()  # taken back
    assert dogs.inner_text("#said") == "1 right, 1 wrong"
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
    dogs.wait_for_selector("#rows li")
    assert dogs.inner_text("#said") == "1 right, 1 wrong"
    dogs.select_option("#judged", "done")
    assert names(dogs) == ["tape 199.wav", "tape 198.wav"]
    dogs.on("dialog", lambda dialog: dialog.accept())
    dogs.click("#forget")
    assert dogs.inner_text("#said") == "none yet"
    dogs.set_input_files("#load", saved["json"])
    dogs.wait_for_function("document.getElementById('said').textContent === '1 right, 1 wrong'")
    dogs.set_input_files("#load", saved["csv"])
    dogs.wait_for_function("document.getElementById('said').textContent.includes('no JSON file')")


def test_it_fits_a_phone_and_works_from_a_server(open_page: Open, served: str) -> None:
    page = open_page(f"{served}/index.html", width=320)
    page.wait_for_selector("#rows li")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_rows_that_are_not_beside_the_page_are_missed_in_words(
    open_page: Open, output: Output, tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_bytes((output.root / "index.html").read_bytes())
    page = open_page((tmp_path / "index.html").as_uri())
    page.wait_for_function("document.getElementById('count').textContent.includes('copy that folder')")
    page.troubles.clear()
