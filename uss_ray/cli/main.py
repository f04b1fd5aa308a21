"""The entry point: which commands there are, and how an error of a user's becomes one line and an exit code.

Only the module of the command that was asked for is imported.
"""

from __future__ import annotations

import errno
import logging
import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final, NamedTuple

from uss_ray.c_stderr import keep_python_apart
from uss_ray.cli.notes import let_go_of_stdout, note, quiet
from uss_ray.cli.stopping import end_on_signals, stopped_code
from uss_ray.errors import ConfigError, OccupiedError, OutputError, UssRayError
from uss_ray.threads import wait_patiently
from uss_ray.wording import log_plainly, show_exception

_DEBUG, _VERBOSE, _QUIET = "--debug", "--verbose", "--quiet"
_SHORT = {"-v": _VERBOSE, "-q": _QUIET}
_HELP = ("-h", "--help")
_WRONG_USAGE = 2
_INTERRUPTED = 128 + 2
_READER_GONE = 128 + 13
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
# What only lists has done its work when whoever reads the list has enough, as `head` has.
_LISTINGS = (*_HELP, "--version", "find", "ontology", "weights", "data", "completion")
_GROUPS = {
    "weights": "List, show, fetch, import and describe weights.",
    "data": "Look at labelled data sets, and leave classes out.",
    "anchors": "Prepare mined anchors for training.",
    "train": "Train weights from weak labels.",
    "evaluate": "Score weights.",
}


class Entry(NamedTuple):
    """Where a command is: a function of a module of this room, its `Command`, and what it does in a line."""

    module: str
    function: str
    command: str
    summary: str


COMMANDS: Final = {
    "separate": Entry("separate", "run", "COMMAND", "Separate recordings into the sounds in them."),
    "archive": Entry("archive", "run", "COMMAND", "Separate every recording of an archive with Ray."),
    "serve": Entry("serve", "run", "COMMAND", "Serve separation over HTTP with Ray Serve."),
    "mine": Entry("mine", "run", "COMMAND", "Mine anchors from weakly labelled clips with Ray."),
    "find": Entry("find", "run", "COMMAND", "Find recordings and spans by what was heard."),
    "report": Entry("report", "run", "COMMAND", "Write the page of an output, to search it and to listen."),
    "verify": Entry("verify", "run", "COMMAND", "Check an output without trusting it, and repair it."),
    "ontology": Entry("ontology", "run", "COMMAND", "Print the ontology, or a part of it."),
    "weights list": Entry("weights", "list_weights", "LIST", "List the weights that can be called by name."),
    "weights show": Entry("weights", "show_weights", "SHOW", "Check weights and tell what they hold."),
    "weights fetch": Entry(
        "weights", "fetch_weights", "FETCH", "Download weights by name; published files are imported."
    ),
    "weights import": Entry("weights", "import_weights", "IMPORT", "Turn a published file into a folder."),
    "weights card": Entry(
        "weights", "write_model_card", "CARD", "Write the model card of weights, by class."
    ),
    "calibrate": Entry(
        "calibrate", "run", "COMMAND", "Compare probabilities with the truth, and calibrate weights."
    ),
    "data check": Entry("data", "check_data", "CHECK", "Count the clips of a labelled data set by class."),
    "data hold-out": Entry(
        "data", "hold_out", "HOLD_OUT", "Leave the clips of some classes out of training."
    ),
    "anchors pack": Entry("anchors", "pack", "PACK", "Pack mined anchors for training."),
    "train separator": Entry("train", "train_separator", "SEPARATOR", "Train a separator on packed anchors."),
    "train tagger": Entry("train", "train_tagger", "TAGGER", "Train a tagger on weak labels and anchors."),
    "train starter": Entry(
        "train", "train_starter", "STARTER_RECIPE", "Train starter weights on one machine."
    ),
    "train show": Entry("train", "show_run", "SHOW", "Tell how far a training run is."),
    "train export": Entry("train", "export_run", "EXPORT", "Write the weights folder of a run."),
    "ablate": Entry("ablate", "run", "COMMAND", "Compare recipes: overlays over a base, with some seeds."),
    "evaluate list": Entry("benchmarks", "draw_benchmark_list", "LIST", "Draw the list of a benchmark."),
    "evaluate check": Entry(
        "benchmarks", "check_benchmark", "CHECK", "Tell how much of a benchmark's data is there."
    ),
    "evaluate run": Entry("evaluate_run", "run", "RUN", "Score systems on the list of a benchmark."),
    "evaluate compare": Entry("evaluate_show", "compare", "COMPARE", "Compare two runs on one list."),
    "evaluate report": Entry("evaluate_show", "report", "REPORT", "Write runs as a page and as Markdown."),
    "evaluate mining": Entry(
        "evaluate", "evaluate_mining", "MINING", "Measure how much of an anchor its event covers."
    ),
    "completion": Entry("completion", "run", "COMMAND", "Print a script that completes commands in a shell."),
}


