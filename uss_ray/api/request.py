"""What a separation is asked to do, as plain values that travel to a worker and into the index."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Literal, get_args

from uss_ray.audio.spec import checked_stem_format
from uss_ray.errors import ConfigError
from uss_ray.results.blocks import WriteMode
from uss_ray.separation.settings import SeparationSettings
from uss_ray.store.access import StorageAccess

STARTER_WEIGHTS = "starter"
DEFAULT_LEVELS = (1, 2, 3)

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class Query:
    """What to separate; several kinds may be asked for at once, and nothing asks for the default levels.

    Parameters
    ----------
    levels : tuple of int, default=()
        Ontology levels, one stem a node.
    classes : tuple of str, default=()
        Class indexes, node ids or labels.
    union : bool, default=False
        One stem of all `classes` instead of one each.
    texts : tuple of str, default=()
        Free texts, each resolved to one node.
    example_folder : str or None, default=None
        Folder of recordings of the wanted sound.
    exclude : tuple of str, default=()
        Class indexes, node ids or labels to leave out of every stem; alone, it asks for everything else.

    Raises
    ------
    ConfigError
        If `union` has no classes to unite.
    """

    levels: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    union: bool = False
    texts: tuple[str, ...] = ()
    example_folder: str | None = None
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.union and not self.classes:
            raise ConfigError("union", expected="classes to unite", found="none")
        asked = (self.levels, self.classes, self.texts, self.example_folder, self.exclude)
        if not any(asked):
            object.__setattr__(self, "levels", DEFAULT_LEVELS)


@dataclass(frozen=True, kw_only=True)
class SeparationRequest:
    """All that decides what a recording's results look like, and where they go.

    Parameters
    ----------
    output : str
        Output root: a folder or a URI.
    query : Query
        What to separate.
    weights : str, default="starter"
        Name, folder or URI.
    settings : SeparationSettings
        How to separate.
    stem_format : {"flac", "wav", "ogg", "opus"}, default="flac"
        Container of the stems.
    residual : bool, default=True
        Write what the stems of a level leave over.
    write : {"stems", "active-spans", "index-only"}, default="stems"
        Whole stems, only the stretches where a sound is active, or none: then the index alone says what is where.
    report : bool, default=True
        Write one HTML page a recording.
    overwrite : bool, default=False
        Replace the results of an earlier run.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where the networks run; auto takes a GPU where there is one.
    ontology, class_list : str or None, default=None
        Files in AudioSet's formats; None takes AudioSet's own.
    span_seconds : int, default=300
        Longest stretch of a recording that an archive's worker separates at a time; a longer recording is shared.
    storage : StorageAccess
        Which object store to talk to.

    Raises
    ------
    ConfigError
        If the output has no name, the format, the device or what to write is unknown, or the span is too short.
    """

    output: str
    query: Query = field(default_factory=Query)
    weights: str = STARTER_WEIGHTS
    settings: SeparationSettings = field(default_factory=SeparationSettings)
    stem_format: str = "flac"
    residual: bool = True
    write: WriteMode = "stems"
    report: bool = True
    overwrite: bool = False
    device: Device = "auto"
    ontology: str | None = None
    class_list: str | None = None
    span_seconds: int = 300
    storage: StorageAccess = field(default_factory=StorageAccess)

    def __post_init__(self) -> None:
        if not self.output:
            raise ConfigError("output", expected="a folder or URI", found="an empty name")
        checked_stem_format(self.stem_format)
        if self.write not in get_args(WriteMode):
            raise ConfigError("write", expected=" or ".join(get_args(WriteMode)), found=repr(self.write))
        if self.span_seconds < 10 * self.settings.segment_seconds:
            least = 10 * self.settings.segment_seconds
            raise ConfigError("span seconds", expected=f"at least {least}", found=str(self.span_seconds))
        if self.device not in get_args(Device):
            raise ConfigError("device", expected=" or ".join(get_args(Device)), found=repr(self.device))

    def described(self) -> str:
        """Give what shapes the stems as a JSON object: query, settings and format, not places."""
        facts = {
            "query": dataclasses.asdict(self.query),
            "settings": dataclasses.asdict(self.settings),
            "stem_format": self.stem_format,
            "residual": self.residual,
            "write": self.write,
            "ontology": self.ontology,
            "class_list": self.class_list,
            "span_seconds": self.span_seconds,
        }
        return json.dumps(facts, sort_keys=True, ensure_ascii=False)

    def run_id(self, *, weights_sha256: str) -> str:
        """Name the run: the same request with the same weights gives the same name."""
        return hashlib.sha256(f"{weights_sha256}\n{self.described()}".encode()).hexdigest()[:16]
