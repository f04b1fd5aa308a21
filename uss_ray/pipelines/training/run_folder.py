"""The files of a training run: its settings and identity, metrics, what went wrong.

settings.yaml     everything resolved as the latest start had it, as a file that can be given back
identity.json     what a run that goes on must agree on
metrics.jsonl     a line each some steps
validations.jsonl a line a validation
validations/      sound of some mixtures of each: mixture, target, estimate
curve.svg         losses and scores, as they were at the last checkpoint
tensorboard/      the same as an event file, where it was asked for
bad_batch-*.json  the items of a step whose loss was not finite; their sound and conditions beside it as safetensors
hardware.jsonl    a line a start: from which step, on how many workers of which kind, with which versions
checkpoints/      see `checkpoints`
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from uss_ray.config import Settings, flat_settings, to_yaml
from uss_ray.errors import ConfigError, DataError, OutputError
from uss_ray.parsing import read_object
from uss_ray.pipelines.training.checkpoints import (
    DamagedCheckpointError,
    find_checkpoints,
    identity_sha256_of,
    read_checkpoint,
    read_facts,
    remove_old_checkpoints,
    save_checkpoint,
    tensor_bytes,
)
from uss_ray.pipelines.training.curve import draw_curve
from uss_ray.pipelines.training.request import SETTINGS_NAME
from uss_ray.pipelines.training.scores import alike, comparable, measured_on, score_name
from uss_ray.store.store import Store
from uss_ray.training.fit import TrainingState
from uss_ray.version import VERSION

_log = logging.getLogger(__name__)

IDENTITY_NAME = "identity.json"
METRICS_NAME = "metrics.jsonl"
VALIDATIONS_NAME = "validations.jsonl"
VALIDATION_FOLDER = "validations"
CURVE_NAME = "curve.svg"
BAD_BATCH_PREFIX = "bad_batch-"
HARDWARE_NAME = "hardware.jsonl"
_SHOWN = 60  # of a line that is none
_REMOTE_SECONDS = 30.0  # between two uploads of the metrics


class RunFolder:
    """Where a run is kept, on a disk or in an object store.

    Parameters
    ----------
    place : Store
    identity : mapping of str to object
        JSON values: what shapes the parameters, settings and data.
    seed : int
        Of the run.
    tensorboard : bool, default=False
        Whether an event file is kept up.
    defaults : collection of str, default=()
        Names in the identity, parts joined by dots, of settings that have their defaults: a run that was begun before
        there were such settings is the same one.
    """

    def __init__(
        self,
        place: Store,
        *,
        identity: Mapping[str, Any],
        seed: int,
        tensorboard: bool = False,
        defaults: Collection[str] = (),
    ) -> None:
        self.place = place
        self._defaults = frozenset(defaults)
        self._tensorboard = tensorboard
        self.seed = seed
        self._identity = dict(identity)
        self._lines: list[dict[str, Any]] = []
        self._validations: list[dict[str, Any]] = []
        self._written_at = float("-inf")

    def open(self, settings: Settings) -> None:
        """Begin the run, or find that the same one is there.

        Raises
        ------
        ConfigError
            If a run with other settings or data is there; names the first that differs.
        OutputError
            If it cannot be written.
        """
        self.check()
        identity = self._identity_there() or self._identity
        # Places, a licence or a list may be others than at the first start; exports go by what holds now.
        told, text = self.place / SETTINGS_NAME, to_yaml(settings).encode()
        if not told.exists() or told.read() != text:
            told.put(text)
        place = self.place / IDENTITY_NAME
        if not place.exists():
            place.put((json.dumps(identity, indent=2, sort_keys=True, allow_nan=False) + "\n").encode())
        self.reopen()

    def check(self, *, without: str | None = None) -> None:
        """Refuse to go on with another run than this. Raises ConfigError as `open` does.

        Parameters
        ----------
        without : str, optional
            A name in the identity that may differ.
        """
        different = [found for found in self.differences() if found[0] != without]
        if different:
            name, mine, its = different[0]
            raise ConfigError(
                f"training run {self.place}",
                expected=f"{name} {its}, as the run there, or another output",
                found=mine,
            )

    def differences(self) -> list[tuple[str, str, str]]:
        """Name what of a run that is there is not as of this one, with this and that; none where there is no run."""
        there = self._identity_there()
        return [] if there is None else _differences(self._identity, there, defaults=self._defaults)

    def reopen(self) -> None:
        """Read what is there, on a worker of a run that is open."""
        self._identity = (
            self._identity_there() or self._identity
        )  # checkpoints name the one that it began with
        self._lines = read_lines(self.place / METRICS_NAME)
        self._validations = read_lines(self.place / VALIDATIONS_NAME)

    def _identity_there(self) -> dict[str, Any] | None:
        place = self.place / IDENTITY_NAME
        if place.exists():
            return read_object(
                place.raising(DataError).read(), item=str(place), expected="the identity of a run"
            )
        found = find_checkpoints(self.place)
        return read_facts(found[-1]).identity if found else None

    @property
    def last_validation(self) -> Mapping[str, Any]:
        """The line that was added last."""
        return self._validations[-1]

    def is_validated(self, step: int, *, on: Mapping[str, Any]) -> bool:
        """Tell whether the state of a step was scored on that, and nothing was scored on anything else since."""
        last = comparable(self._validations)
        return any(line["step"] == step and measured_on(line) == on for line in last)

    def add_metrics(self, line: Mapping[str, Any]) -> None:
        """Add a line to the metrics; in an object store it shows within half a minute.

        A store that is away is no reason to end: the lines are kept, and the next checkpoint says so.
        """
        self._lines.append({**line, "at": round(time.time(), 3)})
        if not self.place.is_remote or time.monotonic() - self._written_at >= _REMOTE_SECONDS:
            try:
                self.flush()
            except OutputError as error:
                _log.warning("%s", error)

    def flush(self) -> None:
        """Write the metrics."""
        self._written_at = time.monotonic()
        (self.place / METRICS_NAME).put(_lines(self._lines))

    def forget_after(self, step: int) -> None:
        """Drop the lines of steps that are done again."""
        kept = [line for line in self._lines if line["step"] <= step]
        if kept != self._lines:
            self._lines = kept
            self.flush()
        scored = [line for line in self._validations if line["step"] <= step]
        if scored != self._validations:
            self._validations = scored
            (self.place / VALIDATIONS_NAME).put(_lines(scored))

    def add_validation(self, line: Mapping[str, Any], *, heard: Mapping[str, bytes]) -> None:
        """Add a line to the validations; one of the same step is replaced, if it was measured on the same.

        Parameters
        ----------
        line : mapping of str to object
            JSON values, `step` and a score (see `scores`) among them.
        heard : mapping of str to bytes
            Files of sound by their names.
        """
        for name, data in heard.items():
            (self.place / VALIDATION_FOLDER / f"step-{line['step']:09d}" / name).put(data)
        self._validations = [
            known
            for known in self._validations
            if known["step"] < line["step"] or measured_on(known) != measured_on(line)
        ]
        self._validations.append(dict(line))
        (self.place / VALIDATIONS_NAME).put(_lines(self._validations))
        self._show()

    def _show(self) -> None:
        """Draw what the lines tell."""
        scored = comparable(self._validations)
        (self.place / CURVE_NAME).put(draw_curve(self._lines, scored).encode())
        if self._tensorboard:
            from uss_ray.pipelines.training.tensorboard import EVENTS_NAME, event_file

            (self.place / EVENTS_NAME).put(event_file(self._lines, scored))

    def load(self) -> TrainingState | None:
        """Read the newest checkpoint; None where there is none.

        Raises
        ------
        DataError
            If it is damaged, or of another configuration.
        """
        found = find_checkpoints(self.place)
        if not found:
            return None
        try:
            facts, state = read_checkpoint(found[-1])
        except DamagedCheckpointError as error:
            if len(found) == 1:
                raise
            otherwise = f"without {found[-1].name}, the run goes on from {found[-2].name}"
            raise DamagedCheckpointError(
                error.item, expected=f"{error.expected} ({otherwise})", found=error.found
            ) from error
        if facts.identity_sha256 != identity_sha256_of(self._identity):
            different = (
                [] if facts.identity is None else _differences(self._identity, facts.identity, defaults=())
            )
            name, mine, its = different[0] if different else ("configuration", "this one", "another")
            raise DataError(
                str(found[-1]), expected=f"a checkpoint of this run, of {name} {mine}", found=f"one of {its}"
            )
        return state

    def save(self, state: TrainingState, *, keep: int) -> None:
        """Write a checkpoint and the metrics, and remove the oldest ones, but for the best on each list."""
        save_checkpoint(state, run=self.place, identity=self._identity)
        self.flush()
        self._show()
        # The best on a list of before is the best again when a run is scored on that again.
        remove_old_checkpoints(
            self.place, keep=keep, also={_best(lines) for lines in alike(self._validations)}
        )

    def add_hardware(self, step: int, *, workers: int, kind: str) -> None:
        """Tell what the run is done on and with from a step on; warn where it is not what it was done with before."""
        place = self.place / HARDWARE_NAME
        before = [line for line in read_lines(place) if line["step"] < step]
        now = {"uss-ray": VERSION, "torch": torch.__version__, "numpy": np.__version__}
        then = before[-1].get("programs", now) if before else now
        others = [
            f"{name} {now[name]} instead of {its}" for name, its in then.items() if now.get(name) != its
        ]
        if others:
            _log.warning("going on with %s: the last bits of what follows may be others", ", ".join(others))
        place.put(_lines([*before, {"step": step, "workers": workers, "kind": kind, "programs": now}]))

    def keep_bad_batch(
        self, step: int, *, names: Sequence[str], tensors: Mapping[str, Tensor], rank: int
    ) -> str:
        """Write the items of a worker's part of a step; give the file that names them."""
        place = self.place / f"{BAD_BATCH_PREFIX}{step:09d}-{rank}.json"
        (self.place / f"{BAD_BATCH_PREFIX}{step:09d}-{rank}.safetensors").put(tensor_bytes(tensors))
        place.put((json.dumps({"step": step, "items": list(names)}, indent=2) + "\n").encode())
        return str(place)


