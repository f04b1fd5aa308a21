"""What a benchmark is: a card, a layout that can be read, and a list that can be drawn. Owns what all of them share."""

from __future__ import annotations

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import numpy as np

from uss_ray.errors import ConfigError, DataError, RecordingError
from uss_ray.evaluation.items import EvaluationList, Item, ItemSource, Protocol
from uss_ray.evaluation.pairs import PAIR_SECONDS
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.sources.reading import open_stored_recording
from uss_ray.store.store import Store

_PROBED = 50
_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is known of a benchmark.

    Parameters
    ----------
    name, title : str
    revision : str
        Raised when its list or its scores change.
    main_score, unit : str
        The measure that it is compared by.
    licence, citation : str
    layout : str
        What lies below the data's root.
    sample_rate : int
        Of its files, in Hz; 0 where they differ.
    splits : tuple of str
        The first is what is scored.
    protocols : tuple of str
    measures : tuple of str
        What is scored beside the ratios that all benchmarks have; see `measures.MEASURES`.
    is_of_scenes : bool, default=False
        Whether an item has several targets, and what is found without asking is scored too.
    is_of_tags : bool, default=False
        Whether an item is a clip that is tagged; then nothing is separated.
    classes : tuple of str, default=()
        What alone is asked for in scenes; empty: all that the weights know.
    published : float or None, default=None
        What the paper reports, for the published protocol.
    published_score : str, default=""
        The measure of that; empty: the main score.
    assumed : str, default=""
        What could not be verified.
    """

    name: str
    title: str
    revision: str
    main_score: str
    unit: str
    licence: str
    citation: str
    layout: str
    sample_rate: int
    splits: tuple[str, ...] = ("test", "train")
    protocols: tuple[Protocol, ...] = ("published", "strict")
    measures: tuple[str, ...] = ()
    is_of_scenes: bool = False
    is_of_tags: bool = False
    classes: tuple[str, ...] = ()
    published: float | None = None
    published_score: str = ""
    assumed: str = ""


@dataclass(frozen=True)
class Sound:
    """A file of a data set, and what is said to sound in it.

    Parameters
    ----------
    path : str
        Below the data's root.
    labels : tuple of str
        The first is what it is a target for.
    class_ids : tuple of str, default=()
        Ontology nodes of the labels, as far as known, in their order.
    start_seconds : float, default=0
        Of the part to take.
    """

    path: str
    labels: tuple[str, ...]
    class_ids: tuple[str, ...] = ()
    start_seconds: float = 0.0


@dataclass(frozen=True)
class Files:
    """What lies below the root of a data set: path -> size in bytes, where it is told."""

    sizes: Mapping[str, int | None]

    @classmethod
    def of(cls, data: Store) -> Files:
        """List a data set.

        Raises
        ------
        DataError
            If there is no such folder.
        """
        place = data.raising(DataError)
        return cls({found.place.relative_to(place): found.size_bytes for found in place.files()})

    def below(self, folder: str) -> list[str]:
        """Name the files below a folder, sorted."""
        return sorted(path for path in self.sizes if path.startswith(f"{folder}/"))


@dataclass(frozen=True, kw_only=True)
class Check:
    """How much of a data set is there.

    Parameters
    ----------
    expected, found : int
        Files that its tables name, and those of them that are there.
    missing : tuple of str
        The first few that are not.
    labels : dict of str to int
        Files that are there, by label.
    rates : dict of int to int
        Files of each rate in Hz, of some that were opened.
    unreadable : tuple of str
        Those of them that are no whole recordings, with the reason.
    """

    expected: int
    found: int
    missing: tuple[str, ...]
    labels: Mapping[str, int]
    rates: Mapping[int, int]
    unreadable: tuple[str, ...]

    @property
    def share(self) -> float:
        """Share that is there, in [0, 1]."""
        return self.found / self.expected if self.expected else 0.0


Gain = Callable[[ItemSource, ItemSource], float]
"""The factor that brings the second source to the energy of the first; decodes both."""


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What a list is drawn of.

    Parameters
    ----------
    data : Store
    files : Files
    split : str
    protocol : {"published", "strict"}
    seed : int
    vocabulary : Vocabulary
    gain : callable
        See `Gain`.
    """

    data: Store
    files: Files
    split: str
    protocol: Protocol
    seed: int
    vocabulary: Vocabulary
    gain: Gain


