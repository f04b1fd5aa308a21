"""An HTTP server of files, with faults that can be switched on: it drops, refuses, and may not be able to resume."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

_BLOCK_BYTES = 1 << 20


class Shelf(ThreadingHTTPServer):
    """What it serves, by the path of an address: bytes, or a file on the disk."""

    daemon_threads = True

    def __init__(self, files: Mapping[str, bytes | Path]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = dict(files)
        self.refusals: list[int] = []
        self.drop_after: list[int] = []
        self.ranges: list[str | None] = []
        self.resumable = True
        self.heeds_if_range = True
        self.part_ends: list[int | None] = []
        self.length: str | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def shelf_of_files(files: Mapping[str, bytes | Path]) -> Iterator[Shelf]:
    """Serve files while the block runs."""
    server = Shelf(files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Shelf

    def do_GET(self) -> None:
        shelf = self.server
        wanted = self.headers.get("Range")
        shelf.ranges.append(wanted)
        if shelf.refusals:
            self.send_error(shelf.refusals.pop(0))
            return
        content = shelf.files.get(self.path.partition("?")[0])
        if content is None:
            self.send_error(404)
            return
        size, etag, opened = _opened(content)
        with closing(opened):
            start, end = 0, size
            is_same = not shelf.heeds_if_range or self.headers.get("If-Range") == etag
            if wanted and shelf.resumable and is_same:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if start >= size:
                    self.send_error(416)
                    return
                end = (shelf.part_ends.pop(0) if shelf.part_ends else None) or size
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
            else:
                self.send_response(200)
            self.send_header("ETag", etag)
            self.send_header("Content-Length", shelf.length or str(end - start))
            self.end_headers()
            opened.seek(start)
            if end < size:
                opened = BytesIO(opened.read(end - start))
            if shelf.drop_after:
                opened = BytesIO(opened.read(shelf.drop_after.pop(0)))
            shutil.copyfileobj(opened, self.wfile, _BLOCK_BYTES)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


def _opened(content: bytes | Path) -> tuple[int, str, BinaryIO]:
    """Give the size of a file, a tag that changes with it, and the file."""
    if isinstance(content, bytes):
        return len(content), f'"{hashlib.sha256(content).hexdigest()[:16]}"', BytesIO(content)
    facts = content.stat()
    return facts.st_size, f'"{facts.st_size:x}-{facts.st_mtime_ns:x}"', content.open("rb")