def is_scored(run: Store, step: int) -> bool:
    """Tell whether the state of a step was scored, on what the last one was."""
    return any(line["step"] == step for line in comparable(read_lines(run / VALIDATIONS_NAME)))


def best_validated(run: Store) -> int:
    """Find the step of the best validation, among those on what the last one was measured on.

    Raises
    ------
    DataError
        If there is none.
    """
    lines = read_lines(run / VALIDATIONS_NAME)
    if not lines:
        raise DataError(f"training run {run}", expected="a validation", found="none")
    return _best(comparable(lines))


def _best(validations: Sequence[Mapping[str, Any]]) -> int:
    return int(max(validations, key=lambda line: (line[score_name(line)], line["step"]))["step"])


def told_at(run: Store, step: int) -> dict[str, Any]:
    """Give what a run's files tell of a state, as JSON values: what it was made on, and how it was scored."""
    used = [line for line in read_lines(run / HARDWARE_NAME) if line["step"] < max(step, 1)]
    told: dict[str, Any] = {
        "hardware": "; ".join(f"{line['workers']} × {line['kind']} from step {line['step']}" for line in used)
    }
    scored = [line for line in read_lines(run / VALIDATIONS_NAME) if line["step"] == step]
    if scored:
        told["validation"] = {name: value for name, value in scored[-1].items() if name != "classes"}
    return {name: value for name, value in told.items() if value}


