"""Files of the process's own memory through fsspec, that keep what `Store` promises of reading and writing."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

from fsspec.implementations.memory import MemoryFileSystem

_writing = threading.Lock()  # of the process, as the files are


class OwnReadersMemoryFileSystem(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """fsspec's memory, whose readers each have a place of their own, and whose files are there whole or not at all."""

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        file = super()._open(path, mode, **options)
        # Both share the bytes; nothing is copied until somebody writes.
        return io.BytesIO(file.getvalue()) if mode == "rb" else file

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        """Write a file; of several who create it, one succeeds: fsspec asks whether it is there, and then writes."""
        with _writing:
            super().pipe_file(path, value, mode=mode, **options)

    def put_file(self, lpath: str, rpath: str, *_: Any, mode: str = "overwrite", **__: Any) -> None:
        """Copy a file of this machine; fsspec shows it from its first byte on, before there is any."""
        self.pipe_file(rpath, Path(lpath).read_bytes(), mode=mode)
