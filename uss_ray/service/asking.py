"""From the parameters of a call to what is asked of the engine; what a client may not choose is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from uss_ray.api.request import Query, SoundRequest
from uss_ray.config import overlay
from uss_ray.errors import ConfigError
from uss_ray.results.options import WriteOptions
from uss_ray.separation.settings import SeparationSettings
from uss_ray.service.problems import Refusal
from uss_ray.service.settings import Limits

EXAMPLES: Final = "examples"
PARTS: Final = ("query", "settings", "write")
_NAMING: Final = {"events", "levels", "classes", "texts"}
_NOT_A_CLIENTS: Final = {
    "query": {"example_folder"},
    "settings": {"segment_seconds", "joins", "context_seconds", "fade_seconds"},
    "write": {"report"},
}
"""Places of this machine, what would set how much memory a forward takes, and what is no part of an answer."""


def asked_for(
    base: SoundRequest,
    *,
    parameters: Mapping[str, Mapping[str, Any]],
    options: Mapping[str, Any],
    limits: Limits,
    examples: int = 0,
    open_levels: Sequence[int] = (),
) -> SoundRequest:
    """Make the request of a call.

    Parameters
    ----------
    base : SoundRequest
        The service's own.
    parameters : mapping
        Fields by part (`query`, `settings`, `write`), as the address of the call has them; laid over the options.
    options : mapping
        The same, as the body has them.
    limits : Limits
    examples : int, default=0
        How many examples came with it.
    open_levels : sequence of int, default=()
        What is asked for where nothing is named; none: the events.

    Raises
    ------
    ConfigError
        If a choice is unknown, or not a client's.
    Refusal
        If more is asked for than is allowed.
    """
    for part, fields in options.items():
        if part not in PARTS or not isinstance(fields, Mapping):
            raise ConfigError(
                "options", expected="objects named query, settings and write", found=repr(part)[:100]
            )
    chosen = overlay(options, parameters, SoundRequest)
    for part, fields in chosen.items():
        for name in _NOT_A_CLIENTS[part] & fields.keys():
            raise ConfigError(f"option {part}.{name}", expected="what a client can choose", found=name)
    # The examples travel beside the request; whoever separates puts them into a folder of its own.
    place: dict[str, Any] = {"example_folder": EXAMPLES} if examples else {}
    asked = dict(chosen.get("query", {}))
    if open_levels and not _NAMING & asked.keys():
        asked["levels"] = tuple(open_levels)
    query = Query(**asked, **place)
    _check_counts(query, limits=limits, examples=examples)
    return base.replace(
        query=query,
        settings=SeparationSettings(**chosen.get("settings", {})),
        write=WriteOptions(**{**chosen.get("write", {}), "report": False}),
    )


def _check_counts(query: Query, *, limits: Limits, examples: int) -> None:
    counts: Sequence[tuple[str, int, int]] = (
        ("classes", len(query.classes) + len(query.exclude), limits.classes),
        ("texts", len(query.texts), limits.texts),
        ("examples", examples, limits.examples),
    )
    for name, found, most in counts:
        if found > most:
            raise Refusal(
                "query", expected=f"at most {most} {name}", found=str(found), status=422, limit=name
            )
    longest = max(map(len, (*query.classes, *query.exclude, *query.texts)), default=0)
    if longest > limits.name_letters:
        raise Refusal(
            "query",
            expected=f"classes and texts of at most {limits.name_letters} letters",
            found=str(longest),
            status=422,
            limit="name_letters",
        )
