from __future__ import annotations

from pathlib import Path

import pytest

from uss_ray.cli.main import run
from uss_ray.cli.serve import COMMAND


def test_flags_are_settings_of_the_service_and_of_ray(tmp_path: Path) -> None:
    line = f"--tokens t.yaml --host 0.0.0.0 --port 80 --store {tmp_path} --replicas 3 --device cpu --queue-seconds 9"
    asked, _ = COMMAND.read(line.split())
    service = asked.service
    assert (service.tokens, service.host, service.port, service.device) == ("t.yaml", "0.0.0.0", 80, "cpu")
    assert (service.store, service.limits.queue_seconds) == (str(tmp_path), 9.0)
    assert asked.options.replicas == 3


def test_several_places_and_origins_stand_after_one_option(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("service: {port: 81}", encoding="utf-8")
    told = ["--no-auth", "--prefixes", "/a", "s3://b/c", str(tmp_path / "own.yaml"), "--prefixes", "/d"]
    asked, _ = COMMAND.read([*told, "--webhooks-origins", "https://a.example.org", "https://b.example.org"])
    assert asked.service.prefixes == ("/a", "s3://b/c", "/d")
    assert asked.service.webhooks.origins == ("https://a.example.org", "https://b.example.org")
    assert asked.service.port == 81


@pytest.mark.parametrize("line", ["serve --no-auth a b", "train separator a b"])
def test_what_is_no_file_of_settings_is_told_that_such_may_stand_there(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line.split()) == 2
    assert "expected options and YAML files of settings, found a b" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("serve", "a file of tokens, or --no-auth at a loopback address"),
        ("serve --no-auth --host 0.0.0.0", "loopback"),
        ("serve --tokens none.yaml", "none.yaml"),
    ],
)
def test_it_does_not_start_open_to_everybody(
    line: str, expected: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.init", lambda *_, **__: pytest.fail("Ray was started"))
    assert run(line.split()) == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--store", "--tokens", "--weights", "--host", "--address", "--ontology"])
@pytest.mark.parametrize("is_joined", [True, False])
def test_an_empty_text_is_no_place(
    option: str, is_joined: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.init", lambda *_, **__: pytest.fail("Ray was started"))
    assert run(["serve", "--no-auth", *([f"{option}="] if is_joined else [option, ""])]) == 2
    assert f"uss-ray serve {option}: expected a text that is not empty, found ''" in capsys.readouterr().err
