"""What the address of a call may say: the parameters that the description of the service has of it, and no others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Request

from uss_ray.config import near_or_all
from uss_ray.service.gate import is_open
from uss_ray.service.problems import Refusal

_LETTERS = 100


async def check_parameters(request: Request) -> None:
    """Refuse what a call does not know: a `dry-run` that is passed over begins a job, and a filter gives everything.

    Raises
    ------
    Refusal
        If a parameter is unknown, or is there several times and is no list.
    """
    if is_open(request.scope["path"]):  # who only looks whether it is there may say more
        return
    calls = request.app.openapi()["paths"].get(request.scope["route"].path_format, {})
    described = calls.get(request.method.lower(), {}).get("parameters", ())
    known = {each["name"]: _is_list(each["schema"]) for each in described if each["in"] == "query"}
    for name in request.query_params:
        item = f"parameter {name[:_LETTERS]}"
        if name not in known:
            expected = f"a known one, {near_or_all(name, known)}" if known else "a call without parameters"
            raise Refusal(item, expected=expected, found="an unknown one", status=422)
        count = len(request.query_params.getlist(name))
        if count > 1 and not known[name]:
            raise Refusal(item, expected="it once", found=f"{count} times", status=422)


def _is_list(schema: Mapping[str, Any]) -> bool:
    return any(kind.get("type") == "array" for kind in schema.get("anyOf", (schema,)))
