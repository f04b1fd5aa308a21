"""Which run the results below an output root belong to; results of two runs are never mixed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from uss_ray.errors import DataError, OutputError
from uss_ray.results.index.table import RunFacts
from uss_ray.store.store import Store

RUN_NAME = "run.json"
_FORMAT_VERSION = 2


@dataclass(frozen=True, kw_only=True)
class RunIdentity:
    """What makes two runs the same: input, weights, settings.

    Parameters
    ----------
    archive : str
        Where the recordings or clips come from.
    weights_name, weights_sha256 : str
    settings : dict
        What shapes the results.
    threads : int
        CPU threads of a worker's networks. A resumed run keeps those of its first start, for the last bit of a sample
        may depend on them.
    format_version : int
        Of `run.json`; version 1 had other names of settings, and could hold `-Infinity`.
    """

    archive: str
    weights_name: str
    weights_sha256: str
    settings: dict[str, Any]
    threads: int
    format_version: int = _FORMAT_VERSION

    @classmethod
    def of(cls, archive: str, *, run: RunFacts, threads: int) -> RunIdentity:
        """Put together the identity of a run that is about to start."""
        return cls(
            archive=archive.rstrip("/"),
            weights_name=run.weights_name,
            weights_sha256=run.weights_sha256,
            settings=json.loads(run.settings),
            threads=threads,
        )

    def differences(self, earlier: RunIdentity) -> str:
        """Name what is not as it was, in a few words; empty for the same run."""
        different = []
        for name, now, then in (
            ("input", self.archive, earlier.archive),
            ("weights", self.weights_sha256, earlier.weights_sha256),
        ):
            if now != then:
                different.append(f"{name} {then[:60]}")
        if earlier.format_version != self.format_version:
            # The names of settings were others; which of them differ would be a list of all.
            return ", ".join([*different, f"settings in format {earlier.format_version} of {RUN_NAME}"])
        mine, its = _flat(self.settings), _flat(earlier.settings)
        different += [
            f"{name} {its.get(name)}"
            for name in sorted(mine.keys() | its.keys())
            if mine.get(name) != its.get(name)
        ]
        return ", ".join(different)


def open_run(
    identity: RunIdentity, *, output: Store, results_folder: str, start_over: Callable[[], None] | None = None
) -> tuple[RunIdentity, bool]:
    """Begin a run below its output root, or find the one that is there.

    Parameters
    ----------
    identity : RunIdentity
        Of the run that is to start.
    output : Store
        Output root.
    results_folder : str
        Folder below it that tells of results.
    start_over : callable, optional
        Removes what is there of an earlier run; None goes on with it.

    Returns
    -------
    identity : RunIdentity
        The one to go on with.
    resumed : bool
        Whether it was there.

    Raises
    ------
    OutputError
        If results of another run are there, or the root cannot be written.
    """
    location = output / RUN_NAME
    if start_over is not None:
        start_over()
    elif location.exists():
        earlier = _read(location)
        differences = identity.differences(earlier)
        if differences:
            raise OutputError(
                str(output),
                expected="no results yet, those of the same run, or --version NAME for a folder beside them",
                found=f"results with {differences}",
            )
        return earlier, True
    elif (output / results_folder).exists():
        raise OutputError(
            str(output),
            expected="no results yet, or --version NAME for a folder beside them",
            found=f"{results_folder}/ without {RUN_NAME}",
        )
    _write(identity, location)
    return identity, False


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": inner for key, inner in _flat(value).items()}
        else:
            flat[name] = value
    return flat


def _read(location: Store) -> RunIdentity:
    try:
        record = json.loads(location.read())
        return RunIdentity(
            **{
                name: record[name]
                for name in ("archive", "weights_name", "weights_sha256", "settings", "threads")
            },
            format_version=int(record["format_version"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(str(location), expected="the identity of a run", found=str(error)) from error


def _write(identity: RunIdentity, location: Store) -> None:
    record = {
        "format_version": _FORMAT_VERSION,
        "archive": identity.archive,
        "weights_name": identity.weights_name,
        "weights_sha256": identity.weights_sha256,
        "settings": identity.settings,
        "threads": identity.threads,
        "uss_ray_version": version("uss-ray"),
        "created_at": datetime.now(UTC).isoformat(),
    }
    location.put(json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False).encode())
