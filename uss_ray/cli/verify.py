"""`uss-ray verify`: whether an output is what its index says, and the mending of what can be mended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from pydantic import Field

from uss_ray.cli.command import STORAGE_NAME, Command
from uss_ray.config import Location, Settings
from uss_ray.errors import ConfigError
from uss_ray.store.options import Storage, StoreOptions

if TYPE_CHECKING:
    from uss_ray.pipelines.archive.verify import Verification

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
        "written out of the index, and name them: the next run separates them again. The page of the output is written "
        "anew; reports that are missing stay so.",
    )
    lost_reports: bool = Field(
        default=False,
        description="With --repair: take recordings of whose report half is missing out too, good stems and all, for "
        "only separating again makes a report.",
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

    if asked.lost_reports and not asked.repair:
        raise ConfigError(f"{COMMAND.prog} --lost-reports", expected="--repair beside it", found="none")
    from uss_ray.cli.display import say
    from uss_ray.errors import OutputError
    from uss_ray.pipelines.archive.verify import verify_output
    from uss_ray.store.store import Store

    output = Store(asked.output, asked.storage, OutputError)
    found = verify_output(output, quick=asked.quick, repair=asked.repair, lost_reports=asked.lost_reports)
    if asked.as_json:
        say(found.to_json())
    else:
        _say_some([*_mended(found), *(f"{finding.kind}: {finding.place}" for finding in found.findings)])
        if found.mended:
            say(f"repaired: {_counted(found.mended_counts)}")
        failed = f", {found.failed} failed" if found.failed else ""
        residuals = f" and {found.residuals} residuals" if found.residuals else ""
        told = _counted(found.counts) or "all is well"
        say(
            f"{found.recordings} recordings, {found.stems - found.residuals} stems{residuals}{failed}: {told}"
        )
        if reports := {
            finding.recording_id for finding in found.findings if finding.kind == "missing report"
        }:
            say(
                "No report can be made of stems and index: "
                f"{COMMAND.prog} {asked.output} --repair --lost-reports takes recordings with half a report out "
                f"({len(reports)}), and the run that made them, started again, separates just these anew."
            )
    return _NOT_AS_IT_SHOULD_BE if found.findings else 0


def _mended(found: Verification) -> Iterator[str]:
    """Name what a repair took out, recording by recording, and what else it mended."""
    for name, why in found.taken_out.items():
        yield f"{name}: {_counted(why)}; taken out, the next run separates it again"
    for finding in found.mended:
        if finding.recording_id not in found.taken_out:
            yield f"repaired {finding.kind}: {finding.place}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))


def _say_some(lines: Sequence[str]) -> None:
    from uss_ray.cli.display import say

    for line in lines[:_SHOWN]:
        say(line)
    if len(lines) > _SHOWN:
        say(f"… and {len(lines) - _SHOWN} more")
