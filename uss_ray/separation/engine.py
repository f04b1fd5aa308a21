"""The engine: recordings and queries go in, estimates come out; the same for one recording, an archive and a service.

Owns the binding of weights, settings and device. Reading files and writing results are left to others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from uss_ray.errors import ConfigError, QueryError, WeightsError
from uss_ray.models.device import find_device
from uss_ray.models.forks import note_computing
from uss_ray.models.memory import lay_out_channels_last
from uss_ray.models.protocols import QueryNetLike, Separator, WeightsLike, known_classes, pools_frames
from uss_ray.models.resunet import BandedResUNet, ResUNet, in_bands
from uss_ray.ontology.known import KnownNodes
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.calibration import Calibration
from uss_ray.separation.conditions import Conditioner, condition_of_examples
from uss_ray.separation.masking import reference_weights
from uss_ray.separation.mixture import MixtureReader, Source
from uss_ray.separation.networks import Networks, rows_in_a_forward
from uss_ray.separation.scheduler import Scheduler, Session, SessionEnd
from uss_ray.separation.session import EstimateBlock, RecordingSession, SessionNetworks
from uss_ray.separation.settings import (
    ConditionKind,
    NetworkSettings,
    SeparationSettings,
    nearest_segment_seconds,
)
from uss_ray.separation.targets import SeparationPlan, Target
from uss_ray.separation.windows import Span, WindowGrid

Network = TypeVar("Network")

_log = logging.getLogger(__name__)


class SeparationEngine:
    """Separate recordings with one set of weights; make it with `build_engine`.

    It holds what all requests share. What one request wants, its plan and its settings, comes with each session, so
    that one engine serves requests of different kinds side by side.

    Parameters
    ----------
    weights : WeightsLike
        Its networks are on `device` and in evaluation mode.
    vocabulary : Vocabulary
        Its class list has the order of the tagger's outputs.
    networks : NetworkSettings
    device : torch.device

    Attributes
    ----------
    vocabulary : Vocabulary
        The same.
    known : KnownNodes
        Which of its nodes the weights were trained on.

    Raises
    ------
    WeightsError
        If the weights lack a network.
    """

    def __init__(
        self,
        weights: WeightsLike,
        *,
        vocabulary: Vocabulary,
        networks: NetworkSettings,
        device: torch.device,
    ) -> None:
        tagger = _present(weights.tagger, name="tagger")
        self._tagger = tagger
        self._separator = _present(weights.separator, name="separator")
        if networks.in_bands:
            self._separator = _heard_in_bands(self._separator, device=device)
        self._query_net: QueryNetLike = _present(weights.query_net, name="query net")
        self.vocabulary = vocabulary
        self.known = KnownNodes(vocabulary, known_classes(weights))
        self._settings = networks
        self._device = device
        self._class_means = weights.class_means
        self._trained_seconds = weights.specifications.segment_seconds
        self._calibration = weights.specifications.calibration
        self._warned: set[int] = set()
        self._conditioners: dict[ConditionKind, Conditioner] = {}
        self._networks = Networks(
            tagger=tagger,
            separator=self._separator,
            batch_size=rows_in_a_forward(networks.batch_size, device=device),
            precision=networks.precision,
            device=device,
        )

    @property
    def sample_rate(self) -> int:
        """Of the networks, in Hz."""
        return self._separator.sample_rate

    @property
    def device(self) -> torch.device:
        """Where the networks run."""
        return self._device

    @property
    def networks(self) -> Networks:
        """The networks without anything around them: rows go in as they are to be heard."""
        return self._networks

    @property
    def condition_size(self) -> int:
        """How many numbers a condition has."""
        return self._separator.condition_size

    def class_mean(self, target: Target) -> Tensor | None:
        """Give the mean condition that steers to a target's classes; None where the weights have none."""
        return self._conditioner("class-mean").class_mean(target)

    def span_context_seconds(self, settings: SeparationSettings) -> int:
        """Tell how many whole seconds a `PartSource` holds before and after a span, at rates from 256 Hz on.

        Less is right only where the recording begins or ends; more changes nothing.
        """
        return WindowGrid(self._fitting(settings), separator=self._separator).span_context_seconds

    def _fitting(self, settings: SeparationSettings) -> SeparationSettings:
        """Give a tagger no sound around a segment that cannot tell of the segment alone."""
        return settings if pools_frames(self._tagger) else settings.replace(tag_context_seconds=0.0)

    def fit(self, plan: SeparationPlan, *, settings: SeparationSettings) -> SeparationPlan:
        """Fit a plan to what these weights can do, and refuse what they cannot, before any work is done.

        Segments of another length than the networks were trained on are no fault; the log says so, once.

        Returns
        -------
        SeparationPlan
            Of a level and the events, what nothing steers the separator to is heard and not separated.

        Raises
        ------
        ConfigError
            If settings and weights do not fit each other.
        QueryError
            If a target holds classes that the vocabulary does not have.
        WeightsError
            If the weights lack class means that the settings ask for, or the separator cannot be steered to a target.
        """
        WindowGrid(settings, separator=self._separator)
        seconds = settings.segment_seconds
        if seconds != nearest_segment_seconds(self._trained_seconds) and seconds not in self._warned:
            self._warned.add(seconds)
            _log.warning("segments of %d s; the weights were trained on %g s", seconds, self._trained_seconds)
        conditioner = self._conditioner(settings.condition)
        targets = tuple(
            target
            if target.group is None or not target.is_gated or conditioner.steers(target)
            else replace(target, is_separable=False)
            for target in plan.targets
        )
        for target in (*targets, *plan.exclude):
            outside = [index for index in target.class_indexes if index >= len(self.vocabulary.classes)]
            if outside:
                raise QueryError(
                    target.label,
                    expected=f"class indexes below {len(self.vocabulary.classes)}",
                    found=str(outside[0]),
                )
            conditioner.check(target)
        return plan if targets == plan.targets else replace(plan, targets=targets)

    def stream(
        self, source: Source, plan: SeparationPlan, *, settings: SeparationSettings | None = None
    ) -> Iterator[EstimateBlock]:
        """Separate a recording while it is read.

        Parameters
        ----------
        source : Source
            Read once, from its start; its own rate and channels are those of the estimates.
        plan : SeparationPlan
        settings : SeparationSettings, optional
            None: the defaults.

        Returns
        -------
        iterator of EstimateBlock
            In order, without gaps or overlaps, as many frames as came in; nothing for a source without frames.
            The memory it takes does not depend on the recording's length.

        Raises
        ------
        ConfigError, QueryError, WeightsError
            As of `fit`.
        """
        return self.drive(self.open_session(source, plan, settings=settings))

    def drive(self, session: Session[EstimateBlock]) -> Iterator[EstimateBlock]:
        """Separate one recording of `open_session`; what goes wrong is raised."""
        for _, block in self.stream_many([session]):
            if isinstance(block, EstimateBlock):
                yield block
            elif block.error is not None:
                raise block.error

    def stream_many(
        self, sessions: Sequence[Session[EstimateBlock]]
    ) -> Iterator[tuple[int, EstimateBlock | SessionEnd]]:
        """Separate several recordings side by side, so that they fill batches together.

        Parameters
        ----------
        sessions : sequence of Session
            Of `open_session`; each takes the memory of a `stream`.

        Yields
        ------
        int
            Position of the recording.
        EstimateBlock or SessionEnd
            Its next block, the same as of the recording alone; last its end, which says why if it could not go on,
            for instance for its source fails. The others are not touched.
        """
        scheduler = self.scheduler()
        places = {scheduler.submit(session): place for place, session in enumerate(sessions)}
        try:
            while len(scheduler):
                for ticket, block in scheduler.step():
                    yield places[ticket], block
        finally:
            scheduler.close()

    def scheduler(self) -> Scheduler[EstimateBlock]:
        """Make a scheduler for sessions of `open_session` that come and go."""
        return Scheduler(self._networks)

    def open_session(
        self,
        source: Source,
        plan: SeparationPlan,
        *,
        settings: SeparationSettings | None = None,
        span: Span | None = None,
        estimates: bool = True,
        on_seconds: Callable[[float], None] | None = None,
    ) -> Session[EstimateBlock]:
        """Prepare a recording, or a span of one, for `stream_many` or a scheduler.

        Parameters
        ----------
        source : Source
            Of a part of a recording a `PartSource`.
        plan : SeparationPlan
        settings : SeparationSettings, optional
            None: the defaults.
        span : Span, optional
            The segments to give out, at their position in the recording; nothing, where it has already ended. The
            blocks of consecutive spans are, set end to end, those of the undivided recording, bit for bit. None: all.
        estimates : bool, default=True
            False: only tag. Blocks then say what sounds when and hold no estimates; no mask is made.
        on_seconds : callable, optional
            Called as segments are done, with where in the recording the next begins; more often than blocks come.

        Returns
        -------
        Session of EstimateBlock

        Raises
        ------
        ConfigError
            If a `PartSource` holds too little around the span (see `span_context_seconds`), and as of `fit` and
            `models.forks.note_computing`.
        QueryError, WeightsError
            As of `fit`.
        """
        note_computing()
        chosen = self._fitting(settings or SeparationSettings())
        return RecordingSession(
            source,
            self.fit(plan, settings=chosen),
            settings=chosen,
            networks=SessionNetworks(
                separator=self._separator,
                conditioner=self._conditioner(chosen.condition),
                calibration=Calibration(
                    chosen, classes=len(self.vocabulary.classes), of_weights=self._calibration
                ),
                vocabulary=self.vocabulary,
                settings=self._settings,
                device=self._device,
            ),
            span=span or Span(0, None),
            estimates=estimates,
            on_seconds=on_seconds,
        ).steps()

    def condition_of_examples(self, sources: Iterable[Source], *, settings: SeparationSettings) -> Tensor:
        """Average example recordings to the condition of an audio query, for `targets.target_for_condition`.

        Parameters
        ----------
        sources : iterable of Source
            Each is held in memory as a whole.
        settings : SeparationSettings
            Those that the condition is meant for.

        Returns
        -------
        Tensor of shape (condition_size,)

        Raises
        ------
        QueryError
            If there is no sound in any of them.
        ConfigError
            As of `models.forks.note_computing`.
        """
        note_computing()
        return condition_of_examples(
            (self._read_mono(source) for source in sources),
            query_net=self._query_net,
            sample_rate=self._separator.sample_rate,
            settings=settings,
            batch_size=self._settings.batch_size,
            device=self._device,
        )

    def _conditioner(self, kind: ConditionKind) -> Conditioner:
        if kind not in self._conditioners:
            self._conditioners[kind] = Conditioner(self._query_net, class_means=self._class_means, kind=kind)
        return self._conditioners[kind]

    def _read_mono(self, source: Source) -> NDArray[np.float32]:
        reader = MixtureReader(source, model_rate=self._separator.sample_rate, step_seconds=1)
        while not reader.ended:
            reader.read_until(reader.model.stop + 1)
        waveform = reader.model.view(0, reader.model.stop)
        return (reference_weights(waveform) @ waveform).astype(np.float32)


