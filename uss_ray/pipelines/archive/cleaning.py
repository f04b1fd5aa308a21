"""What a run removes: results that no longer count, and spans that nobody will join any more."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import numpy as np

from uss_ray.api.owned import Owned, remove_folder
from uss_ray.pipelines.archive.ledger import Ledger, is_in
from uss_ray.results.layout import OWN_FOLDERS, OWN_PARTS, PARTS_FOLDER
from uss_ray.store.store import Store

OWNED: Final = Owned(OWN_FOLDERS)
"""What tells that results of an archive count: its index and the spans of long recordings. Stems are not of it: they
stay until those of the new run replace them."""

_KEY = re.compile("[0-9a-f]{16}")


def forget_done_parts(output: Store, read: Callable[[], Ledger]) -> None:
    """Remove the spans of long recordings that are joined or have failed.

    Parameters
    ----------
    output : Store
    read : callable
        Gives what is done; asked only if there are spans.

    Raises
    ------
    OutputError
        If they cannot be removed.
    """
    place = output / PARTS_FOLDER
    if not place.exists():
        return
    names = {file.relative_to(place).split("/")[0] for file in place.list()}
    spans = sorted(name for name in names if _KEY.fullmatch(name))
    if not spans:
        return
    ledger = read()
    for name in spans:
        key = np.array([int(name, 16)], dtype=np.int64)
        if is_in(key, ledger.separated)[0] or is_in(key, ledger.failed)[0]:
            remove_folder(output, f"{PARTS_FOLDER}/{name}", is_own=OWN_PARTS.fullmatch)
