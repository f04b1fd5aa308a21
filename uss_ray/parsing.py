"""JSON that strangers wrote: whatever is wrong with it is one kind of fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


def read_json(text: str | bytes, *, constant: Callable[[str], Any] | None = None) -> Any:
    """Parse JSON.

    Parameters
    ----------
    text : str or bytes
    constant : callable, optional
        Told of ``NaN`` and infinities; gives what stands for them.

    Raises
    ------
    ValueError
        If it is no JSON; a `json.JSONDecodeError` also where it is nested deeper than Python may call.

    Examples
    --------
    >>> read_json('{"uri": ["a.wav"]}')
    {'uri': ['a.wav']}
    """
    try:
        return json.loads(text, parse_constant=constant)
    except RecursionError:
        raise json.JSONDecodeError("Nested too deeply", "", 0) from None
