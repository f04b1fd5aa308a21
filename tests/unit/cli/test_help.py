"""What help costs and shows, and what completion offers in a real shell."""

from __future__ import annotations

import subprocess
import sys

import pytest

from uss_ray.cli.main import COMMANDS

HEAVY = {
    "torch",
    "ray",
    "pyarrow",
    "numpy",
    "pandas",
    "scipy",
    "fsspec",
    "s3fs",
    "soundfile",
    "jinja2",
    "rich",
}


def loaded_by(*arguments: str) -> tuple[set[str], str]:
    """Run the command line in a fresh interpreter; give the packages it has loaded, and what it printed."""
    code = (
        "import sys\nfrom uss_ray.cli.main import run\n"
        f"code = run({list(arguments)!r})\n"
        "sys.stderr.write(' '.join({name.partition('.')[0] for name in sys.modules}))\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split()), done.stdout


def test_the_help_of_a_command_loads_nothing_heavy():
    loaded, printed = loaded_by("archive", "--help")
    assert not loaded & HEAVY
    assert printed.startswith("usage: uss-ray archive")


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_the_list_of_commands_loads_neither_models_nor_parser(flag):
    loaded, _ = loaded_by(flag)
    assert not loaded & {*HEAVY, "pydantic", "tyro", "yaml"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_help_on_stdout(command, name):
    ran = command(*name.split(), "--help")
    assert (ran.exit_code, ran.err) == (0, "")
    assert ran.out.startswith(f"usage: uss-ray {name} ")


def test_help_tells_bounds_defaults_and_choices_of_the_models(command):
    shown = " ".join(command("archive", "-h").out.replace("│", " ").split())
    for words in (
        "--threshold FLOAT",
        "else 0.2, and 0.3 for events",
        "--format {flac,wav,ogg,opus,mp3}",
        "--residual, --no-residual",
        "--shard I/N",
        "INPUT OUTPUT",
    ):
        assert words in shown
