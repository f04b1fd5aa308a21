"""A run over a list: items in chunks go through all systems, and every estimate becomes a row.

Who does the chunks, this process or workers, changes no byte of them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from threading import Event
from typing import Final

import numpy as np
import torch
from torch import Tensor

from uss_ray.errors import ConfigError, DataError
from uss_ray.evaluation.benchmarks.benchmark import Benchmark, Files
from uss_ray.evaluation.benchmarks.known import (
    PAIRS_BENCHMARK,
    PAIRS_SUFFIX,
    draw_list,
    find_benchmark,
    list_of_pairs,
)
from uss_ray.evaluation.items import EvaluationList, Item, read_list
from uss_ray.evaluation.label_metrics import ca_sdri, capi_sdri
from uss_ray.evaluation.measures import Truth, not_measurable, score
from uss_ray.evaluation.queries import (
    ByCondition,
    ByIndex,
    ByNode,
    ByText,
    Oracle,
    Query,
    RandomClass,
    conditions_of_list,
)
from uss_ray.evaluation.request import OWN_SYSTEMS, EvaluationRequest
from uss_ray.evaluation.rows import CHUNK_ITEMS, CONSTANT, EVENTS, TAGS, ScoreRow
from uss_ray.evaluation.scene_rows import event_shares, level_rows, time_counts
from uss_ray.evaluation.scene_run import separate_levels, sounds_beside, true_sounds
from uss_ray.evaluation.sounds import MixedItem, SoundShelf, mix
from uss_ray.evaluation.systems import (
    BASELINES,
    BareSystem,
    EngineSystem,
    ForeignSystem,
    Separated,
    System,
    find_events,
)
from uss_ray.evaluation.tagging import Tags, tags_of_chance, tags_of_engine, tags_of_network
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.engine import SeparationEngine, build_engine
from uss_ray.separation.settings import SeparationSettings
from uss_ray.weights.folder import Weights
from uss_ray.weights.locate import load_weights

_GROUP_SECONDS: Final = 640.0
"""Of sound that is held at once, and once more while it is read ahead; an item alone may be longer."""
_GUESSED_SECONDS: Final = 240.0
"""Of an item that is as long as its file."""
_Truths = Mapping[tuple[str, str], Truth]
"""By item and label."""


@dataclass
class Spent:
    """Seconds of a run by what they went into; of reading, and of baselines beside it, those that were waited for."""

    reading: float = 0.0
    separating: float = 0.0
    scoring: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The list that a run scores, and which of its items.

    Parameters
    ----------
    listed : EvaluationList
    items : tuple of Item
        What is there, and within the limit.
    missing : int
        Items of the list whose files are not there.
    train : EvaluationList or None
    """

    listed: EvaluationList
    items: tuple[Item, ...]
    missing: int
    train: EvaluationList | None = None

    @property
    def chunks(self) -> int:
        """How many chunks they make."""
        return -(-len(self.items) // CHUNK_ITEMS)

    def chunk(self, number: int) -> tuple[Item, ...]:
        """Give the items of a chunk."""
        return self.items[number * CHUNK_ITEMS : (number + 1) * CHUNK_ITEMS]


def open_list(request: EvaluationRequest) -> Scored:
    """Read or draw the list of a run, and see what of it is there.

    Raises
    ------
    ConfigError
        If the list is of another benchmark.
    DataError
        If it cannot be read or drawn, files are missing and that is not allowed, or a file of the training list is
        scored.
    """
    benchmark = find_benchmark(request.benchmark)
    if request.list is None:
        listed = draw_list(
            benchmark, request.data_store, protocol=request.protocol, allow_missing=request.allow_missing
        )
    elif request.benchmark == PAIRS_BENCHMARK and request.list.casefold().endswith(PAIRS_SUFFIX):
        listed = list_of_pairs(request.listed_at(request.list), request.data_store)
    else:
        listed = read_list(request.listed_at(request.list))
    if listed.benchmark != request.benchmark:
        raise ConfigError(
            str(request.list), expected=f"a list of {request.benchmark}", found=f"one of {listed.benchmark}"
        )
    train = None if request.train_list is None else read_list(request.listed_at(request.train_list))
    leaked = sorted(listed.paths & train.paths) if train is not None else []
    if leaked:
        raise DataError(str(request.train_list), expected="no file that is scored", found=leaked[0])
    there = Files.of(request.data_store).sizes
    items = [item for item in listed.items if all(source.path in there for source in item.sources)]
    missing = len(listed.items) - len(items)
    if missing and not request.allow_missing:
        lost = sorted(path for path in listed.paths if path not in there)
        share = 1 - len(lost) / len(listed.paths)
        raise DataError(
            str(request.data_store / lost[0]),
            expected="every file of the list (--allow-missing leaves items out)",
            found=f"{share:.1%} of {len(listed.paths)}",
        )
    if not listed.items:
        raise DataError(str(request.list or request.data), expected="a list of items", found="an empty one")
    if not items:
        raise DataError(str(request.data), expected="files of the list", found="none")
    if request.limit is not None and request.limit < len(items):
        places = np.unique(np.linspace(0, len(items) - 1, request.limit).round().astype(int))
        items = [items[place] for place in places]
    return Scored(listed=listed, items=tuple(items), missing=missing + listed.missing, train=train)


@dataclass(kw_only=True)
class Evaluator:
    """The systems of a run, ready to do chunks.

    Parameters
    ----------
    request : EvaluationRequest
    scored : Scored
    vocabulary : Vocabulary, optional

    Attributes
    ----------
    spent : Spent
    """

    request: EvaluationRequest
    scored: Scored
    vocabulary: Vocabulary = field(default_factory=Vocabulary.load)
    spent: Spent = field(default_factory=Spent)
    _stopped: Event = field(default_factory=Event, init=False, repr=False)

    @cached_property
    def benchmark(self) -> Benchmark:
        """The benchmark."""
        return find_benchmark(self.request.benchmark)

    @cached_property
    def not_measured(self) -> dict[str, str]:
        """Measures of the benchmark whose package is not installed, with how to install it.

        Raises
        ------
        ConfigError
            If the main score is one of them.
        """
        card = self.benchmark.card
        lacking = not_measurable((card.main_score, *card.measures))
        if card.main_score in lacking:
            raise ConfigError(
                f"measure {card.main_score}", expected=lacking[card.main_score], found="no such package"
            )
        return lacking

    @cached_property
    def weights(self) -> Weights:
        """The weights, loaded."""
        weights = load_weights(self.request.weights, storage=self.request.storage)
        weights.check_classes(self.vocabulary.classes.ids)
        return weights

    @cached_property
    def engine(self) -> SeparationEngine:
        """The engine."""
        request = self.request
        return build_engine(
            self.weights, vocabulary=self.vocabulary, networks=request.networks, device=request.device
        )

    @cached_property
    def sounds(self) -> SoundShelf:
        """The data."""
        return SoundShelf(self.request.data_store)

    def prepare(self) -> None:
        """Load what is needed, and refuse what cannot be asked or measured, before any work.

        Raises
        ------
        ConfigError, WeightsError
        """
        _ = self.not_measured, self.systems
        if self.benchmark.card.is_of_tags:
            _ = self.engine, self.taggers

    @cached_property
    def taggers(self) -> Mapping[str, Callable[[Sequence[MixedItem]], list[Tags]]]:
        """What tags clips, by system, and what is beside it always.

        Raises
        ------
        ConfigError
            If a system cannot tag.
        """
        engine, tagger = self.engine, self.weights.tagger
        assert tagger is not None  # the engine has been built
        known = {
            "engine": partial(tags_of_engine, engine=engine, settings=self.request.settings),
            "bare": partial(tags_of_network, engine=engine, tagger=tagger),
        }
        unknown = [name for name in self.request.systems if name not in known]
        if unknown:
            raise ConfigError("system that tags", expected=" or ".join(known), found=unknown[0])
        return {
            CONSTANT: partial(tags_of_chance, engine=engine),
            **{name: known[name] for name in self.request.systems},
        }

    @cached_property
    def systems(self) -> tuple[System, ...]:
        """What separates, and what is beside it always; none where clips are tagged.

        Raises
        ------
        ConfigError, WeightsError
            If a query cannot be asked.
        """
        request = self.request
        if self.benchmark.card.is_of_tags:
            return ()
        found: list[System] = list(BASELINES)
        own = [name for name in request.systems if name in OWN_SYSTEMS]
        for name in own:
            settings = _settings_of(name, request.settings)
            for query in (self._query(kind, settings) for kind in request.queries):
                query.check(self.scored.items)
                if name == "bare":
                    seconds = self.weights.specifications.segment_seconds
                    found.append(BareSystem(query, segment_seconds=seconds))
                else:
                    found.append(EngineSystem(name, query))
        conditions = self._conditions
        if own and len(conditions) > 1:
            found.append(
                EngineSystem("engine", RandomClass(self.engine, request.settings, conditions=conditions))
            )
        return (*found, *(ForeignSystem(name) for name in request.systems if name not in OWN_SYSTEMS))

    def rows(self, items: Sequence[Item]) -> list[ScoreRow]:
        """Separate and score some items with all systems."""
        [rows] = self.rows_of([items])
        return rows

    def rows_of(self, chunks: Iterable[Sequence[Item]]) -> Iterator[list[ScoreRow]]:
        """Give the rows of chunks, one after the other.

        What comes next is read, and the baselines of it are scored, while the networks work.

        Parameters
        ----------
        chunks : iterable of sequence of Item
        """
        groups = (
            (group, place == len(parts) - 1)
            for parts in map(_groups, chunks)
            for place, group in enumerate(parts)
        )
        self.prepare()  # systems may read sounds of a training list, and are made before others are read beside
        parts: list[list[list[ScoreRow]]] = []
        for read, is_last in self._read_ahead(groups):
            parts.append(self._rows_of_group(read))
            if is_last:
                yield [row for part in zip(*parts, strict=True) for rows in part for row in rows]
                parts = []

    def _read_ahead(self, groups: Iterator[tuple[Sequence[Item], bool]]) -> Iterator[tuple[_Read, bool]]:
        waiting: deque[tuple[Future[_Read], bool]] = deque()
        self._stopped.clear()
        with ThreadPoolExecutor(1, thread_name_prefix="reading") as reader:
            try:
                while True:
                    while len(waiting) < 2 and (group := next(groups, None)) is not None:
                        waiting.append((reader.submit(self._read, group[0]), group[1]))
                    if not waiting:
                        return
                    reading, is_last = waiting.popleft()
                    began = time.monotonic()
                    read = reading.result()
                    self.spent.reading += time.monotonic() - began
                    yield read, is_last
            finally:
                self._stopped.set()  # whoever stops a run does not wait for a group that nobody needs
                reader.shutdown(wait=False, cancel_futures=True)

    def _read(self, items: Sequence[Item]) -> _Read:
        """Mix items, and score what stands beside each system always and needs no network of ours."""
        mixed: list[MixedItem] = []
        lost: list[tuple[Item, str]] = []
        for item in items:
            if self._stopped.is_set():
                raise CancelledError
            try:
                mixed.append(mix(item, self.sounds))
            except DataError as error:
                lost.append((item, error.reason))
        if self.benchmark.card.is_of_tags:
            return _Read(mixed, {}, lost, [])
        truths = {
            (one.item.item_id, label): Truth(target, one.mixture, one.sample_rate)
            for one in mixed
            for label, target in one.targets.items()
        }
        beside: list[list[ScoreRow]] = []
        for system in BASELINES:
            beside.append([])
            for one in mixed:
                if self._stopped.is_set():
                    raise CancelledError
                beside[-1] += self._scores([one], system.separate([one]), system, truths)
        return _Read(mixed, truths, lost, beside)

    def _rows_of_group(self, read: _Read) -> list[list[ScoreRow]]:
        """Give rows of what was lost, of each system, and of scenes of which nothing was asked."""
        mixed = read.mixed
        if self.benchmark.card.is_of_tags:
            return self._tag_rows(read)
        lost = [
            _lost(item, system.name, system.query, reason)
            for item, reason in read.lost
            for system in self.systems
        ]
        rows = [lost, *read.beside]
        for system in self.systems[len(BASELINES) :]:
            began = time.monotonic()
            found = system.separate(mixed)
            self.spent.separating += time.monotonic() - began
            began = time.monotonic()
            rows.append(self._scores(mixed, found, system, read.truths))
            self.spent.scoring += time.monotonic() - began
        is_found = self.benchmark.card.is_of_scenes and "engine" in self.request.systems
        rows.append([self._events(one) for one in mixed] if is_found else [])
        has_levels = is_found and not self.benchmark.card.classes
        rows.append([row for one in mixed for row in self._levels(one)] if has_levels else [])
        return rows

    def _scores(
        self, mixed: Sequence[MixedItem], found: Sequence[Separated], system: System, truths: _Truths
    ) -> list[ScoreRow]:
        """Score estimates; measures that take long, as those of BSSEval, in as many threads as the networks have."""
        asked = [
            (one, separated, label)
            for one, separated in zip(mixed, found, strict=True)
            for label in one.targets
        ]
        score_one = partial(self._score, system=system, truths=truths)
        threads = torch.get_num_threads() if self.benchmark.card.measures else 1
        if threads == 1:
            return [score_one(*target) for target in asked]
        with ThreadPoolExecutor(threads, thread_name_prefix="scoring") as scorers:
            return list(scorers.map(lambda target: score_one(*target), asked))

    def _tag_rows(self, read: _Read) -> list[list[ScoreRow]]:
        """Tag clips, and give a row of each; of classes that the weights know."""
        lost = [_lost(item, name, TAGS, reason) for item, reason in read.lost for name in self.taggers]
        rows = [lost]
        for name, tag in self.taggers.items():
            began = time.monotonic()
            said = tag(read.mixed)
            self.spent.separating += time.monotonic() - began
            rows.append([self._tag_row(one, tags, name) for one, tags in zip(read.mixed, said, strict=True)])
        return rows

    def _tag_row(self, mixed: MixedItem, tags: Tags, system: str) -> ScoreRow:
        labels = {
            str(source.class_id): source.sounds for source in mixed.item.sources if source.role == "tag"
        }
        true = {node: times for node, times in labels.items() if node in tags.probs}
        seconds = len(mixed.mixture) / mixed.sample_rate
        has_times = self._has_times and tags.times is not None
        return ScoreRow(
            item_id=mixed.item.item_id,
            label=TAGS,
            system=system,
            query=TAGS,
            scores={},
            sources=len(labels),
            seconds=seconds,
            true=tuple(sorted(labels)),
            found=tags.found,
            probs=dict(tags.probs),
            counts=time_counts(tags.times or {}, true, seconds=seconds) if has_times else {},
        )

    def _levels(self, mixed: MixedItem) -> list[ScoreRow]:
        """Score what a user gets who asks for the levels of the ontology."""
        began = time.monotonic()
        scores = separate_levels(mixed, engine=self.engine, settings=self.request.settings)
        self.spent.separating += time.monotonic() - began
        seconds = len(mixed.mixture) / mixed.sample_rate
        return [
            row for score in scores for row in level_rows(score, sources=len(mixed.targets), seconds=seconds)
        ]

    def _events(self, mixed: MixedItem) -> ScoreRow:
        """Score what a user gets who asks for nothing: false and missed sounds count."""
        began = time.monotonic()
        found = find_events(
            mixed, self.engine, settings=self.request.settings, classes=self.benchmark.card.classes
        )
        self.spent.separating += time.monotonic() - began
        true, related = true_sounds(mixed), self.vocabulary.ontology.related
        beside = {
            key
            for key in found.probs.keys() | found.stems.keys()
            if key not in true and any(related(key, node) for node in sounds_beside(mixed))
        }
        stems = {key: stem for key, stem in found.stems.items() if key not in beside}
        times: dict[str, list[tuple[float, ...]]] = {}
        for source in mixed.item.sources:
            if source.role == "target" and source.sounds:
                times.setdefault(str(source.class_id), []).extend(source.sounds)
        found_times = {key: spans for key, spans in found.times.items() if key not in beside}
        seconds = len(mixed.mixture) / mixed.sample_rate
        wholes = {key: np.sum(sounds, axis=0) for key, sounds in true.items()}
        one_each = {key: [stem] for key, stem in stems.items()}
        scores = {
            # One estimate is all that a class has: of several sounds of it, their sum.
            "ca_sdri": ca_sdri(one_each, {key: [whole] for key, whole in wholes.items()}, mixed.mixture),
            "capi_sdri": capi_sdri(one_each, true, mixed.mixture),
            **event_shares(mixed.mixture, found.stems, judged=stems, wholes=wholes),
        }
        return ScoreRow(
            item_id=mixed.item.item_id,
            label=EVENTS,
            system="engine",
            query=EVENTS,
            scores={name: value for name, value in scores.items() if value is not None},
            undefined=tuple(name for name, value in scores.items() if value is None),
            sources=len(mixed.targets),
            seconds=seconds,
            true=tuple(sorted(key for key, sounds in true.items() for _ in sounds)),
            found=tuple(sorted(stems)),
            probs={key: prob for key, prob in found.probs.items() if key not in beside},
            counts=time_counts(found_times, times, seconds=seconds) if self._has_times else {},
        )

    @cached_property
    def _has_times(self) -> bool:
        """Whether it is known when targets sound; of a scene without any then too."""
        return any(source.sounds for item in self.scored.items for source in item.sources)

    def _score(
        self, mixed: MixedItem, separated: Separated, label: str, *, system: System, truths: _Truths
    ) -> ScoreRow:
        more = [name for name in self.benchmark.card.measures if name not in self.not_measured]
        truth, estimate = truths[mixed.item.item_id, label], separated.estimates.get(label)
        scores: dict[str, float | None] = {}
        if estimate is not None:
            scores = score(estimate, truth, more=more)
        return ScoreRow(
            item_id=mixed.item.item_id,
            label=label,
            system=system.name,
            query=system.query,
            scores={name: value for name, value in scores.items() if value is not None},
            undefined=tuple(name for name, value in scores.items() if value is None),
            is_detected=separated.detected.get(label),
            input_sdr=None if truth.is_silent else truth.mixture_sdr,
            sources=len({source.label for source in mixed.item.sources if source.role != "mixture"}),
            seconds=len(mixed.mixture) / mixed.sample_rate,
            reason=separated.reasons.get(label),
        )

    @cached_property
    def _conditions(self) -> dict[str, Tensor]:
        """Conditions by label or node: of the training list, or the weights' class means."""
        if self.scored.train is not None:
            return self._of_train(None)
        ids = self.vocabulary.classes.ids
        return {ids[index]: mean for index, mean in (self.weights.class_means or {}).items()}

    def _of_train(self, most: int | None) -> dict[str, Tensor]:
        if self.scored.train is None:
            raise ConfigError("examples query", expected="a training list (--train-list)", found="none")
        return conditions_of_list(
            self.scored.train,
            self.sounds,
            engine=self.engine,
            settings=self.request.settings,
            most=most,
        )

    def _query(self, name: str, settings: SeparationSettings) -> Query:
        if name == "oracle":
            return Oracle(self.engine, settings)
        if name == "text":
            return ByText(self.engine, settings)
        if name == "class-index":
            return ByIndex(self.engine, settings)
        if name == "examples":
            conditions = self._of_train(self.request.examples)
            return ByCondition(self.engine, settings, name=name, conditions=conditions)
        if name == "class-mean" and self.scored.train is not None:
            return ByCondition(self.engine, settings, name=name, conditions=self._conditions)
        return ByNode(
            self.engine,
            settings,
            name="detected" if name == "detected" else "class-mean",
            allow_unknown=self.request.allow_unknown,
        )


@dataclass(frozen=True, eq=False)
class _Read:
    """A group of items as sound, those that cannot be mixed with the reason, and the rows of each baseline."""

    mixed: Sequence[MixedItem]
    truths: _Truths
    lost: Sequence[tuple[Item, str]]
    beside: Sequence[list[ScoreRow]]


def _groups(items: Sequence[Item]) -> list[Sequence[Item]]:
    """Part a chunk so that what is held of it at once is bounded: songs come one by one, pairs all together."""
    groups: list[list[Item]] = [[]]
    held = 0.0
    for item in items:
        seconds = item.seconds or _GUESSED_SECONDS
        if groups[-1] and held + seconds > _GROUP_SECONDS:
            groups.append([])
            held = 0.0
        groups[-1].append(item)
        held += seconds
    return list(groups)


def _lost(item: Item, system: str, query: str, reason: str) -> ScoreRow:
    return ScoreRow(
        item_id=item.item_id,
        label=item.label,
        system=system,
        query=query,
        scores={},
        reason=reason,
    )


def _settings_of(system: str, settings: SeparationSettings) -> SeparationSettings:
    if system == "published":
        return SeparationSettings.published()
    return settings.replace(only_detected=True) if system == "gated" else settings
