"""`uss-ray verify`: whether an output is what its index says, and the mending of what can be mended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import Field

from uss_ray.cli.command import STORAGE_NAME, Command
from uss_ray.config import Location, Settings
from uss_ray.store.options import Storage, StoreOptions

_SHOWN = 100
_NOT_AS_IT_SHOULD_BE = 8


class VerifyOutput(Settings):
    """Check an output without trusting it: index against files, duplicates, strays, and what killed runs left.

    The exit code is 0 if all is well, or was repaired, and 8 if not.
    """

    output: Location = Field(description="Folder or URI that `archive` or `separate` wrote.")
    quick: bool = Field(default=False, description="Compare sizes only, and read no stem.")
    repair: bool = Field(
        default=False,
        description="Remove duplicates, strays and leftovers, and take recordings whose stems are not as they were "
        "written out of the index: the next run separates them again.",
    )
    as_json: bool = Field(default=False, description="All findings as a JSON object.")
    storage: Storage = StoreOptions()


COMMAND: Final = Command(
    name="verify",
    model=VerifyOutput,
    positionals={"output": "OUTPUT"},
    names={"as_json": "json", "storage": STORAGE_NAME},
)


def run(arguments: Sequence[str]) -> int:
    """Check, and say what is wrong."""
    asked, _ = COMMAND.read(arguments)

    from uss_ray.cli.display import say
    from uss_ray.errors import OutputError
    from uss_ray.pipelines.archive.verify import verify_output
    from uss_ray.store.store import Store

    output = Store(asked.output, asked.storage, OutputError)
    found = verify_output(output, quick=asked.quick, repair=asked.repair)
    if asked.as_json:
        say(found.to_json())
    else:
        for finding in found.findings[:_SHOWN]:
            say(f"{finding.kind}: {finding.place}")
        if len(found.findings) > _SHOWN:
            say(f"… and {len(found.findings) - _SHOWN} more")
        if found.repaired:
            say(f"repaired: {found.repaired}")
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(found.counts.items())) or "all is well"
        failed = f", {found.failed} failed" if found.failed else ""
        residuals = f" and {found.residuals} residuals" if found.residuals else ""
        say(
            f"{found.recordings} recordings, {found.stems - found.residuals} stems{residuals}{failed}: {told}"
        )
    return _NOT_AS_IT_SHOULD_BE if found.findings else 0