class Benchmark(ABC):
    """One benchmark.

    Attributes
    ----------
    card : Card
    """

    card: ClassVar[Card]

    @abstractmethod
    def sounds(self, data: Store, files: Files, split: str) -> list[Sound]:
        """Read which files there should be, and their labels; in the order of the tables."""

    @abstractmethod
    def draw(self, draw: Draw) -> list[Item]:
        """Draw the items; files that are not there may be named."""

    def check(self, data: Store, split: str) -> Check:
        """Compare the tables of a data set with its files, and open some of them.

        Raises
        ------
        DataError
            If a table is missing or has not the columns that it should have.
        """
        files = Files.of(data)
        sounds = {sound.path: sound for sound in self.sounds(data, files, split)}
        found = [sound for path, sound in sounds.items() if path in files.sizes]
        labels: dict[str, int] = {}
        for sound in found:
            for label in sound.labels:
                labels[label] = labels.get(label, 0) + 1
        rates: dict[int, int] = {}
        unreadable = []
        step = max(1, len(found) // _PROBED)
        for sound in found[::step]:
            try:
                with open_stored_recording(data / sound.path) as reader:
                    rates[reader.sample_rate] = rates.get(reader.sample_rate, 0) + 1
            except RecordingError as error:
                unreadable.append(error.reason)
        return Check(
            expected=len(sounds),
            found=len(found),
            missing=tuple([path for path in sounds if path not in files.sizes][:_NAMED]),
            labels=dict(sorted(labels.items())),
            rates=dict(sorted(rates.items())),
            unreadable=tuple(unreadable[:_NAMED]),
        )

    def list(self, draw: Draw, *, allow_missing: bool = False) -> EvaluationList:
        """Draw the list.

        Parameters
        ----------
        draw : Draw
        allow_missing : bool, default=False
            Leave out what is not there, and count it.

        Raises
        ------
        ConfigError
            If the benchmark has no such split or protocol.
        DataError
            If files are missing, or nothing is left.
        """
        card = self.card
        for what, wanted, known in (
            ("split", draw.split, card.splits),
            ("protocol", draw.protocol, card.protocols),
        ):
            if wanted not in known:
                raise ConfigError(f"{card.name} {what}", expected=" or ".join(known), found=wanted)
        named = {sound.path for sound in self.sounds(draw.data, draw.files, draw.split)}
        if not allow_missing:
            _refuse_missing(named, draw, card.name)
        items = [_sized(item, draw.files) for item in self.draw(draw)]
        if not allow_missing:
            _refuse_missing({source.path for item in items for source in item.sources}, draw, card.name)
        there = [item for item in items if all(source.path in draw.files.sizes for source in item.sources)]
        if not there:
            raise DataError(str(draw.data), expected=f"items of {card.name}", found="none")
        return EvaluationList(
            benchmark=card.name,
            split=draw.split,
            protocol=draw.protocol,
            seed=draw.seed,
            items=tuple(there),
            missing=len(items) - len(there),
        )


def _refuse_missing(named: set[str], draw: Draw, benchmark: str) -> None:
    lost = sorted(named.difference(draw.files.sizes))
    if lost:
        raise DataError(
            str(draw.data / lost[0]),
            expected=f"every file of {benchmark} (--allow-missing leaves items out)",
            found=f"{1 - len(lost) / len(named):.1%} of {len(named)}",
        )


def _sized(item: Item, files: Files) -> Item:
    sources = tuple(replace(source, size_bytes=files.sizes.get(source.path)) for source in item.sources)
    return replace(item, sources=sources)


def read_rows(place: Store, *, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read a CSV with a line of names; other columns are let be.

    Raises
    ------
    DataError
        If it is missing, has not the columns, or a line ends before them.
    """
    text = place.raising(DataError).read().decode("utf-8-sig", errors="replace")
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    names = reader.fieldnames or []
    lacking = [name for name in columns if name not in names]
    if lacking:
        found = ", ".join(names)[:80] or "none"
        raise DataError(str(place), expected=f"a column {lacking[0]}", found=found)
    rows = list(reader)
    for number, row in enumerate(rows, 2):
        for name in columns:
            if row[name] is None:
                raise DataError(
                    f"{place} line {number}", expected=f"a {name}", found="a line that ends before"
                )
    return rows


PAIRS_PER_CLASS: Final = 100


def source_of(sound: Sound, role: str = "target") -> ItemSource:
    """Take as much of a sound as a pair takes."""
    return ItemSource(
        role="target" if role == "target" else "other",
        path=sound.path,
        label=sound.labels[0],
        class_id=sound.class_ids[0] if sound.class_ids else None,
        start_seconds=sound.start_seconds,
        seconds=PAIR_SECONDS,
    )


def generator(seed: int, *names: str) -> np.random.Generator:
    """Give random numbers that depend on names, not on an order."""
    return np.random.default_rng([seed, *("/".join(names)).encode()])
