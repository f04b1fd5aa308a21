"""What is evaluated: the engine as users run it, the bare network, anybody's function; and what always is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from uss_ray.audio.level import dbfs
from uss_ray.audio.resample import BlockResampler
from uss_ray.errors import ConfigError, QueryError, WeightsError
from uss_ray.evaluation.queries import Query
from uss_ray.evaluation.sounds import MixedItem
from uss_ray.models.stft import Stft
from uss_ray.separation.engine import SeparationEngine
from uss_ray.separation.mixture import ArraySource
from uss_ray.separation.networks import EstimateRow
from uss_ray.separation.scheduler import SessionEnd
from uss_ray.separation.session import EstimateBlock
from uss_ray.separation.settings import SeparationSettings
from uss_ray.separation.targets import (
    Asking,
    SeparationPlan,
    Target,
    targets_for_classes,
    targets_for_events,
)

Waveform = NDArray[np.float32]
Spans = dict[str, list[tuple[float, ...]]]
"""By node id, start and end of each event in seconds."""

_FLOOR = 1e-10
_WINDOW, _HOP = 2048, 320
_JOINED_SECONDS = 0.01


@dataclass(frozen=True, eq=False)
class Separated:
    """What a system made of an item.

    Parameters
    ----------
    estimates : dict of str to ndarray of shape (samples,), dtype=float32
        By label of the target; what it could not ask for is not there.
    detected : dict of str to bool
        Whether the target reached the threshold anywhere, of systems that tell.
    reasons : dict of str to str
        Why an estimate is not there.
    """

    estimates: Mapping[str, Waveform]
    detected: Mapping[str, bool] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)


class System(ABC):
    """One system with one kind of query.

    Attributes
    ----------
    name, query : str
        The query is empty of what needs none.
    """

    name: str
    query: str = ""

    @abstractmethod
    def separate(self, items: Sequence[MixedItem]) -> list[Separated]:
        """Separate some items."""


class Baseline(System):
    """A system that knows the answer, or does nothing.

    Parameters
    ----------
    name : str
    estimate : callable
        From mixture and target to an estimate.
    """

    def __init__(self, name: str, estimate: Callable[[Waveform, Waveform], Waveform]) -> None:
        self.name = name
        self._estimate = estimate

    def separate(self, items: Sequence[MixedItem]) -> list[Separated]:
        """See `System`."""
        return [
            Separated({label: self._estimate(item.mixture, target) for label, target in item.targets.items()})
            for item in items
        ]


def _masked(mixture: Waveform, target: Waveform, *, power: float) -> Waveform:
    stft = Stft(window_samples=_WINDOW, hop_samples=_HOP)
    sounds = torch.from_numpy(np.stack([mixture, target, mixture - target]))
    whole, own, rest = stft(sounds)
    wanted, other = own.abs() ** power, rest.abs() ** power
    mask = wanted / (wanted + other).clamp_min(_FLOOR)
    return stft.inverse(whole * mask, samples=len(mixture)).numpy()


BASELINES: Final = (
    Baseline("mixture", lambda mixture, _: mixture),
    Baseline("half", lambda mixture, _: mixture * np.float32(0.5)),
    Baseline("ideal-ratio-mask", lambda mixture, target: _masked(mixture, target, power=1)),
    Baseline("wiener-mask", lambda mixture, target: _masked(mixture, target, power=2)),
)


class EngineSystem(System):
    """The engine, each item as a recording of its own.

    Parameters
    ----------
    name : str
    query : Query
        Brings engine and settings.
    """

    def __init__(self, name: str, query: Query) -> None:
        self.name, self.query = name, query.name
        self._query = query

    def separate(self, items: Sequence[MixedItem]) -> list[Separated]:
        """See `System`."""
        asked = [_asked(item, self._query) for item in items]
        engine, settings = self._query.engine, self._query.settings
        places = [place for place, (targets, _) in enumerate(asked) if targets]
        sessions = [
            engine.open_session(
                ArraySource(
                    items[place].mixture, sample_rate=items[place].sample_rate, name=items[place].item.item_id
                ),
                SeparationPlan(tuple({target.key: target for target in asked[place][0].values()}.values())),
                settings=settings,
            )
            for place in places
        ]
        estimates = [
            {label: np.zeros_like(item.mixture) for label in targets}
            for item, (targets, _) in zip(items, asked, strict=True)
        ]
        detected = [
            {label: False for label, target in targets.items() if target.class_indexes}
            for targets, _ in asked
        ]
        for number, block in engine.stream_many(sessions):
            if isinstance(block, SessionEnd):
                if block.error is not None:
                    raise block.error
                continue
            place = places[number]
            columns = list(dict.fromkeys(target.key for target in asked[place][0].values()))
            for label, target in asked[place][0].items():
                if label in detected[place]:
                    detected[place][label] |= bool(block.detected[:, columns.index(target.key)].any())
                if target.key in block.estimates:
                    estimate = block.estimates[target.key][0]
                    estimates[place][label][block.start_frame : block.start_frame + len(estimate)] = estimate
        return [
            Separated(own, heard, reasons)
            for own, heard, (_, reasons) in zip(estimates, detected, asked, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class Found:
    """What the engine finds in a recording that nothing was asked of.

    Parameters
    ----------
    stems : dict of str to ndarray of shape (samples,), dtype=float32
        By node id; what is below the floor of a silent stem is not there.
    probs : dict of str to float
        Highest probability of each event over the recording, in [0, 1].
    times : dict of str to list of (float, float)
        By node id, start and end of each event in seconds.
    """

    stems: Mapping[str, Waveform]
    probs: Mapping[str, float]
    times: Mapping[str, list[tuple[float, ...]]]


def find_events(
    item: MixedItem, engine: SeparationEngine, *, settings: SeparationSettings, classes: Sequence[str] = ()
) -> Found:
    """Separate a mixture into events, as `uss-ray separate` does by default, or into some classes where detected.

    Parameters
    ----------
    item : MixedItem
    engine : SeparationEngine
    settings : SeparationSettings
    classes : sequence of str, default=()
        Labels or node ids; without them events.
    """
    targets = (
        targets_for_classes(engine.vocabulary, names=classes, asking=Asking(only_detected=True))
        if classes
        else targets_for_events(engine.vocabulary, known=engine.known)
    )
    plan = SeparationPlan(targets)
    source = ArraySource(item.mixture, sample_rate=item.sample_rate, name=item.item.item_id)
    probs = np.zeros(len(plan.targets))
    stems: dict[str, Waveform] = {}
    times: Spans = {}
    for block in engine.stream(source, plan, settings=settings):
        probs = np.maximum(probs, np.nan_to_num(block.segment_probs).max(axis=0))
        add_estimates(stems, block, frames=len(item.mixture))
        add_spans(times, block, plan.targets)
    return Found(
        written_stems(stems, settings=settings),
        {
            target.key: float(prob)
            for target, prob in zip(plan.targets, probs, strict=True)
            if target.is_known
        },
        times,
    )


def add_estimates(stems: dict[str, Waveform], block: EstimateBlock, *, frames: int) -> None:
    """Put the estimates of a block to their place.

    Parameters
    ----------
    stems : dict of str to ndarray of shape (frames,), dtype=float32
        By key of the target; grows.
    block : EstimateBlock
    frames : int
        Of the recording.
    """
    for key, estimate in block.estimates.items():
        whole = stems.setdefault(key, np.zeros(frames, np.float32))
        whole[block.start_frame : block.start_frame + estimate.shape[1]] = estimate[0]


def written_stems(stems: Mapping[str, Waveform], *, settings: SeparationSettings) -> dict[str, Waveform]:
    """Give the stems that a user would get: those below the floor of a silent stem are not written."""
    floor = settings.silence.stem_silent_below_peak_dbfs
    return {
        key: stem for key, stem in stems.items() if floor is None or dbfs(float(np.abs(stem).max())) >= floor
    }


def add_spans(times: Spans, block: EstimateBlock, targets: Sequence[Target]) -> None:
    """Add when the active targets of a block are heard.

    Parameters
    ----------
    times : dict of str to list of (float, float)
        By key of the target; grows.
    block : EstimateBlock
    targets : sequence of Target
        Of the plan.
    """
    for segment, spans in enumerate(block.detected_spans):
        for column, start, end in spans.tolist():
            if block.active[segment, int(column)]:
                _add_span(times.setdefault(targets[int(column)].key, []), start, end)


def _add_span(times: list[tuple[float, ...]], start: float, end: float) -> None:
    """Add a span, or go on with the last one where a segment ended in it."""
    if times and start <= times[-1][1] + _JOINED_SECONDS:
        times[-1] = (times[-1][0], max(end, times[-1][1]))
    else:
        times.append((start, end))


class BareSystem(System):
    """The network on hard blocks, without an engine around it.

    Parameters
    ----------
    query : Query
        Brings the engine whose network it is, and conditions, directly or as class means.
    segment_seconds : float
        Of a block.

    Raises
    ------
    ConfigError
        If the query is made of the mixture by an engine.
    """

    name = "bare"

    def __init__(self, query: Query, *, segment_seconds: float) -> None:
        if query.name == "detected":
            raise ConfigError("bare network", expected="a query with a condition", found=query.name)
        self.query = query.name
        self._query = query
        self._samples = round(segment_seconds * query.engine.sample_rate)

    def separate(self, items: Sequence[MixedItem]) -> list[Separated]:
        """See `System`."""
        found = []
        for item in items:
            targets, reasons = _asked(item, self._query)
            found.append(
                Separated(
                    {label: self._estimate(item, target) for label, target in targets.items()}, {}, reasons
                )
            )
        return found

    def _estimate(self, item: MixedItem, target: Target) -> Waveform:
        engine = self._query.engine
        condition = engine.class_mean(target) if target.condition is None else target.condition
        if condition is None:
            raise WeightsError(
                "weights", expected="a class mean of each class", found=f"none of {target.key}"
            )
        rate = engine.sample_rate
        there, back = BlockResampler(item.sample_rate, rate), BlockResampler(rate, item.sample_rate)
        mixture = there.resample(item.mixture[None])[0]
        blocks = -(-len(mixture) // self._samples)
        padded = np.pad(mixture, (0, blocks * self._samples - len(mixture))).reshape(blocks, self._samples)
        condition = condition.to(engine.device)
        rows = [EstimateRow(torch.from_numpy(row).to(engine.device), condition) for row in padded]
        together = engine.networks.batch_size
        estimates = [
            estimate.cpu().numpy()
            for first in range(0, len(rows), together)
            for estimate in engine.networks.forward(rows[first : first + together])
        ]
        return back.resample(np.concatenate(estimates)[None, : len(mixture)])[0, : len(item.mixture)]


class ForeignSystem(System):
    """A function of anybody's: ``module:function``.

    It is called with a mixture (samples,), its rate in Hz and the labels that are asked for, and gives estimates of
    shape (labels, samples).

    Parameters
    ----------
    name : str

    Raises
    ------
    ConfigError
        If there is no such function.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        module, _, function = name.partition(":")
        try:
            self._function: Callable[[Waveform, int, list[str]], Any] = getattr(
                import_module(module), function
            )
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError("system", expected="module:function", found=f"{name} ({error})") from error

    def separate(self, items: Sequence[MixedItem]) -> list[Separated]:
        """See `System`."""
        return [self._one(item) for item in items]

    def _one(self, item: MixedItem) -> Separated:
        labels = list(item.targets)
        if not labels:  # a scene in which nothing is to be found
            return Separated({})
        estimates = np.asarray(self._function(item.mixture, item.sample_rate, labels), np.float32)
        expected = (len(labels), len(item.mixture))
        if estimates.shape != expected or not np.isfinite(estimates).all():
            found = f"shape {estimates.shape}" if estimates.shape != expected else "NaN or infinity"
            raise ConfigError(
                f"system {self.name}", expected=f"finite estimates of shape {expected}", found=found
            )
        return Separated(dict(zip(labels, estimates, strict=True)))


def _asked(item: MixedItem, query: Query) -> tuple[dict[str, Target], dict[str, str]]:
    targets: dict[str, Target] = {}
    reasons = {}
    for source in item.item.targets:
        try:
            target = query.target(item, source)
        except QueryError as error:
            reasons[source.label] = error.reason
            continue
        if target.condition is not None and any(target.key == other.key for other in targets.values()):
            target = replace(
                target, key=f"{target.key} {source.label}"
            )  # of one class, and yet another sound
        targets[source.label] = target
    return targets, reasons
