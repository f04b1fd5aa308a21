"""Which run the results below an output root belong to; results of two runs are never mixed."""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from uss_ray.api.owned import Owned
from uss_ray.config import flat_settings
from uss_ray.errors import DataError, OccupiedError
from uss_ray.parsing import read_object
from uss_ray.results.index.table import INDEX_VERSION, RunFacts
from uss_ray.results.layout import CALL_INDEX_NAME, RUN_NAME
from uss_ray.store.store import Store
from uss_ray.version import VERSION
from uss_ray.wording import without_secrets

RESULTS_VERSION = 1
"""Raised by whoever changes which samples the same settings give. Results of two are not mixed."""

LAST_BIT_VERSION = 5
"""Raised by whoever changes the last bit of samples alone, a few at an end, or those of odd recordings alone. A run of
another goes on, and says so.

2: WAV stems of integers are rounded; before, they were cut down (docs/adr/0095).
3: a recording that ends between two frames has no click at its end (docs/adr/0104).
4: Vorbis and Opus of 3 or more channels have them in the order of the stems, damaged MP3 goes on (docs/adr/0034).
5: what is missing within a file that FFmpeg decodes is silence (docs/adr/0034).
"""

_FORMAT_VERSION = 2
_OVERWRITING = "overwriting"
_SHARDS_DONE = "shards_done"
_PROGRAMS = ("torch", "numpy", "soxr", "soundfile", "av")
"""What bits may depend on, the last ones of a sample more than others."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RunIdentity:
    """What makes two runs the same: input, weights, settings, and what the program makes of them.

    Parameters
    ----------
    archive : str
        Where the recordings or clips come from: the place that is meant, however it was written.
    weights_name, weights_sha256 : str
    settings : dict
        What shapes the results.
    threads : int
        CPU threads of a worker's networks. A resumed run keeps those of its first start, for the last bit of a sample
        may depend on them.
    results_version : int
        See `RESULTS_VERSION`.
    index_version : int
        The latest that was written there.
    programs : dict of str to str
        Versions of this program and of the libraries that take part in every bit. Another one goes on, and says so.
    last_bit_version : int
        See `LAST_BIT_VERSION`; of who wrote there last.
    format_version : int
        Of `run.json`; version 1 had other names of settings, and could hold `-Infinity`.
    """

    archive: str
    weights_name: str
    weights_sha256: str
    settings: dict[str, Any]
    threads: int
    results_version: int = RESULTS_VERSION
    index_version: int = INDEX_VERSION
    programs: dict[str, str] = field(default_factory=lambda: _programs_here())
    last_bit_version: int = LAST_BIT_VERSION
    format_version: int = _FORMAT_VERSION

    @classmethod
    def of(cls, archive: str, *, run: RunFacts, threads: int) -> RunIdentity:
        """Put together the identity of a run that is about to start."""
        return cls(
            archive=_resolved(archive),
            weights_name=run.weights_name,
            weights_sha256=run.weights_sha256,
            settings=json.loads(run.settings),
            threads=threads,
        )

    @classmethod
    def from_record(cls, record: dict[str, Any], *, item: str) -> RunIdentity:
        """Read what `record` gave; raises DataError that names `item` if it is something else."""
        try:
            return cls(
                **{
                    name: record[name]
                    for name in ("archive", "weights_name", "weights_sha256", "settings", "threads")
                },
                results_version=int(record.get("results_version", 1)),
                index_version=int(record.get("index_version", 1)),
                programs=dict(record.get("programs", {"uss-ray": record["uss_ray_version"]})),
                last_bit_version=int(record.get("last_bit_version", 1)),
                format_version=int(record["format_version"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(item, expected="the identity of a run", found=str(error)) from error

    def record(self) -> dict[str, Any]:
        """Give what `run.json` holds."""
        return {
            "format_version": self.format_version,
            "archive": self.archive,
            "weights_name": self.weights_name,
            "weights_sha256": self.weights_sha256,
            "settings": self.settings,
            "threads": self.threads,
            "results_version": self.results_version,
            "index_version": self.index_version,
            "programs": self.programs,
            "last_bit_version": self.last_bit_version,
            "uss_ray_version": VERSION,
            "created_at": datetime.now(UTC).isoformat(),
        }

    def other_programs(self, earlier: RunIdentity) -> str:
        """Name the programs whose versions are not as they were, in a few words."""
        others = [
            f"{name} {self.programs.get(name, 'none')} instead of {its}"
            for name, its in sorted(earlier.programs.items())
            if self.programs.get(name, "none") != its
        ]
        if self.last_bit_version != earlier.last_bit_version:
            others.append(f"samples of version {self.last_bit_version} instead of {earlier.last_bit_version}")
        return ", ".join(others)

    def differences(self, earlier: RunIdentity) -> str:
        """Name what is not as it was, in a few words; empty for the same run."""
        different = []
        for name, now, then in (
            ("input", self.archive, _resolved(earlier.archive)),
            ("weights", self.weights_sha256, earlier.weights_sha256),
        ):
            if now != then:
                different.append(f"{name} {then[:200]}")
        if earlier.format_version != self.format_version:
            # The names of settings were others; which of them differ would be a list of all.
            return ", ".join([*different, f"settings in format {earlier.format_version} of {RUN_NAME}"])
        if earlier.results_version != self.results_version:
            different.append(f"results of version {earlier.results_version}, not {self.results_version}")
        if earlier.index_version > self.index_version:
            different.append(f"an index of version {earlier.index_version}, later than {self.index_version}")
        mine, its = flat_settings(self.settings), flat_settings(earlier.settings)
        different += [
            f"{name} {its.get(name)}"
            for name in sorted(mine.keys() | its.keys())
            if mine.get(name) != its.get(name)
        ]
        return ", ".join(different)


def open_run(
    identity: RunIdentity, *, output: Store, owned: Owned, overwrite: bool = False
) -> tuple[RunIdentity, bool]:
    """Begin a run below its output root, or find the one that is there.

    Parameters
    ----------
    identity : RunIdentity
        Of the run that is to start.
    output : Store
        Output root.
    owned : Owned
        What below it tells of results.
    overwrite : bool, default=False
        Remove what is there of an earlier run; otherwise go on with it. So does a run that starts over what the same
        one had begun to, and did not bring to success: it was killed, or failed and is tried again.

    Returns
    -------
    identity : RunIdentity
        The one to go on with.
    resumed : bool
        Whether it was there.

    Raises
    ------
    OccupiedError
        If results of another run are there, or of none; to overwrite: if tables are in its folders that no run wrote,
        or any such files, and no run.
    OutputError
        If the root cannot be written.
    """
    location = output / RUN_NAME
    there = location.read() if location.exists() else None
    if overwrite:
        if there is None or not _is_overwriting(identity, there, item=str(location)):
            _refuse_others(there, output=output, owned=owned)
            owned.remove(output)
            _put(identity.record() | {_OVERWRITING: {_SHARDS_DONE: []}}, location)
            return identity, False
        logger.warning(
            "going on with what an earlier start that overwrites has done: it has not succeeded yet"
        )
    earlier = _same_run(identity, there, output=output, owned=owned)
    if earlier is not None and there is not None:
        return _went_on(identity, earlier, there, location=location), True
    _put(identity.record(), location)
    return identity, False


def counts_already(identity: RunIdentity, *, output: Store, owned: Owned, overwrite: bool = False) -> bool:
    """Tell whether a run would go on with what is below its output root; nothing is written.

    Parameters
    ----------
    identity, output, owned, overwrite
        As of `open_run`.

    Raises
    ------
    OccupiedError
        As `open_run`.
    """
    location = output / RUN_NAME
    there = location.read() if location.exists() else None
    if overwrite:
        if there is not None and _is_overwriting(identity, there, item=str(location)):
            return True
        _refuse_others(there, output=output, owned=owned)
        return False
    return _same_run(identity, there, output=output, owned=owned) is not None


def _refuse_others(there: bytes | None, *, output: Store, owned: Owned) -> None:
    """Refuse to start over where files are in the folders of a run that none has written.

    Where a run is, as its `run.json` says, such files stay, and are in nobody's way, but for tables: they would count
    as results of the new run. Where none is, the folders are somebody else's.
    """
    record: dict[str, Any] = {}
    if there is not None:
        with suppress(DataError):  # half a file: that of a run
            record = _parsed(there, item=str(output / RUN_NAME))
        if "format_version" in record:
            if (table := owned.foreign_table(output)) is not None:
                raise OccupiedError(
                    str(output),
                    expected=f"no tables of others in {table.partition('/')[0]}/, where all of them count as results",
                    found=table,
                )
            return
        if record:
            raise OccupiedError(
                str(output),
                expected="no results yet, or those of a run",
                found=f"another program's {RUN_NAME}",
            )
    if (foreign := owned.foreign(output)) is not None:
        raise OccupiedError(
            str(output),
            expected="nothing but results in the folders of a run, or another folder",
            found=f"{foreign}, which none has written, and no {RUN_NAME}",
        )


def _same_run(
    identity: RunIdentity, there: bytes | None, *, output: Store, owned: Owned
) -> RunIdentity | None:
    """Read the identity of the same run; None where there are no results, of whatever run."""
    if there is not None:
        item = str(output / RUN_NAME)
        earlier = RunIdentity.from_record(_parsed(there, item=item), item=item)
        differences = identity.differences(earlier)
        if differences:
            raise OccupiedError(
                str(output),
                expected="no results yet, those of the same run, or another folder",
                found=f"results with {differences}",
            )
        return earlier
    for name in (*owned.folders, CALL_INDEX_NAME):
        if (output / name).exists():
            raise OccupiedError(
                str(output),
                expected="no results yet, or another folder",
                found=f"{name} without {RUN_NAME}",
            )
    return None


def _went_on(identity: RunIdentity, earlier: RunIdentity, there: bytes, *, location: Store) -> RunIdentity:
    """Say that another version goes on, and note it: the next one is told what has written there last."""
    others = identity.other_programs(earlier)
    if others:
        logger.warning("going on with %s: samples may differ slightly", others)
    if others or identity.index_version != earlier.index_version:
        record = _parsed(there, item=str(location))
        record |= {
            "programs": identity.programs,
            "index_version": identity.index_version,
            "last_bit_version": identity.last_bit_version,
        }
        _put(record, location)
    return replace(
        earlier,
        programs=identity.programs,
        index_version=identity.index_version,
        last_bit_version=identity.last_bit_version,
    )


def read_identity(location: Store) -> RunIdentity:
    """Read the `run.json` of a run.

    Raises
    ------
    DataError
        If it is damaged or something else.
    OutputError
        If it cannot be read.
    """
    item = str(location)
    return RunIdentity.from_record(_parsed(location.read(), item=item), item=item)


def end_overwriting(output: Store, *, shard: tuple[int, int] | None = None) -> None:
    """Note that a run has succeeded: the next one with `--overwrite` starts over. Of shards, all have to.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    location = output / RUN_NAME
    record = _parsed(location.read(), item=str(location))
    if _OVERWRITING not in record:
        return
    if shard is not None:
        done = {tuple(each) for each in record[_OVERWRITING][_SHARDS_DONE]} | {shard}
        record[_OVERWRITING][_SHARDS_DONE] = sorted(done)
    if shard is None or done >= {(part, shard[1]) for part in range(1, shard[1] + 1)}:
        del record[_OVERWRITING]
    _put(record, location)


def _resolved(archive: str) -> str:
    place = Store(archive)
    return without_secrets(archive.rstrip("/")) if place.is_remote else os.path.realpath(place.root)


def _is_overwriting(identity: RunIdentity, there: bytes, *, item: str) -> bool:
    """Tell whether the same run has begun to start over, and has not succeeded since."""
    try:
        record = _parsed(there, item=item)
        earlier = RunIdentity.from_record(record, item=item)
    except DataError:
        return False
    is_same = not identity.differences(earlier) and not identity.other_programs(earlier)
    return is_same and _OVERWRITING in record


def _programs_here() -> dict[str, str]:
    found = {"uss-ray": VERSION}
    for name in _PROGRAMS:
        with suppress(PackageNotFoundError):  # an extra
            found[name] = version(name)
    return found


def _parsed(text: bytes, *, item: str) -> dict[str, Any]:
    return read_object(text, item=item, expected="the identity of a run")


def _put(record: dict[str, Any], location: Store) -> None:
    location.put(json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False).encode())