def read_lines(place: Store) -> list[dict[str, Any]]:
    """Read a file of JSON lines; none where it is not there.

    Raises
    ------
    DataError
        If a line is no JSON object of a step; names the line.
    """
    if not place.exists():
        return []
    lines: list[dict[str, Any]] = []
    for number, text in enumerate(place.raising(DataError).read().splitlines(), start=1):
        item, expected = f"{place} line {number}", "a JSON object with a step"
        line = read_object(text, item=item, expected=expected)
        if not isinstance(line.get("step"), int):
            raise DataError(item, expected=expected, found=text.decode(errors="replace")[:_SHOWN])
        lines.append(line)
    return lines


def _lines(lines: Sequence[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines).encode()


def _differences(
    now: Mapping[str, Any], then: Mapping[str, Any], *, defaults: Collection[str]
) -> list[tuple[str, str, str]]:
    mine, its = flat_settings(now), flat_settings(then)
    unknown_then = {name for name in defaults if not any(part in its for part in _ancestry(name))}
    return [
        (name, str(mine.get(name)), str(its.get(name)))
        for name in sorted((mine.keys() | its.keys()) - unknown_then)
        if mine.get(name) != its.get(name)
    ]


def _ancestry(name: str) -> list[str]:
    """Give a name and those that it lies below: a part that was off has no settings that it could lack."""
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
