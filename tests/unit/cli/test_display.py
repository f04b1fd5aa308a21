"""Tables and lines as they are read from a pipe."""

from __future__ import annotations

from uss_ray.cli.display import download_bar, progress_bar, say, show_matches, show_table
from uss_ray.ontology.vocabulary import Vocabulary


def test_a_row_is_a_line_whatever_its_length_and_markup(capsys):
    show_table(
        ("Name", "Count"), [("[bold]x[/bold] " + "y" * 300, "3")], title="All [of it]", right=("Count",)
    )
    out = capsys.readouterr().out
    assert "[bold]x[/bold]" in out
    assert "All [of it]" in out
    assert sum("y" * 300 in line for line in out.splitlines()) == 1


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
