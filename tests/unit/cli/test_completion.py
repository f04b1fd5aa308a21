"""What completion offers in a real shell."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def complete():
    """Complete the last of some words as bash does."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    told = subprocess.run(
        [sys.executable, "-c", "from uss_ray.cli.main import run; run(['completion', 'bash'])"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stderr == ""
    script = told.stdout

    def run_it(*words: str) -> set[str]:
        program = (
            f'{script}\nwords=(uss-ray "$@")\nspec=$(complete -p uss-ray)\n'
            "function=${spec#*-F }\nfunction=${function%% *}\n"
            'COMP_WORDS=("${words[@]}"); COMP_CWORD=$((${#words[@]} - 1)); COMP_LINE="${words[*]}"\n'
            "COMP_POINT=${#COMP_LINE}; $function uss-ray; printf '%s\\n' \"${COMPREPLY[@]}\""
        )
        done = subprocess.run([bash, "-s", *words], input=program, capture_output=True, text=True, check=True)
        return set(done.stdout.split())

    return run_it


@pytest.mark.slow
def test_bash_completes_commands_flags_and_choices(complete):
    assert complete("a") == {"ablate", "anchors", "archive"}
    assert complete("archive", "--thr") == {"--threshold", "--threads"}
    assert {"flac", "wav", "ogg", "opus", "mp3"} <= complete("archive", "--format", "")
    assert {"list", "show", "fetch", "import"} <= complete("weights", "")
    assert "check" in complete("data", "")
    assert "--container" in complete("data", "check", "--cont")


@pytest.mark.slow
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
