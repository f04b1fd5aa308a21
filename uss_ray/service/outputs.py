"""The stems of a call at a place of its tenant: those of one call and all of them, or none.

::

    OUTPUT/.lease/...           who writes there, the same as of jobs: one output, one writer
           .separating.json     which folders the call makes; until its index is there, they are what a dead call left
           query/dog.flac       and so on: as `uss-ray separate` lays them out below the folder of a recording
           index.json           comes last

Fronts know nothing of each other, so all of it stands at the place itself.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

from uss_ray.api.owned import remove_folder
from uss_ray.api.staging import commit, staging_folder, sweep_staging
from uss_ray.errors import OutputError, UssRayError
from uss_ray.parsing import read_json
from uss_ray.records import INDEX_FOLDER
from uss_ray.results.layout import CALL_INDEX_NAME, RUN_NAME, is_own_file, is_own_name
from uss_ray.service.problems import Refusal
from uss_ray.store.lease import HeldError, hold_lease, holders_of
from uss_ray.store.store import Store

BEGUN_NAME = ".separating.json"

_RESULTS = (CALL_INDEX_NAME, RUN_NAME, INDEX_FOLDER)
_BEGUN_BYTES = 100_000


def check_free(output: Store) -> None:
    """Refuse a place before any work where results are, or somebody writes: `put_results` would refuse it after.

    Raises
    ------
    Refusal
        If there are, or somebody does.
    OutputError
        If it cannot be asked.
    """
    _refuse_results(output)
    for holder in holders_of(output)[:1]:
        raise _held(holder.holder())


def put_results(files: Mapping[str, bytes], index: bytes, *, output: Store) -> None:
    """Write stems to a place where nothing of the kind is, and the index last.

    Parameters
    ----------
    files : mapping of str to bytes
        By their names below the place.
    index : bytes
    output : Store

    Raises
    ------
    Refusal
        If somebody else writes there, or results are there; nothing of these files is there then.
    OutputError
        If they cannot be written; none of them is there then, unless they cannot be removed either: the next call
        removes them.
    """
    tops = sorted({name.partition("/")[0] for name in files})
    lost = threading.Event()
    try:
        with hold_lease(output, job="separate", on_lost=lambda _: lost.set()):
            _refuse_results(output)
            _remove_left(output)
            for top in tops:
                _refuse(output, top)
            try:
                (output / BEGUN_NAME).put(json.dumps(tops).encode())
                _write(files, tops, output=output, lost=lost)
                _go_on(lost)
                (output / CALL_INDEX_NAME).put(index)
            except BaseException:
                if not lost.is_set():
                    _take_back(output)
                raise
            with suppress(OutputError):  # beside an index it says nothing
                (output / BEGUN_NAME).remove()
    except HeldError as error:
        raise _held(error.found) from error


def _write(files: Mapping[str, bytes], tops: Sequence[str], *, output: Store, lost: threading.Event) -> None:
    if output.is_remote:
        for name, content in files.items():
            _go_on(lost)
            (output / name).put(content)
        return
    with staging_folder(output) as staging:
        for name, content in files.items():
            (Store(str(staging)) / name).put(content)
        _go_on(lost)
        for top in tops:  # by renames, which follow no links
            commit(staging, output=output, name=top)


def _take_back(output: Store) -> None:
    """Remove what a call has written that cannot go on; its index, too, for the answer that it is there may be lost."""
    with suppress(UssRayError):
        (output / CALL_INDEX_NAME).remove()
        _remove_left(output)


def _go_on(lost: threading.Event) -> None:
    if lost.is_set():
        raise _held("another that has taken over, as this call did not say in time that it lives")


def _remove_left(output: Store) -> None:
    """Remove what a call that died has left."""
    begun = output / BEGUN_NAME
    if not begun.exists():
        return
    if not output.is_remote:
        sweep_staging(output)
    try:
        tops = read_json(begun.read(most_bytes=_BEGUN_BYTES))
    except ValueError:
        tops = []
    for top in tops if isinstance(tops, list) else ():
        # Others may write to the place, too: it must not lead elsewhere.
        if isinstance(top, str) and "/" not in top and is_own_name(top):
            _remove(output, top)
    begun.remove()


def _remove(output: Store, top: str) -> None:
    place = output / top
    if output.is_remote or not place.local_path().is_file():
        remove_folder(output, top, is_own=lambda name: is_own_file(f"{top}/{name}"))
    if is_own_file(top):
        place.remove()


def has_results(output: Store) -> bool:
    """Tell whether results are at a place, of a call or of a job."""
    return any((output / name).exists() for name in _RESULTS)


def _refuse_results(output: Store) -> None:
    for name in _RESULTS:
        _refuse(output, name)


def _refuse(output: Store, name: str) -> None:
    place = output / name
    if place.exists() or not (output.is_remote or place.is_gone()):
        raise Refusal("output", expected="a place without results", found=f"{name} in {output}", status=409)


def _held(holder: str) -> Refusal:
    return Refusal("output", expected="a place that nobody else writes to", found=holder, status=409)
