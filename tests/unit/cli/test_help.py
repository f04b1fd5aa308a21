"""What help costs and shows, and what completion offers in a real shell."""

from __future__ import annotations

import shutil
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
        "(default: 0.2)",
        "--format {flac,wav,ogg,opus}",
        "--residual, --no-residual",
        "--shard I/N",
        "INPUT OUTPUT",
    ):
        assert words in shown


@pytest.fixture(scope="module")
def complete():
    """Complete the last of some words as bash does."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    script = subprocess.run(
        [sys.executable, "-c", "from uss_ray.cli.main import run; run(['completion', 'bash'])"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

    def run_it(*words: str) -> set[str]:
        program = (
            f'{script}\nwords=(uss-ray "$@")\nspec=$(complete -p uss-ray)\n'
            "function=${spec#*-F }\nfunction=${function%% *}\n"
            'COMP_WORDS=("${words[@]}"); COMP_CWORD=$((${#words[@]} - 1)); COMP_LINE="${words[*]}"\n'
            "COMP_POINT=${#COMP_LINE}; $function uss-ray; printf '%s\\n' \"${COMPREPLY[@]}\""
        )
        done = subprocess.run(
            [bash, "-c", program, "bash", *words], capture_output=True, text=True, check=True
        )
        return set(done.stdout.split())

    return run_it


def test_bash_completes_commands_flags_and_choices(complete):
    assert complete("a") == {"archive"}
    assert complete("archive", "--thr") == {"--threshold", "--threads"}
    assert {"flac", "wav", "ogg", "opus"} <= complete("archive", "--format", "")
    assert {"list", "show", "fetch", "import"} <= complete("weights", "")
    assert "check" in complete("data", "")
    assert "--container" in complete("data", "check", "--cont")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_script_too(command, shell):
    ran = command("completion", shell)
    assert (ran.exit_code, ran.err) == (0, "")
    assert "uss-ray" in ran.out
    assert "--threshold" in ran.out


def test_an_unknown_shell_is_named(command):
    ran = command("completion", "tcsh")
    assert ran.exit_code == 2
    assert "'bash', 'zsh' or 'fish', found 'tcsh'" in ran.err
