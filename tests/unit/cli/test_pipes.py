"""A recording from standard input and a stem to standard output."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest

from uss_ray.cli.pipes import check_stdout, receive, send
from uss_ray.errors import ConfigError, OutputError


def test_what_comes_in_becomes_a_file_and_goes_out_as_it_is(monkeypatch, tmp_path):
    came, went = io.BytesIO(b"sound" * 100_000), io.BytesIO()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=came, isatty=lambda: False))
    path = receive(tmp_path)
    assert (path.name, path.read_bytes()) == ("stdin", b"sound" * 100_000)
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=went, isatty=lambda: False))
    check_stdout()
    send(path)
    assert went.getvalue() == b"sound" * 100_000


def test_a_terminal_is_no_pipe(monkeypatch, tmp_path):
    for name in ("stdin", "stdout"):
        monkeypatch.setattr(sys, name, SimpleNamespace(isatty=lambda: True))
    with pytest.raises(ConfigError, match="found a terminal"):
        receive(tmp_path)
    with pytest.raises(ConfigError, match="found a terminal"):
        check_stdout()


def test_a_recording_without_room_is_refused_by_its_place(monkeypatch, tmp_path):
    (tmp_path / "stdin").symlink_to("/dev/full")
    monkeypatch.setattr(
        sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"sound" * 100_000), isatty=lambda: False)
    )
    with pytest.raises(OutputError, match="stdin: expected room to keep standard input, found No space left"):
        receive(tmp_path)
