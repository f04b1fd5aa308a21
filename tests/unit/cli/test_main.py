"""The entry point: which commands there are, and what is wrong usage."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_help_names_every_command(command):
    ran = command("--help")
    assert ran.exit_code == 0
    for name in ("separate", "archive", "ontology", "weights"):
        assert name in ran.out


def test_the_console_script_is_installed():
    script = Path(sys.executable).with_name("uss-ray")
    done = subprocess.run([script, "ontology", "--find", "howl"], capture_output=True, text=True, check=True)
    assert "Howl  /m/07qf0zm  level 4  class 77" in done.stdout


def test_the_version_is_printed(command):
    ran = command("--version")
    assert (ran.exit_code, ran.err) == (0, "")
    assert ran.out.startswith("uss-ray 0.")


def test_a_group_lists_its_commands_and_names_the_nearest(command):
    assert "fetch" in command("weights").out
    assert command("weights").exit_code == 2
    assert command("weights", "--help").exit_code == 0
    wrong = command("weights", "lst")
    assert wrong.exit_code == 2
    assert "uss-ray weights lst: expected a command such as list, found an unknown one" in wrong.err


def test_a_command_without_arguments_shows_its_help(command):
    ran = command("archive")
    assert ran.exit_code == 2
    assert ran.out.startswith("usage: uss-ray archive")


def test_verbose_may_stand_anywhere(command):
    for line in (["--verbose", "ontology", "--level", 1], ["ontology", "--level", 1, "--verbose"]):
        assert command(*line).exit_code == 0


def test_verbose_reaches_the_job(command):
    ran = command("--verbose", "archive", "in", "out", "--print-config")
    assert "verbose: true" in ran.out
