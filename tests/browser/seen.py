"""Waiting for what a page shall show: a busy machine draws late, and nothing is judged by what it had drawn by then."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

SECONDS = 180.0


def sees(what: Any) -> Any:
    """Give Playwright's assertions of a page or a locator, which wait."""
    from playwright.sync_api import expect

    expect.set_options(timeout=1000 * SECONDS)
    return expect(what)


def hears(page: Any, what: str) -> None:
    """Wait until a page says that this is heard."""
    sees(page.locator(".uss-say")).to_have_text(f"You hear: {what}")


def becomes(read: Callable[[], Any], wanted: Any) -> None:
    """Wait until what is read is what is wanted."""
    end = time.monotonic() + SECONDS
    while (found := read()) != wanted:
        if time.monotonic() >= end:
            assert found == wanted
        time.sleep(0.01)


def until(page: Any, expression: str) -> None:
    """Wait until something holds in a page; without `eval`, which the policy of the service's page forbids."""
    becomes(lambda: bool(page.evaluate(expression)), True)


def forgive(page: Any, *words: str) -> Any:
    """Expect a browser to tell of troubles with these words in them, at whatever time; of others a test fails."""
    page.forgiven.extend(words)
    return page


def holding(page: Any, url: str) -> Callable[[], Any]:
    """Hold back the next request for what an address fits; what is given waits for it, and gives it to be answered."""
    held: list[Any] = []
    page.route(url, lambda route: held.append(route), times=1)

    def caught() -> Any:
        becomes(
            lambda: page.evaluate("1") and len(held), 1
        )  # news of a browser come while it is asked something
        return held[0]

    return caught
