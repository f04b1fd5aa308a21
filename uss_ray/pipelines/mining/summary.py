"""What `summary.json` says at the end of a mining run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from uss_ray.pipelines.mining.settle import MiningTotals
from uss_ray.results.run_summary import StageSummary
from uss_ray.wording import without_secrets

SUMMARY_VERSION = 1
_HOUR_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class MiningSummary:
    """A run of mining in plain values.

    Parameters
    ----------
    run_id : str
    segments : tuple of str
    audio, output : str
        Places.
    weights_name : str
    software_version, ray_version : str
    started_at, ended_at : datetime
        With a time zone.
    wall_seconds : float
    audio_hours : float
        Length of the clips that were mined in this run.
    mined, failed, unfinished, skipped, failed_before : int
        Clips by what became of them; `skipped` were mined before, `failed_before` failed then and were not tried again.
    missing : int
        Of the failed: no container held them.
    anchors : int
        Of this run.
    stages : tuple of StageSummary
    failures : mapping of str to int
        By kind of reason.
    changed : mapping
        Clips that were done before and hold something else now: how many, and a few of them.
    broken_containers : tuple of str
    totals : MiningTotals or None
        Of all runs below the output root; None where a run was stopped before they were counted.
    """

    run_id: str
    segments: tuple[str, ...]
    audio: str
    output: str
    weights_name: str
    software_version: str
    ray_version: str
    started_at: datetime
    ended_at: datetime
    wall_seconds: float
    audio_hours: float
    mined: int
    failed: int
    missing: int
    unfinished: int
    skipped: int
    failed_before: int
    anchors: int
    stages: tuple[StageSummary, ...]
    failures: Mapping[str, int]
    changed: Mapping[str, Any]
    broken_containers: tuple[str, ...]
    totals: MiningTotals | None

    @property
    def hours_per_hour(self) -> float:
        """Hours of sound mined in an hour."""
        return self.audio_hours * _HOUR_SECONDS / self.wall_seconds if self.wall_seconds > 0 else 0.0

    @property
    def clips_per_second(self) -> float:
        """Clips mined in a second."""
        return self.mined / self.wall_seconds if self.wall_seconds > 0 else 0.0

    def to_json(self) -> str:
        """Give it as a JSON object, with the figures that follow from the others."""
        values: dict[str, Any] = {"version": SUMMARY_VERSION, **dataclasses.asdict(self)}
        values |= {
            "started_at": self.started_at.isoformat(),
            "ended_at": self.ended_at.isoformat(),
            "hours_per_hour": self.hours_per_hour,
            "clips_per_second": self.clips_per_second,
            "stages": [
                dataclasses.asdict(stage) | {"utilisation": stage.utilisation(wall_seconds=self.wall_seconds)}
                for stage in self.stages
            ],
        }
        return without_secrets(json.dumps(values, indent=2, allow_nan=False)) + "\n"
