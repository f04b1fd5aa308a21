"""What a separation is asked to do, as plain values that travel to a worker and into the index."""

from __future__ import annotations

import difflib
import functools
import hashlib
from collections.abc import Iterable, Mapping, Set, Sized
from numbers import Integral
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from uss_ray.config import Device, Location, Settings, canonical_json, overlay
from uss_ray.errors import ConfigError, OutputError
from uss_ray.ontology.source import ClassListFile, OntologyFile
from uss_ray.results.options import WriteOptions
from uss_ray.separation.settings import EngineNetworks, NetworkSettings, SeparationSettings
from uss_ray.store.options import Storage
from uss_ray.store.store import Store, StoreOptions
from uss_ray.weights import STARTER, WeightsName
from uss_ray.wording import without_secrets

_FEWEST_SEGMENTS_A_SPAN = 10

PUBLISHED_LEVELS: Final = (1, 2, 3)
"""What the published profile separates if nothing is asked for."""


_ASKING: Final = frozenset(("events", "levels", "classes", "texts", "example_folder"))
_ASKED_OF = _ASKING | {"union"}  # which says something of classes alone


class Query(Settings):
    """What to separate; several kinds may be asked for at once, and nothing asks for the events.

    Laid over another, as flags over a file or a call over a `Separator`, one that asks for something (`events`,
    `levels`, `classes`, `texts`, `example_folder`) asks for that alone; `exclude` and `allow_unknown` stay.
    """

    events: bool = Field(
        default=False,
        description="One stem an event: the most specific sound that is there, Bark and not Dog and Animal as well. "
        "Taken if nothing is asked for.",
    )
    levels: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(), description="Ontology levels, one stem a node: 1 2 3."
    )
    classes: tuple[str, ...] = Field(
        default=(), description="Classes by index, id or label, one stem each: Speech /m/0jbk."
    )
    union: bool = Field(default=False, description="One stem of all classes together.")
    texts: tuple[str, ...] = Field(
        default=(), description="A few words each, such as 'dog barking', each resolved to one node."
    )
    example_folder: Location | None = Field(
        default=None, description="Folder of recordings of the wanted sound."
    )
    allow_unknown: bool = Field(
        default=False,
        description="Take classes and texts that the weights were not trained on; otherwise they are refused.",
    )
    exclude: tuple[str, ...] = Field(
        default=(),
        description="Classes by index, id or label to leave out of every stem; alone, it asks for everything else.",
    )

    @classmethod
    def kept_below(cls, below: Mapping[str, Any], above: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Settings`; of what was asked for nothing stays below what asks for something."""
        if not any(_says_something(above.get(name)) for name in _ASKING):
            return below
        return {name: value for name, value in below.items() if name not in _ASKED_OF}

    @property
    def is_open(self) -> bool:
        """Whether nothing was asked for, so that the events are taken."""
        asked = (self.levels, self.classes, self.texts, self.example_folder, self.exclude)
        return not any(asked) and not (self.events and "events" in self.model_fields_set)

    @field_validator("classes", "exclude", mode="before")
    @classmethod
    def _by_index(cls, given: Any) -> Any:
        """Take the index of a class as a number too, of numpy or Python."""
        if not isinstance(given, Iterable) or isinstance(given, str | bytes | Mapping) or _is_scalar(given):
            return given
        return tuple(str(name) if isinstance(name, int | Integral) else name for name in given)

    @field_validator("levels", "classes", "texts", "exclude", mode="before")
    @classmethod
    def _several(cls, given: Any) -> Any:
        """Take one for a list of one, and a set in an order that is the same everywhere: it names the run."""
        if isinstance(given, Set):
            return tuple(sorted(given, key=str))
        return (given,) if isinstance(given, str | Integral) else given

    @field_validator("levels")
    @classmethod
    def _once(cls, levels: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(dict.fromkeys(levels))

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.union and not self.classes:
            raise ConfigError("query union", expected="classes to unite", found="none")
        if self.events and self.levels:
            raise ConfigError("query", expected="events or levels", found="both")
        if self.is_open and "events" in self.model_fields_set:
            raise ConfigError("query", expected="something to separate", found="events off, and nothing else")
        if self.is_open:
            object.__setattr__(self, "events", True)
        return self

    @model_serializer(mode="wrap")
    def _told(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the events that nobody asked for: read back, it is open again."""
        told: dict[str, Any] = handler(self)
        if self.is_open:
            told.pop("events", None)
        return told


def _says_something(value: Any) -> bool:
    is_empty = isinstance(value, Sized) and not _is_scalar(value) and len(value) == 0
    return not (value is None or value is False or is_empty)


def _is_scalar(value: Any) -> bool:
    """Tell an array or tensor of no dimension, which is sized and iterable by its type alone."""
    return getattr(value, "ndim", None) == 0


class Destination(Settings):
    """Where results go, and what becomes of those that are there."""

    output: Location = Field(min_length=1, description="Folder or URI of the results.")
    overwrite: bool = Field(default=False, description="Replace the results of an earlier run.")
    changed: Literal["redo", "keep", "fail"] = Field(
        default="redo",
        description="Recordings of an archive with another size, ETag or time of change than when they were separated "
        "are separated again; kept without a look; or kept, and count as failed.",
    )


class SoundRequest(Settings):
    """All that decides what the results of a recording look like, wherever they go.

    Raises
    ------
    ConfigError
        If a choice is unknown, or the span is too short.
    """

    query: Query = Field(default_factory=Query, description="What to separate.")
    weights: WeightsName = STARTER
    settings: SeparationSettings = Field(default_factory=SeparationSettings, description="How to separate.")
    networks: EngineNetworks = NetworkSettings()
    write: WriteOptions = Field(default_factory=WriteOptions, description="What is written.")
    strict: bool = Field(
        default=False,
        description="Refuse a recording whose header states another length than it has, or within which sound is "
        "missing; otherwise it is read to its end, and the index says so.",
    )
    device: Device = "auto"
    ontology: OntologyFile = None
    class_list: ClassListFile = None
    span_seconds: int = Field(
        default=300,
        ge=1,
        description="Longest span of a recording that an archive's worker separates at a time; a longer recording is "
        "shared.",
    )
    storage: Storage = StoreOptions()

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        least = _FEWEST_SEGMENTS_A_SPAN * self.settings.segment_seconds
        if "span_seconds" not in self.model_fields_set:
            object.__setattr__(self, "span_seconds", max(self.span_seconds, least))
        elif self.span_seconds < least:
            raise ConfigError(
                "separation request span_seconds", expected=f"at least {least}", found=str(self.span_seconds)
            )
        return self

    @property
    def sought(self) -> Query:
        """What is separated: the query, or where it asks for nothing what the settings take then."""
        if self.settings.hierarchy == "published" and self.query.is_open:
            return self.query.replace(levels=PUBLISHED_LEVELS)  # the released program knows no events
        return self.query

    def described(self) -> str:
        """Give what shapes the stems as canonical JSON: query, settings and format, not places."""
        shaping = {"query", "settings", "networks", "write", "ontology", "class_list", "span_seconds"}
        described = self.model_dump(
            mode="json", include=shaping, exclude={"write": {"report", "labels", "metadata"}}
        )
        described["query"] = self.sought.model_dump(mode="json") | {"events": self.sought.events}
        if not self.networks.in_bands:  # so that what was begun before there was a choice goes on
            del described["networks"]["in_bands"]
        return without_secrets(canonical_json(described))

    def run_id(self, *, weights_sha256: str) -> str:
        """Name the run: the same request with the same weights gives the same name."""
        return hashlib.sha256(f"{weights_sha256}\n{self.described()}".encode()).hexdigest()[:16]


Asked = TypeVar("Asked", bound=SoundRequest)


class SeparationRequest(SoundRequest, Destination):
    """All that decides what a recording's results look like, and where they go.

    Raises
    ------
    ConfigError
        If the output has no name, a choice is unknown, or the span is too short.
    """

    @functools.cached_property
    def output_store(self) -> Store:
        """The output root, as a place whose faults are those of an output."""
        return Store(self.output, self.storage, OutputError)

    @classmethod
    def of(cls, sounds: SoundRequest, **destination: Any) -> Self:
        """Ask for the same sounds at a place."""
        asked = {name: getattr(sounds, name) for name in sounds.model_fields_set}
        return cls(**asked, **destination)


def request_with(request: SeparationRequest | None = None, **options: Any) -> SeparationRequest:
    """Lay options over a request, each by its name alone wherever in the request it stands.

    Options that ask for something ask for that alone: what the request asked for is left (see `Query`).

    Parameters
    ----------
    request : SeparationRequest, optional
        None: the defaults.
    **options
        Fields of `SeparationRequest`, and of the `Query`, `WriteOptions`, `SeparationSettings` and `NetworkSettings` in
        it; `write` also as the name of what is written. Those parts may be mappings.

    Raises
    ------
    ConfigError
        If an option is unknown (the nearest is named), or a value is not what it may be.

    Examples
    --------
    >>> request_with(output="out", classes="Speech", residual=False, threshold=0.5).query.classes
    ('Speech',)
    """
    return _laid_over(SeparationRequest, request, options)


def sounds_with(sounds: SoundRequest | None = None, **options: Any) -> SoundRequest:
    """Lay options over what is asked for whatever its place; as `request_with`."""
    return _laid_over(SoundRequest, sounds, options)


def _laid_over(model: type[Asked], below: Asked | None, options: Mapping[str, Any]) -> Asked:
    changes: dict[str, Any] = {}
    inside: dict[str, dict[str, Any]] = {}
    part_of = {name: part for part, settings in _PARTS.items() for name in settings.model_fields}
    for name, value in options.items():
        if name in model.model_fields and not (name == "write" and isinstance(value, str)):
            changes[name] = value
        elif name in part_of:
            inside.setdefault(part_of[name], {})[name] = value
        else:
            raise unknown_option(name, known=[*model.model_fields, *part_of])
    for part, fields in inside.items():
        if changes.get(part) is not None:
            whole = changes[part]
            if isinstance(whole, _PARTS[part]):
                whole = _given(whole)
            if not isinstance(whole, Mapping):
                continue  # of another kind: the model refuses it
            changes[part] = {**whole, **fields}
        else:
            changes[part] = overlay(_given(getattr(below, part, None)) or {}, fields, _PARTS[part])
    return below.replace(**changes) if below else model(**changes)


def _given(part: Any) -> Any:
    """Give what was said of a part of a request, as a mapping."""
    return (
        {name: getattr(part, name) for name in part.model_fields_set} if isinstance(part, Settings) else part
    )


def unknown_option(name: str, *, known: Iterable[str]) -> ConfigError:
    """Say that there is no such option, and which is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    expected = "a known one" + (f", {near[0]!r}?" if near else "")
    return ConfigError(f"option {name}", expected=expected, found="an unknown one")


_PARTS: Final[dict[str, type[Settings]]] = {
    "query": Query,
    "write": WriteOptions,
    "settings": SeparationSettings,
    "networks": NetworkSettings,
}
"""Parts of a request whose settings are known by their names alone."""
