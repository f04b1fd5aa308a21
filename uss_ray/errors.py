"""The error family of USS-Ray: every message names the item, what was expected and what was found.

Owns the classes and the wording; the exit code of the command line is `exit_code`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from uss_ray.wording import plain, plain_lines


class UssRayError(Exception):
    """Base of all errors a user can cause or meet; what it says holds no secret and steers no terminal.

    Parameters
    ----------
    item : str
        What is wrong: a file name, a field, a class name.
    expected : str
        What would have been right.
    found : str
        What was there instead.
    """

    exit_code = 1
    told_besides: ClassVar[tuple[str, ...]] = ()
    """Names of what a kind takes besides the three; it travels to other processes with them."""

    def __init__(self, item: str, *, expected: str, found: str) -> None:
        self.item = plain(item)
        self.expected = plain_lines(expected)
        self.found = plain_lines(found)
        super().__init__(f"{self.item}: expected {self.expected}, found {self.found}")

    def __reduce__(self) -> tuple[object, ...]:
        names = ("item", "expected", "found", *self.told_besides)
        return _rebuild, (type(self), {name: getattr(self, name) for name in names})

    @property
    def reason(self) -> str:
        """One line for a table or a log."""
        return str(self).replace("\n", " ")


def _rebuild(kind: type[UssRayError], said: dict[str, Any]) -> UssRayError:
    return kind(**said)


def reason_of(error: Exception) -> str:
    """Say in one line what went wrong, whoever raised it."""
    if isinstance(error, UssRayError):
        return error.reason
    return " ".join(plain(f"{type(error).__name__}: {error}").split()).rstrip(": ")


class RecordingError(UssRayError):
    """A recording that cannot be read or separated: missing, empty, truncated, not audio, NaN samples."""

    exit_code = 3


class QueryError(UssRayError):
    """A query that names nothing, or more than one thing: unknown class, ambiguous text, empty folder."""

    exit_code = 4


class WeightsError(UssRayError):
    """Weights that are missing, altered or of another shape than their configuration says."""

    exit_code = 5


class OutputError(UssRayError):
    """A result that cannot be written: no permission, no space, an object store that refuses."""

    exit_code = 6


class OccupiedError(OutputError):
    """Results of something else are where results are to go: no other try changes that."""


class ConfigError(UssRayError):
    """A setting out of its range, unknown or in conflict with another."""

    exit_code = 2


class DataError(UssRayError):
    """A data set, ontology or class list that is not what its format says."""

    exit_code = 7


class TrainingError(UssRayError):
    """A training run that cannot go on: a loss or gradient that is not finite."""

    exit_code = 1
