"""The entry point: which commands there are, and what is wrong usage."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from uss_ray.cli import main


def test_help_names_every_command(command):
    ran = command("--help")
    assert ran.exit_code == 0
    for name in ("separate", "archive", "ontology", "weights"):
        assert name in ran.out


def test_the_console_script_is_installed():
    script = Path(sys.executable).with_name("uss-ray")
    done = subprocess.run([script, "ontology", "--find", "howl"], capture_output=True, text=True, check=True)
    assert "Howl  /m/07qf0zm  level 4  class 77" in done.stdout


def test_the_package_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "uss_ray", "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("usage: uss-ray COMMAND")


WITHOUT_RAY = """
import sys
sys.modules["ray"] = None
from uss_ray.cli.main import main
main()
"""


@pytest.mark.parametrize("line", [("archive", "examples/archive"), ("mine", "clips.csv", "audio")])
def test_without_ray_it_is_said_what_to_install(line, tmp_path):
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_RAY, *line, tmp_path / "out"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"error: uss-ray {line[0]}: expected Ray (pip install 'uss-ray[ray]'")
    assert len(ran.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("line", [["--help"], ["find", "--help"], ["ontology"]])
def test_a_reader_that_has_enough_of_a_list_ends_it_without_a_word(line):
    script = Path(sys.executable).with_name("uss-ray")
    with subprocess.Popen(
        [script, *line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        running.stdout.close()
        assert running.stderr.read() == ""
        assert running.wait(timeout=300) == 0


def test_work_whose_reader_is_gone_ends_as_a_shell_expects(monkeypatch):
    def gone(*_: object, **__: object) -> int:
        raise BrokenPipeError

    let_go = []
    monkeypatch.setattr(main, "_dispatch", gone)
    monkeypatch.setattr(main, "let_go_of_stdout", lambda: let_go.append(True))
    assert main.run(["separate", "a.wav", "-o", "out"]) == 141
    assert main.run(["find", "out"]) == 0
    assert let_go == [True, True]


def test_a_full_disk_behind_standard_output_is_a_line_and_the_exit_code_of_outputs(monkeypatch, capfd):
    monkeypatch.setattr(main, "let_go_of_stdout", lambda: None)
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main.run(["--help"]) == 6
        monkeypatch.undo()
        with contextlib.suppress(OSError):
            full.close()
    assert capfd.readouterr().err == (
        "error: standard output: expected room for more, found No space left on device\n"
    )


def test_an_error_of_the_system_that_nobody_foresaw_keeps_its_traceback(monkeypatch):
    def fail(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied", "/nowhere")

    monkeypatch.setattr(main, "_dispatch", fail)
    with pytest.raises(PermissionError):
        main.run(["find", "x"])


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
