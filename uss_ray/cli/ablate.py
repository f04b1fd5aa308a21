"""`uss-ray ablate`: runs that differ in one thing, over some seeds, and a table of what it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import Field

from uss_ray.cli.command import STORAGE_NAME, Command
from uss_ray.config import Settings
from uss_ray.pipelines.training.ablation_request import AblationOptions, AblationRequest


class Ablate(Settings):
    """Train BASE and each overlay over it with some seeds, score them on one list, and write a table of the means.

    An arm that is scored on another list, or on segments of another length, is told without a difference to the base.

    The same command goes on: runs that are finished are not run again, others from their last checkpoint.
    """

    request: AblationRequest = Field(description="Which runs are compared, and where they go.")
    options: AblationOptions = Field(default_factory=AblationOptions, description="Who does them.")


COMMAND: Final = Command(
    name="ablate",
    model=Ablate,
    positionals={"request.base": "BASE", "request.overlays": "OVERLAYS"},
    names={"request.storage": STORAGE_NAME},
    short={"request.output": "-o"},
)


def run(arguments: Sequence[str]) -> int:
    """Train, score, and show the table."""
    asked, _ = COMMAND.read(arguments)

    from uss_ray.cli.display import say, show_table
    from uss_ray.pipelines.runtime.stopping import stop_on_signals
    from uss_ray.pipelines.training.ablation import TABLE_NAME, ablate
    from uss_ray.pipelines.training.ablation_table import COLUMNS, RunOutcome, notes_of, rows_of

    def tell(outcome: RunOutcome) -> None:
        found = outcome.error if outcome.sdri_db is None else f"{outcome.sdri_db:.2f} dB"
        say(
            f"{outcome.arm}, seed {outcome.seed}: {outcome.state} at step {outcome.step}, {found or 'goes on'}"
        )

    with stop_on_signals(lambda: say("Stopping after this step; again to stop at once.")) as stop:
        summaries = ablate(asked.request, asked.options, is_stopping=lambda: bool(stop), on_run=tell)
    show_table(COLUMNS, rows_of(summaries), title="Ablation", right=COLUMNS[1:])
    for note in notes_of(summaries):
        say(note)
    say(f"Table: {asked.request.output_store / TABLE_NAME}")
    failed = sum(summary.failed for summary in summaries)
    left = asked.request.seeds * len(summaries) - sum(summary.finished for summary in summaries)
    if left:
        say(f"{left} runs are not finished, {failed} of them failed. The same command goes on.")
    if stop.signal_number is not None:
        return 128 + stop.signal_number
    return int(left > 0)
