"""JSON that strangers wrote: whatever is wrong with it is one kind of fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from uss_ray.errors import DataError, UssRayError


def read_json(
    text: str | bytes, *, constant: Callable[[str], Any] | None = None, names_once: bool = False
) -> Any:
    """Parse JSON.

    Parameters
    ----------
    text : str or bytes
    constant : callable, optional
        Told of ``NaN`` and infinities; gives what stands for them.
    names_once : bool, default=False
        Refuse an object that has a name twice, of which JSON's readers take the last; for what people write.

    Raises
    ------
    ValueError
        If it is no JSON, or has a name twice; a `json.JSONDecodeError` also where it is nested deeper than Python may
        call.

    Examples
    --------
    >>> read_json('{"uri": ["a.wav"]}')
    {'uri': ['a.wav']}
    """
    try:
        return json.loads(
            text, parse_constant=constant, object_pairs_hook=_object_of_names if names_once else None
        )
    except RecursionError:
        raise json.JSONDecodeError("Nested too deeply", "", 0) from None


def read_object(
    text: str | bytes,
    *,
    item: str,
    expected: str = "a JSON object",
    error: type[UssRayError] = DataError,
    constant: Callable[[str], Any] | None = None,
) -> dict[str, Any]:
    """Parse a JSON object.

    Parameters
    ----------
    text : str or bytes
    item : str
        What an error names.
    expected : str, default="a JSON object"
        What an error says that it is to be.
    error : type of UssRayError, default=DataError
    constant : callable, optional
        See `read_json`.

    Raises
    ------
    UssRayError
        Of the kind `error`, if it is no JSON, or JSON of something else.
    """
    try:
        found = read_json(text, constant=constant)
    except ValueError as fault:  # also bytes that are no UTF-8
        raise error(item, expected=expected, found=" ".join(str(fault).split())) from fault
    if not isinstance(found, dict):
        raise error(item, expected=expected, found=type(found).__name__)
    return found


def _object_of_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} twice in one object")
    return found
