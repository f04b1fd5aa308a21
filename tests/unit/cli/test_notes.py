"""What is said beside the results, and when not."""

from __future__ import annotations

import io
import sys

from uss_ray.cli.notes import is_quiet, note, note_loading, quiet


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_notes_go_to_stderr_without_escapes_and_not_at_all_when_it_should_be_quiet(capsys):
    note("a\x1b[31mb")
    with quiet(True):
        assert is_quiet()
        note("c")
        with quiet(False):
            note("d")
    assert not is_quiet()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "\x1b" not in captured.err
    assert captured.err.splitlines()[-1] == "d"
    assert "c" not in captured.err


def test_who_waits_at_a_terminal_is_told_at_once(monkeypatch):
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        monkeypatch.setattr(sys, "stderr", stream)
        note_loading("the weights")
    assert terminal.getvalue() == "Loading the weights ...\n"
    assert pipe.getvalue() == ""
