"""When a job passes once more over its items, and when an item is put into quarantine. Decisions only, no Ray.

The first pass goes over everything. Items without a result are retried in isolation: their worker died, a store was
away, or a machine is lost. An item that was alone when its worker died, each time it was tried, is poison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

POISON_REASON = "its worker died each time it was tried"
STILL_GROWING_REASON = f"{POISON_REASON}, and others came to the input meanwhile"
STOPPED_REASON = "the job was stopped before it began"

_ISOLATED_PASSES = 2


class Step(Enum):
    """What comes next."""

    PASS_OVER_ALL = auto()
    ISOLATE = auto()
    QUARANTINE = auto()
    FINISH = auto()
    NO_PROGRESS = auto()


@dataclass(frozen=True, kw_only=True)
class PassResult:
    """How a pass ended.

    Parameters
    ----------
    missing : int
        Items that the listing has found and that neither succeeded nor failed.
    unfinished : int
        Of these, the ones that came back undone, such as when a store is away.
    is_listed : bool, default=True
        Whether the listing came to its end.
    has_stalled : bool, default=False
        Whether the pass stood still until Ray gave it up.
    is_stopped : bool, default=False
        Whether a signal, or too many failures, ended it.
    was_one_by_one : bool, default=False
        Whether each item had a worker to itself.
    """

    missing: int
    unfinished: int = 0
    is_listed: bool = True
    has_stalled: bool = False
    is_stopped: bool = False
    was_one_by_one: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left."""
        return self.is_listed and not self.has_stalled and self.missing == 0


def next_step(passes: Sequence[PassResult]) -> Step:
    """Decide what to do after some passes.

    Parameters
    ----------
    passes : sequence of PassResult
        All so far; the first went over everything, the others over what was missing in isolation.

    Returns
    -------
    Step
        At most two isolated passes, the second only if the first has stalled. Items are quarantined only if nothing
        else can have kept them: each had a worker to itself, and none came back undone.
    """
    if not passes:
        return Step.PASS_OVER_ALL
    last = passes[-1]
    if last.is_stopped or last.is_complete:
        return Step.FINISH
    isolated = len(passes) - 1
    if isolated == 0 or (last.has_stalled and isolated < _ISOLATED_PASSES):
        return Step.ISOLATE
    if last.has_stalled or not last.is_listed:
        return Step.NO_PROGRESS
    return Step.QUARANTINE if last.was_one_by_one and not last.unfinished else Step.FINISH
