"""`uss-ray report`: the page of an output, made anew from its index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import Field

from uss_ray.cli.command import STORAGE_NAME, Command
from uss_ray.config import Location, Settings
from uss_ray.store.options import Storage, StoreOptions


class ReportOutput(Settings):
    """Write index.html of an output: its sounds and recordings, to be searched, heard, and called right or wrong."""

    output: Location = Field(description="Folder or URI that `archive` or `separate` wrote.")
    storage: Storage = StoreOptions()


COMMAND: Final = Command(
    name="report", model=ReportOutput, positionals={"output": "OUTPUT"}, names={"storage": STORAGE_NAME}
)


def run(arguments: Sequence[str]) -> int:
    """Write the page and say where it is."""
    asked, _ = COMMAND.read(arguments)

    from uss_ray.cli.display import say
    from uss_ray.errors import OutputError
    from uss_ray.results.report.archive import write_archive_page
    from uss_ray.store.store import Store

    say(f"Page: {write_archive_page(Store(asked.output, asked.storage, OutputError))}")
    return 0
