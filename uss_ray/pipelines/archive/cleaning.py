"""What a run removes: results that no longer count, and spans that nobody will join any more."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from uss_ray.api.owned import Owned, remove_folder
from uss_ray.pipelines.archive.ledger import content_of_part, last_rows
from uss_ray.results.layout import OWN_FOLDERS, OWN_PARTS, PARTS_FOLDER
from uss_ray.results.stems.part_files import PART_NAME
from uss_ray.store.store import FoundFile, Store

OWNED: Final = Owned(OWN_FOLDERS)
"""What tells that results of an archive count: its index and the spans of long recordings. Stems are not of it: they
stay until those of the new run replace them."""


def forget_done_parts(output: Store, *, failed: Collection[int] = ()) -> None:
    """Remove the spans of long recordings that are joined, or have failed since.

    Those of a recording that is being done again stay, of another content or after a failure: the next run goes on with
    them. The index is read only if there are spans.

    Parameters
    ----------
    output : Store
    failed : collection of int, default=()
        Keys of those that have failed in the run that ends here. Other workers may have written spans of them after
        that; without this they would stay, and later runs pass over what has failed.

    Raises
    ------
    OutputError
        If they cannot be read or removed.
    """
    place = output / PARTS_FOLDER
    if not place.exists():
        return
    spans: dict[str, list[FoundFile]] = {}
    for file in place.files():
        name = file.place.relative_to(place)
        if OWN_FOLDERS[PARTS_FOLDER].fullmatch(name):
            spans.setdefault(name.partition("/")[0], []).extend([file] * name.endswith(f"/{PART_NAME}"))
    if not spans:
        return
    done = last_rows(output)
    for name, parts in sorted(spans.items()):
        written_at = max((part.changed_at or 0.0 for part in parts), default=0.0)
        contents = (content_of_part(part.place.parent) for part in parts)  # read only where they decide
        key = int(name, 16)
        if key in failed or done.are_of(key, contents=contents, written_at=written_at):
            remove_folder(output, f"{PARTS_FOLDER}/{name}", is_own=OWN_PARTS.fullmatch)
