"""What another part of the service says that it lacks; a part that says nothing is what is missing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

logger = logging.getLogger(__name__)

_ASK_SECONDS = 10.0


async def missing_of(part: str, handle: Any) -> Mapping[str, str]:
    """Ask a deployment for what keeps it from working.

    Parameters
    ----------
    part : str
        What it is called where it does not answer.
    handle : DeploymentHandle
        Of one with a method `missing`.
    """
    try:
        async with asyncio.timeout(_ASK_SECONDS):
            found: Mapping[str, str] = await handle.missing.remote()
    except TimeoutError:
        return {part: f"does not answer within {_ASK_SECONDS:g} s"}
    except Exception as error:  # noqa: BLE001 - dead, unavailable or not begun: Ray has a kind for each
        logger.info("the %s does not answer: %s", part, type(error).__name__)
        return {part: "is not there"}
    return found
