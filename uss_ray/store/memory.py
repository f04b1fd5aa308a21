"""Files of the process's own memory through fsspec, whose readers each have a place of their own in them."""

from __future__ import annotations

import io
from typing import Any

from fsspec.implementations.memory import MemoryFileSystem


class OwnReadersMemoryFileSystem(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """fsspec's memory, without its one file object for all readers: they moved one another's place in it."""

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        file = super()._open(path, mode, **options)
        # Both share the bytes; nothing is copied until somebody writes.
        return io.BytesIO(file.getvalue()) if mode == "rb" else file
