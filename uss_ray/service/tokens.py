"""Who may ask: a file of sha256 digests of tokens, with the tenant of each and the places it may name."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from uss_ray.config import Location, Settings, load
from uss_ray.errors import ConfigError, UssRayError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tenant:
    """Who asks.

    Attributes
    ----------
    name : str
        What is its own lies below this name; letters, digits, ``-`` and ``_``.
    prefixes : tuple of str
        Below these its recordings and outputs may lie.
    """

    name: str
    prefixes: tuple[str, ...] = ()


LOCAL = Tenant("local")
"""Who asks where no token is asked for."""


class Token(Settings):
    """One token: who holds it."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="Of the token, as hexadecimal digits.")
    tenant: str = Field(pattern="^[A-Za-z0-9_-]{1,64}$", description="Who holds it.")
    prefixes: tuple[Location, ...] = Field(
        default=(), description="Folders and URIs below which inputs and outputs may lie."
    )

    @field_validator("sha256", mode="before")
    @classmethod
    def _lower(cls, given: object) -> object:
        return given.lower() if isinstance(given, str) else given


class TokenFile(Settings):
    """All tokens."""

    tokens: tuple[Token, ...] = Field(min_length=1, description="One or more.")

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        known: dict[str, Token] = {}
        for number, token in enumerate(self.tokens, start=1):
            if (other := known.setdefault(token.sha256, token)) != token:
                raise ConfigError(
                    f"token {number}",
                    expected="a sha256 of its own",
                    found=f"that of a token of {other.tenant}",
                )
        return self


class Tokens:
    """The tokens of a file, read again when it changes; a file that has become wrong leaves them as they were.

    Parameters
    ----------
    path : str or path

    Raises
    ------
    ConfigError
        If the file is not what it should be.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._seen = self._stamp()
        self._tokens = self._read()

    @classmethod
    def of(cls, path: str | None) -> Self | None:
        """Read a file, where there is one."""
        return None if path is None else cls(path)

    def tenant(self, token: str) -> Tenant | None:
        """Tell who holds a token; None if nobody does. It takes as long whoever it is."""
        digest = hashlib.sha256(token.encode()).hexdigest()
        found: Token | None = None
        for known in self._current():
            if hmac.compare_digest(known.sha256, digest):
                found = known
        return None if found is None else Tenant(found.tenant, found.prefixes)

    def _current(self) -> tuple[Token, ...]:
        with self._lock:
            try:
                stamp = self._stamp()
                if stamp != self._seen:
                    self._seen = stamp
                    self._tokens = self._read()
            except UssRayError as error:
                logger.error("tokens stay as they were: %s", error.reason)
            return self._tokens

    def _read(self) -> tuple[Token, ...]:
        try:
            return load(self._path, TokenFile).tokens
        except ConfigError as error:
            if not error.item.endswith("sha256"):
                raise
            # Of what stands where a digest should, nothing is repeated: it may be the token itself.
            raise ConfigError(error.item, expected=error.expected, found="something else") from None

    def _stamp(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError as error:
            raise ConfigError(
                str(self._path), expected="a file of tokens", found=error.strerror or str(error)
            ) from error
        return found.st_mtime_ns, found.st_size, found.st_ino