def run(arguments: Sequence[str]) -> int:
    """Run a command line.

    Parameters
    ----------
    arguments : sequence of str
        Without the program's name.

    Returns
    -------
    int
        Exit code: 0, that of the error, 2 for wrong usage, or what the command says of itself.
    """
    loudness, arguments = _loudness(arguments)
    debug, verbose = _DEBUG in loudness, _VERBOSE in loudness
    level = logging.DEBUG if debug else logging.INFO if verbose else logging.WARNING
    log_plainly(level)
    try:
        with quiet(_QUIET in loudness):
            code = _ended(arguments, verbose=verbose)
            if code == stopped_code() == _INTERRUPTED:
                note("Stopped; nothing half-written is left.")
            sys.stdout.flush()
            return code
    except BrokenPipeError:
        let_go_of_stdout()
        return 0 if not arguments or arguments[0] in _LISTINGS or _HELP[1] in arguments else _READER_GONE
    except OSError as error:
        # What has a name is a file's fault, which whoever writes it words; standard output has none.
        if debug or error.errno not in _FULL or error.filename is not None:
            raise
        let_go_of_stdout()
        sys.stderr.write(f"error: standard output: expected room for more, found {error.strerror}\n")
        return OutputError.exit_code
    except UssRayError as error:
        if debug:
            raise
        stopped = stopped_code()
        if stopped is not None:  # a write that a signal broke off is no fault of the disk
            return stopped
        sys.stderr.write(f"error: {_as_typed(error.reason)}\n")
        return error.exit_code


def main(*command: str) -> None:
    """Run the command line of this process; the words of a command may be given, such as for a job."""
    keep_python_apart()
    wait_patiently()
    end_on_signals()
    sys.excepthook = show_exception
    sys.exit(run([*command, *sys.argv[1:]]))


def _loudness(arguments: Sequence[str]) -> tuple[set[str], list[str]]:
    """Take out of a command line, up to a `--`, what says how loud all commands are."""
    words = list(arguments)
    end = words.index("--") if "--" in words else len(words)
    long = [_SHORT.get(word, word) for word in words[:end]]
    loudness = {_DEBUG, _VERBOSE, _QUIET}.intersection(long)
    kept = [word for word, name in zip(words, long, strict=False) if name not in loudness]
    return loudness, kept + words[end:]


def _ended(arguments: list[str], *, verbose: bool) -> int:
    try:
        return _dispatch(arguments, verbose=verbose)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)


def _as_typed(message: str) -> str:
    """Turn what is said to who writes Python, ``overwrite=True``, into what is typed here, ``--overwrite``."""
    return re.sub(r"\b([a-z]+(?:_[a-z]+)*)=True\b", lambda said: f"--{said[1].replace('_', '-')}", message)


def _dispatch(arguments: list[str], *, verbose: bool) -> int:
    first = arguments[0] if arguments else ""
    if not arguments or first in _HELP:
        _show_list("uss-ray", _overview())
        return 0 if arguments else _WRONG_USAGE
    if first == "--version":
        from uss_ray.version import VERSION

        sys.stdout.write(f"uss-ray {VERSION}\n")
        return 0
    if first in _GROUPS:
        members = {
            name.split()[1]: entry.summary for name, entry in COMMANDS.items() if name.startswith(f"{first} ")
        }
        if len(arguments) == 1 or arguments[1] in _HELP:
            _show_list(f"uss-ray {first}", members)
            return 0 if arguments[1:] else _WRONG_USAGE
        return _call(
            f"{first} {_one_of(arguments[1], members, what=f'uss-ray {first}')}",
            arguments[2:],
            verbose=verbose,
        )
    return _call(_one_of(first, _overview(), what="uss-ray"), arguments[1:], verbose=verbose)


def _call(name: str, arguments: list[str], *, verbose: bool) -> int:
    entry = COMMANDS[name]
    module = import_module(f"uss_ray.cli.{entry.module}")
    command = getattr(module, entry.command)
    if not arguments and command.positionals:
        command.show_help(code=_WRONG_USAGE)
    if verbose and command.knows(_VERBOSE):
        arguments = [_VERBOSE, *arguments]
    function: Callable[[Sequence[str]], int] = getattr(module, entry.function)
    try:
        return function(arguments)
    except OccupiedError as error:
        if not command.knows("--version"):
            raise
        expected = f"{error.expected} (--version NAME: one beside them)"  # a service has no such option
        raise OccupiedError(error.item, expected=expected, found=error.found) from error
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "ray":
            raise
        expected = "Ray (pip install 'uss-ray[ray]', or '.[ray]' in a checkout)"
        raise ConfigError(f"uss-ray {name}", expected=expected, found="no such package") from error


def _overview() -> dict[str, str]:
    """Name commands and groups, each with what it does."""
    plain = {name: entry.summary for name, entry in COMMANDS.items() if " " not in name}
    return {
        name: plain.get(name, _GROUPS.get(name, "")) for name in dict.fromkeys(n.split()[0] for n in COMMANDS)
    }


def _one_of(name: str, known: dict[str, str], *, what: str) -> str:
    if name in known:
        return name
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=3)
    expected = "a command such as " + " or ".join(near) if near else "one of " + ", ".join(known)
    raise ConfigError(f"{what} {name}", expected=expected, found="an unknown one")


def _show_list(prog: str, members: dict[str, str]) -> None:
    lines = [f"  {name:<12}{summary}" for name, summary in members.items()]
    more = [f"{prog} COMMAND --help shows the options of a command."]
    if prog == "uss-ray":
        more += [
            "--verbose (-v) lets logs through, --quiet (-q) leaves notes and progress out,",
            "--debug shows where an error comes from, --version prints the version.",
        ]
        lines = ["Take recordings apart into the sounds in them.", "", "commands:", *lines]
    else:
        lines = [_GROUPS[prog.split()[1]], "", "commands:", *lines]
    sys.stdout.write("\n".join([f"usage: {prog} COMMAND ...", "", *lines, "", *more]) + "\n")