def build_engine(
    weights: WeightsLike,
    *,
    vocabulary: Vocabulary,
    networks: NetworkSettings | None = None,
    device: str | torch.device = "cpu",
) -> SeparationEngine:
    """Bring weights to a device, once, and make an engine of them.

    Parameters
    ----------
    weights : WeightsLike
        Its networks are moved and set to evaluation mode in place.
    vocabulary : Vocabulary
        Its class list has the order of the tagger's outputs.
    networks : NetworkSettings, optional
        None: the defaults.
    device : str or torch.device, default="cpu"
        As of `find_device`.

    Returns
    -------
    SeparationEngine

    Raises
    ------
    ConfigError
        If the device does not exist.
    WeightsError
        If the weights lack a network.
    """
    chosen = find_device(device)
    for network in (weights.tagger, weights.query_net, weights.separator):
        if isinstance(network, nn.Module):
            lay_out_channels_last(network.to(chosen)).eval()
    return SeparationEngine(
        weights, vocabulary=vocabulary, networks=networks or NetworkSettings(), device=chosen
    )


def _heard_in_bands(separator: Separator, *, device: torch.device) -> Separator:
    if isinstance(separator, BandedResUNet):
        return separator
    if not isinstance(separator, ResUNet):
        raise ConfigError(
            "networks in_bands", expected="weights with a ResUNet", found=type(separator).__name__
        )
    banded: Separator = lay_out_channels_last(in_bands(separator).to(device)).eval()
    return banded


def _present(network: Network | None, *, name: str) -> Network:
    if network is None:
        raise WeightsError(f"{name} of the weights", expected="one, to separate with", found="none")
    return network
