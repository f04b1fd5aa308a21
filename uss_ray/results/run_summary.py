"""What `summary.json` says at the end of an archive: how much, how fast, how busy, and what failed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from uss_ray.errors import ConfigError
from uss_ray.wording import without_secrets

SUMMARY_VERSION = 1
_HOUR_SECONDS = 3600.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordingCounts:
    """Recordings of a run by what became of them; each counts once.

    Parameters
    ----------
    separated : int, default=0
        Done in this run.
    failed : int, default=0
        In the index with a reason.
    unfinished : int, default=0
        Neither: the run was stopped before, or the store or a disk gave out.
    skipped : int, default=0
        Separated in an earlier run, and still in the input.
    failed_before : int, default=0
        Failed in an earlier run, still in the input, and not tried again.
    """

    separated: int = 0
    failed: int = 0
    unfinished: int = 0
    skipped: int = 0
    failed_before: int = 0

    def __post_init__(self) -> None:
        _check_not_negative(self, "recordings")

    @property
    def total(self) -> int:
        """All of them."""
        return self.separated + self.failed + self.unfinished + self.skipped + self.failed_before


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageSummary:
    """One stage of the pipeline.

    Parameters
    ----------
    name : str
        Such as `decode` or `separate`.
    workers : int
        How many processes did this at a time, at most.
    busy_seconds : float
        Time they worked, added up.
    peak_memory_bytes : int or None, default=None
        The most that one of them held, where it was measured.
    """

    name: str
    workers: int
    busy_seconds: float
    peak_memory_bytes: int | None = None

    def __post_init__(self) -> None:
        _check_not_negative(self, f"stage {self.name}")

    def utilisation(self, *, wall_seconds: float) -> float | None:
        """Tell which part of their time the workers were busy, 0 to about 1; None without workers or time."""
        available = self.workers * wall_seconds
        return self.busy_seconds / available if available > 0 else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSummary:
    """A finished run of an archive in plain values.

    Parameters
    ----------
    run_id : str
        Name of the run.
    input, output : str
        Places: the archive and the output root.
    software_version, ray_version : str
        What ran.
    started_at, ended_at : datetime
        With a time zone.
    wall_seconds : float
        How long it took.
    audio_hours : float
        Length of the recordings that were separated in this run.
    recordings : RecordingCounts
        By what became of them.
    stems : int
        Stems written in this run, residuals not counted.
    stem_bytes : int
        Size of the files of these, residuals not counted.
    stages : tuple of StageSummary, default=()
        In the order of the pipeline.
    passed_over : mapping, default={}
        Files that are no recordings; see `passed_over.PassedOver.record`.
    changed : mapping, default={}
        Recordings with another content than when they were done: `count`, and some `examples`.
    duplicates : mapping, default={}
        Rows of the input with the id of another one, which were left out: `count`, and some `examples`.
    failures : mapping of str to int, default={}
        Recordings that failed, in this run or before, by kind of reason; see `failures.FailureTally.most_common`.

    Raises
    ------
    ConfigError
        If a number is below zero.
    """

    run_id: str
    input: str
    output: str
    software_version: str
    ray_version: str
    started_at: datetime
    ended_at: datetime
    wall_seconds: float
    audio_hours: float
    recordings: RecordingCounts
    stems: int
    stem_bytes: int
    stages: tuple[StageSummary, ...] = ()
    passed_over: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    changed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    duplicates: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    failures: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_not_negative(self, "summary")

    @property
    def hours_per_hour(self) -> float | None:
        """Hours of sound separated in an hour; None if no time passed."""
        return self.audio_hours * _HOUR_SECONDS / self.wall_seconds if self.wall_seconds > 0 else None

    def to_json(self) -> str:
        """Give it as a JSON object, with the figures that follow from the others.

        Returns
        -------
        str
            ASCII, indented, with `version`, `hours_per_hour`, `recordings.total` and, for each stage,
            `utilisation`.
        """
        values: dict[str, Any] = {"version": SUMMARY_VERSION}
        for field in dataclasses.fields(self):
            values[field.name] = getattr(self, field.name)
            if field.name == "audio_hours":
                values["hours_per_hour"] = self.hours_per_hour
        values |= {
            "started_at": self.started_at.isoformat(),
            "ended_at": self.ended_at.isoformat(),
            "recordings": {"total": self.recordings.total, **dataclasses.asdict(self.recordings)},
            "stages": [
                dataclasses.asdict(stage) | {"utilisation": stage.utilisation(wall_seconds=self.wall_seconds)}
                for stage in self.stages
            ],
            "passed_over": dict(self.passed_over),
            "changed": dict(self.changed),
            "duplicates": dict(self.duplicates),
            "failures": dict(self.failures),
        }
        return without_secrets(json.dumps(values, indent=2, allow_nan=False)) + "\n"


def _check_not_negative(record: RecordingCounts | StageSummary | RunSummary, item: str) -> None:
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if isinstance(value, int | float) and not value >= 0:
            raise ConfigError(f"{item}, {field.name}", expected="a number of at least 0", found=str(value))
