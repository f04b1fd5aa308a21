"""The entry point: which commands there are, and how an error of a user's becomes one line and an exit code."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

import typer

from uss_ray.cli.archive import archive
from uss_ray.cli.arguments import spread_lists
from uss_ray.cli.data import data_app
from uss_ray.cli.display import show_error, show_usage_error
from uss_ray.cli.find import find
from uss_ray.cli.mine import mine
from uss_ray.cli.ontology import ontology
from uss_ray.cli.separate import separate
from uss_ray.cli.stopping import end_on_signals, stopped_code
from uss_ray.cli.training import evaluate_app, train_app
from uss_ray.cli.weights import weights_app
from uss_ray.errors import UssRayError
from uss_ray.threads import wait_patiently

_DEBUG = "--debug"
_WRONG_USAGE = 2

app = typer.Typer(
    name="uss-ray",
    help="Take recordings apart into the sounds in them. --debug shows where an error comes from.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("separate", no_args_is_help=True)(separate)
app.command("archive", no_args_is_help=True)(archive)
app.command("mine", no_args_is_help=True)(mine)
app.command("find", no_args_is_help=True)(find)
app.command("ontology")(ontology)
app.add_typer(weights_app, name="weights")
app.add_typer(data_app, name="data")
app.add_typer(train_app, name="train")
app.add_typer(evaluate_app, name="evaluate")


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
    debug = _DEBUG in arguments
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    try:
        code = app(
            args=spread_lists([argument for argument in arguments if argument != _DEBUG]),
            prog_name="uss-ray",
            standalone_mode=False,
        )
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except UssRayError as error:
        if debug:
            raise
        stopped = stopped_code()
        if stopped is not None:  # a write that a signal broke off is no fault of the disk
            return stopped
        show_error(error)
        return error.exit_code
    except typer.TyperException as error:
        show_usage_error(error)
        return _WRONG_USAGE
    return code if isinstance(code, int) else 0


def main() -> None:
    """Run the command line of this process."""
    wait_patiently()
    end_on_signals()
    sys.exit(run(sys.argv[1:]))
