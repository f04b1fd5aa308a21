"""What tenants bring along: recordings and manifests in their own part of the store, for a while.

::

    STORE/uploads/<tenant>/<name>      as it came; the same name again replaces it
    STORE/promised/<tenant>/<until>-<bytes>-<digest of the name>     an address that the store itself takes one at

When it came is what the store says; what went to the store itself by a presigned address is like any other. Until such
an address is over, what may come by it takes room.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from uss_ray.errors import OutputError, UssRayError
from uss_ray.service.places import Place, name_of, place_of
from uss_ray.service.problems import Refusal
from uss_ray.service.settings import Limits
from uss_ray.store.store import FoundFile, Store
from uss_ray.store.systems import S3_SCHEMES

logger = logging.getLogger(__name__)

PRESIGNED_SECONDS = 900

_FOLDER, _PROMISED = "uploads", "promised"
_PROMISE = re.compile(r"([0-9]+)-([0-9]+)-([0-9a-f]{64})")
_CLASHES = (NotADirectoryError, IsADirectoryError, FileExistsError)


class Uploads:
    """The uploads of a store.

    Parameters
    ----------
    store : Store
        Root of what the service keeps.
    limits : Limits
    presign : bool
        Whether uploads may go to the store itself.
    """

    def __init__(self, store: Store, limits: Limits, *, presign: bool) -> None:
        self._root = store.absolute() / _FOLDER
        self._promised = store.absolute() / _PROMISED
        self._limits = limits
        self._presign = presign and store.scheme in S3_SCHEMES

    def prefixes_of(self, tenant: str) -> tuple[str, ...]:
        """Tell where the uploads of a tenant lie; nothing if the store's own place is none that a client could name."""
        folder = str(self._root / tenant)
        try:
            place_of(folder, item="store")
        except Refusal:
            logger.warning("uploads cannot be named below %s", folder)
            return ()
        return (folder,)

    def place(self, tenant: str, name: str) -> Store:
        """Tell where an upload lies.

        Raises
        ------
        Refusal
            If the name is none.
        """
        return self._root / tenant / name_of(name, item="name")

    def check_room(self, place: Store, *, tenant: str, size: int) -> None:
        """Refuse what the uploads of a tenant have no room for.

        Raises
        ------
        Refusal
            If they would be too much, with this one.
        """
        sizes = {
            self._digest(found.place): found.size_bytes or 0 for found in self._found(self._root / tenant)
        }
        for _, until, promised, digest in self._promises(tenant):
            if until > time.time():  # each address for a place is good until then, not the newest alone
                sizes[digest] = max(promised, sizes.get(digest, 0))
        sizes.pop(self._digest(place), None)
        held = sum(sizes.values())
        if held + size > self._limits.uploads_bytes:
            raise Refusal(
                "uploads",
                expected=f"at most {self._limits.uploads_bytes} bytes at a time",
                found=f"{held + size} with this one",
                status=507,
                limit="uploads_bytes",
            )

    def put(self, place: Store, content: Path) -> None:
        """Put an upload to its place; one that is there is replaced.

        Raises
        ------
        Refusal
            If a folder of it is a file, or it is a folder itself.
        """
        try:
            try:
                place.put(content)
            except OutputError as error:
                if not isinstance(error.__cause__, FileNotFoundError):
                    raise
                place.put(content)  # its folder was empty and removed just then
        except OutputError as error:
            if isinstance(error.__cause__, _CLASHES):
                raise Refusal(
                    "name", expected="a name beside the other uploads", found="one that is a folder of one, or in one",
                    status=409,
                ) from error  # fmt: skip
            raise

    def remove(self, place: Store) -> None:
        """Remove an upload.

        Raises
        ------
        Refusal
            If it is not there.
        """
        if not place.exists() or (not place.is_remote and place.local_path().is_dir()):
            raise Refusal("upload", expected="one that is there", found="none", status=404)
        self._remove(place)

    def presigned(self, place: Store, *, size: int) -> str:
        """Give an address at which the store takes an upload of just this size, and note that it takes room.

        Raises
        ------
        Refusal
            If the store gives none, or the tenant has as many as it may; it says when one is over.
        """
        if not self._presign:
            raise Refusal(
                "presigned upload",
                expected="a service that says so (presign), with a store on S3",
                found="one whose uploads come to itself (PUT)",
                status=404,
            )
        tenant = place.relative_to(self._root).partition("/")[0]
        self._check_addresses(tenant)
        system, path = place.file_system()
        url = str(
            system.sign(path, expiration=PRESIGNED_SECONDS, client_method="put_object", ContentLength=size)
        )
        until = int(time.time()) + PRESIGNED_SECONDS  # asked after signing: not before it is over
        note = self._promised / tenant / f"{until}-{size}-{self._digest(place)}"
        note.put(str(place).encode())
        return url

    def _check_addresses(self, tenant: str) -> None:
        """Refuse one more address to a tenant that has as many as it may: each is noted until it is over."""
        now, most = time.time(), self._limits.presigned_at_once
        live = sorted(until for _, until, _, _ in self._promises(tenant) if until > now)
        if len(live) >= most:
            raise Refusal(
                "presigned uploads",
                expected=f"at most {most} addresses at a time",
                found=f"{len(live)} that are not over",
                status=429,
                limit="presigned_at_once",
                retry_after=live[len(live) - most] - now,
            )

    def expire(self, inputs_of: Callable[[str], Iterable[str | None]]) -> int:
        """Remove what is over, whosever it is; what the store does not let go of now goes another time.

        Parameters
        ----------
        inputs_of : callable
            Tells what the jobs of a tenant read that are not over, None where that may be anything: of a tenant with
            one that reads uploads, or may, all stay.
        """
        with suppress(UssRayError):
            for promise, promised_until, _, _ in self._promises():
                if promised_until <= time.time():
                    promise.remove()
        over: dict[str, list[Store]] = defaultdict(list)
        until = time.time() - self._limits.upload_seconds
        try:
            for found in self._found(self._root):
                if found.changed_at is not None and found.changed_at < until:
                    over[found.place.relative_to(self._root).partition("/")[0]].append(found.place)
        except UssRayError:
            return 0  # the store is away, which whoever writes hears next
        removed = 0
        for tenant, places in over.items():
            if any(source is None or self._reads(source, tenant) for source in inputs_of(tenant)):
                continue
            for place in places:
                try:
                    # One that came again since it was listed has the same name.
                    now = next(iter(self._found(place)), None)
                    if now is None or now.changed_at is None or now.changed_at >= until:
                        continue
                    self._remove(place)
                except UssRayError:
                    continue
                removed += 1
        return removed

    def _remove(self, place: Store) -> None:
        """Remove an upload, and folders that are empty then: their names may be those of other uploads."""
        place.remove()
        if place.is_remote:
            return
        folder, own = place.local_path().parent, self._root.local_path()
        with suppress(OSError):  # something is in it
            while folder != own:
                folder.rmdir()
                folder = folder.parent

    def _promises(self, tenant: str = "") -> Iterator[tuple[Store, int, int, str]]:
        """List which addresses were given: the place of the note, until when, for how many bytes, and for what."""
        folder = self._promised / tenant if tenant else self._promised
        for found in self._found(folder) if self._presign else ():
            if promise := _PROMISE.fullmatch(found.place.name):
                yield found.place, int(promise[1]), int(promise[2]), promise[3]

    def _digest(self, place: Store) -> str:
        return hashlib.sha256(place.relative_to(self._root).encode()).hexdigest()

    def _reads(self, source: str, tenant: str) -> bool:
        own, read = (_place(text) for text in (str(self._root / tenant), source))
        return own is None or read is None or own.is_below(read) or read.is_below(own)

    def _found(self, folder: Store) -> Iterable[FoundFile]:
        return folder.files() if folder.exists() else ()


def _place(location: str) -> Place | None:
    try:
        return place_of(location, item="place")
    except Refusal:
        return None
