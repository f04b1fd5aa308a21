"""Tables and lines as they are read from a pipe."""

from __future__ import annotations

import io
import sys

import pytest

from uss_ray.cli.display import download_bar, progress_bar, say, show_matches, show_table
from uss_ray.ontology.vocabulary import Vocabulary


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def drawn(monkeypatch: pytest.MonkeyPatch, *, columns: int, rows: list[tuple[str, ...]]) -> list[str]:
    """A table of sounds and their stems as a terminal of that width gets it."""
    terminal = Terminal()
    with monkeypatch.context() as patched:
        for name, value in {"COLUMNS": str(columns), "TERM": "dumb", "NO_COLOR": "1"}.items():
            patched.setenv(name, value)
        patched.setattr(sys, "stdout", terminal)
        show_table(("Recording", "Sound", "Stem"), rows, title="All [of it]", below=("Recording", "Stem"))
    return terminal.getvalue().splitlines()


def test_a_pipe_gets_a_line_a_row_whatever_its_length_and_markup(capsys):
    show_table(
        ("Name", "Count"),
        [("[bold]x[/bold] " + "y" * 300, "3"), ("a\tb", "4")],
        title="All",
        right=("Count",),
    )
    out = capsys.readouterr().out
    assert out == "Name\tCount\n[bold]x[/bold] " + "y" * 300 + "\t3\na\\x09b\t4\n"


def test_a_narrow_terminal_gets_a_path_whole_in_a_line_of_its_own(monkeypatch):
    stem = "out/" + "long " * 20 + "/a.wav/dog.flac"
    lines = drawn(monkeypatch, columns=80, rows=[("a.wav", "Dog [x]", stem), ("b.wav", "Cat", "")])
    assert lines == ["All [of it]", "Sound", "Dog [x]", f"  {stem}", "Cat", "  b.wav"]


def test_what_fits_is_a_table(monkeypatch):
    lines = drawn(monkeypatch, columns=80, rows=[("a.wav", "Dog [x]", "out/dog.flac")])
    (row,) = (line for line in lines if "a.wav" in line)
    assert "Dog [x]" in row
    assert "out/dog.flac" in row
    assert lines[0].strip() == "All [of it]"


def test_a_line_is_said_as_it_is(capsys):
    say("a [red]b[/red] " + "c" * 200)
    assert capsys.readouterr().out == "a [red]b[/red] " + "c" * 200 + "\n"


def test_what_a_text_was_taken_for_is_said_with_what_else_it_might_be(capsys):
    vocabulary = Vocabulary.load()
    show_matches([("dog barking", vocabulary.resolve_text("dog barking"))])
    said = capsys.readouterr().err
    assert said.startswith("'dog barking' is taken as Bark (/m/05tny_), score ")
    assert "; next best: " in said


def test_bars_are_silent_where_there_is_no_terminal(capsys):
    with progress_bar("x", unit="s") as advance:
        advance(1, None)
        advance(2, 3)
    with download_bar("x") as advance:
        advance(1, 10)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
