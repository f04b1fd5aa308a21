"""The files of the page, and what a browser is told of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import httpx
import pytest

from tests.unit.service.answers import KnownAnswers
from tests.unit.service.conftest import running
from uss_ray.service import page_routes
from uss_ray.service.settings import ServiceSettings


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    settings = ServiceSettings(no_auth=True, decoders=1)
    with running(settings, KnownAnswers()) as service, service.client(token=None) as client:
        yield client


def assets(client: httpx.Client) -> list[str]:
    """Follow what the page loads, and what that loads."""
    found, left = [], re.findall(r'(?:href|src)="(assets/[^"]+)"', client.get("/").text)
    while left:
        name = left.pop().removeprefix("assets/").removeprefix("./")
        if name not in found:
            found.append(name)
            text = client.get(f"/assets/{name}").text
            left += re.findall(r"(?:from|import|addModule)[ (]'((?:\./|assets/)[^']+)'", text)
    return found


def test_everything_it_loads_is_there_and_nothing_else_is_shipped(client: httpx.Client) -> None:
    loaded = assets(client)
    assert sorted(loaded) == sorted(page_routes._HOMES)
    shipped = {path.name for path in (files("uss_ray.service") / "page").iterdir()}
    assert shipped == {*loaded, "index.html"} - {"player.js", "player.css"}


def test_it_is_small_and_comes_from_nowhere_else(client: httpx.Client) -> None:
    texts = [client.get("/").text, *(client.get(f"/assets/{name}").text for name in assets(client))]
    assert sum(len(text.encode()) for text in texts) < 60_000
    addresses = {url for text in texts for url in re.findall(r"https?://[\w./]+", text)}
    assert addresses == set()
    assert not any(re.search(r"\bstyle=|\son[a-z]+=", text) for text in texts[:1])


@pytest.mark.parametrize("call", ["/", "/assets/page.js"])
def test_a_browser_is_told_to_be_strict(client: httpx.Client, call: str) -> None:
    answer = client.get(call)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    again = client.get(call, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    plain: Any = client.get(call, headers={"accept-encoding": "identity"})
    assert plain.text == answer.text
    assert ("content-encoding" in plain.headers, answer.headers["content-encoding"]) == (False, "gzip")


@pytest.mark.parametrize("name", ["..%2Fgate.py", "gate.py", "index.html", "%2e%2e/gate.py", "player.py"])
def test_no_other_file_is_given_out(client: httpx.Client, name: str) -> None:
    answer: httpx.Response = client.get(f"/assets/{name}")
    assert answer.status_code == 404
