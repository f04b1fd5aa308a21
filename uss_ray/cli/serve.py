"""`uss-ray serve`: separation over HTTP, on Ray Serve, until it is told to end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from uss_ray.cli.command import STORAGE_NAME, Command
from uss_ray.cli.notes import note, note_loading
from uss_ray.errors import ConfigError
from uss_ray.pipelines.serving.options import Serving

_EXTRA: Final = ("fastapi", "httpx", "pebble", "python_multipart", "multipart", "starlette", "uvicorn")

COMMAND: Final = Command(
    name="serve",
    model=Serving,
    names={"service.storage": STORAGE_NAME, "service.jobs": "jobs-{}", "service.webhooks": "webhooks-{}"},
    lists=("service.prefixes", "service.webhooks.origins"),
    takes_file=True,
)


def run(arguments: Sequence[str]) -> int:
    """Serve until a signal comes."""
    asked, _ = COMMAND.read(arguments)
    note_loading("Ray Serve")
    try:
        from uss_ray.pipelines.serving.running import serve_until_told
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        expected = "what speaks HTTP (pip install 'uss-ray[ray,serve]', or '.[ray,serve]' in a checkout)"
        raise ConfigError("uss-ray serve", expected=expected, found="no such package") from error

    serve_until_told(asked, tell=lambda url: note(f"Serving at {url}; Ctrl-C ends it."))
    return 0
