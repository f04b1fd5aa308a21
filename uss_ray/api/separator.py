"""One recording goes in; stems, index rows and a report come out. No Ray: the archive's workers call the same code."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from uss_ray.api.inputs import Input, Reader, StoredInput
from uss_ray.api.publisher import Publisher, check_before_work, facts_of, index_name, refuse_existing
from uss_ray.api.queries import Plan, plan_targets
from uss_ray.api.request import SeparationRequest, SoundRequest
from uss_ray.api.sounds import Matches, Names, SeparatedRecording, SeparatedSound, separated_recording
from uss_ray.api.staging import check_output
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.records import Recording
from uss_ray.results.index.table import RunFacts
from uss_ray.results.stems.stem_run import StemRun
from uss_ray.results.stems.writer import write_estimates
from uss_ray.separation.engine import SeparationEngine, build_engine
from uss_ray.separation.mixture import Source
from uss_ray.separation.scheduler import Session
from uss_ray.separation.session import EstimateBlock
from uss_ray.separation.windows import Span
from uss_ray.weights.locate import load_weights

Progress = Callable[[float, float | None], None]
"""Called with (seconds done, seconds in all or None) as segments of a recording are separated."""

_SIDE_BY_SIDE = 8


@dataclass(frozen=True)
class LoadedEngine:
    """An engine for all requests that differ in anything but weights, classes, networks and device.

    Attributes
    ----------
    engine : SeparationEngine
    weights_name, weights_sha256 : str
        What the index says of its weights.
    """

    engine: SeparationEngine
    weights_name: str
    weights_sha256: str


def load_engine(request: SoundRequest) -> LoadedEngine:
    """Load the weights of a request, and make an engine of them.

    Raises
    ------
    UssRayError
        If weights, ontology, class list or device are missing, wrong or do not fit each other.
    """
    vocabulary = Vocabulary.load(ontology_path=request.ontology, classes_path=request.class_list)
    weights = load_weights(request.weights, storage=request.storage)
    weights.check_classes(vocabulary.classes.ids)
    engine = build_engine(weights, vocabulary=vocabulary, networks=request.networks, device=request.device)
    return LoadedEngine(engine, weights.name, weights.sha256)


class SoundSeparator:
    """Separates sound for one request, wherever the results go.

    Parameters
    ----------
    request : SoundRequest
        What to do with each recording.
    loaded : LoadedEngine, optional
        Of this request or of one that asks for something else of the same weights. None: loaded now.
    plan : Plan, optional
        Of the query and settings of this request. None: made now.

    Attributes
    ----------
    request : SoundRequest
        The same.
    engine : SeparationEngine
        With the weights of the request.
    wanted : StemRun
        The stems that are wanted, and what the index says of every row.

    Raises
    ------
    UssRayError
        If weights, settings, query, ontology or class list are missing, wrong or do not fit each other.
    """

    def __init__(
        self, request: SoundRequest, *, loaded: LoadedEngine | None = None, plan: Plan | None = None
    ) -> None:
        chosen = loaded or load_engine(request)
        self.request = request
        self.engine = chosen.engine
        self._plan = plan or plan_targets(request, engine=chosen.engine)
        self.wanted = StemRun(
            plan=self._plan.stems,
            facts=RunFacts(
                run_id=request.run_id(weights_sha256=chosen.weights_sha256),
                weights_name=chosen.weights_name,
                weights_sha256=chosen.weights_sha256,
                settings=request.described(),
            ),
            options=request.write,
            silence=request.settings.silence,
            fade_seconds=request.settings.fade_seconds,
            surely_absent_below=request.settings.absent_probability,
        )

    @property
    def run(self) -> RunFacts:
        """What the index says of every row."""
        return self.wanted.facts

    @property
    def span_context_seconds(self) -> int:
        """Whole seconds of a recording that are read before and after a span of it."""
        return self.engine.span_context_seconds(self.request.settings)

    @property
    def matches(self) -> Matches:
        """Each free text of the query and what it was resolved to."""
        return self._plan.matches

    @property
    def names(self) -> Names:
        """Each class and free text of the query as it was asked for, and the node id or key of its rows."""
        return self._plan.names

    def open_session(
        self, source: Source, *, span: Span | None = None, on_seconds: Callable[[float], None] | None = None
    ) -> Session[EstimateBlock]:
        """Prepare a recording, or a span of one, for `engine.stream_many`; `on_seconds` as of `engine.open_session`."""
        return self.engine.open_session(
            source,
            self._plan.separation,
            settings=self.request.settings,
            span=span,
            estimates=self.request.write.write != "index-only",
            on_seconds=on_seconds,
        )

    def hold(self, inputs: Sequence[Input], *, progress: Progress | None = None) -> list[SeparatedSound]:
        """Separate recordings in memory, some of them side by side.

        Parameters
        ----------
        inputs : sequence of Input
        progress : callable, optional
            Called as it goes on, with the seconds of all of them; how many there are in all is told of one alone.

        Returns
        -------
        list of SeparatedSound
            In their order.

        Raises
        ------
        RecordingError
            If one cannot be read.
        """
        held: list[SeparatedSound] = []
        seconds = 0.0
        for first in range(0, len(inputs), _SIDE_BY_SIDE):
            some = inputs[first : first + _SIDE_BY_SIDE]
            held += self._hold_together(some, told=_Told(progress, before=seconds, is_one=len(inputs) == 1))
            seconds = sum(sound.seconds for sound in held)
        return held

    def _hold_together(self, inputs: Sequence[Input], *, told: _Told) -> list[SeparatedSound]:
        started = time.monotonic()
        with ExitStack() as stack:
            opened = [stack.enter_context(given.opened()) for given in inputs]
            sessions = [
                self.open_session(one.reader, on_seconds=told.of(place, one.reader))
                for place, one in enumerate(opened)
            ]
            blocks: list[list[EstimateBlock]] = [[] for _ in opened]
            for place, block in self.engine.stream_many(sessions):
                if isinstance(block, EstimateBlock):
                    blocks[place].append(block)
                elif block.error is not None:
                    raise block.error
            specs = [one.reader.tagged_spec() for one in opened]
            facts = [
                replace(facts_of(one.recording, spec=spec), recording_sha256=one.sha256())
                for one, spec in zip(opened, specs, strict=True)
            ]
        wanted = replace(self.wanted, options=self.request.write.replace(report=False))
        return [
            SeparatedSound(
                given,
                recording=one.recording,
                sounds=self.request,
                wanted=self.wanted,
                spec=spec,
                blocks=found,
                made=write_estimates(found, wanted, root=None, recording=known, started=started),
                plan=self._plan,
            )
            for given, one, spec, found, known in zip(inputs, opened, specs, blocks, facts, strict=True)
        ]


class RecordingSeparator(SoundSeparator):
    """Separates recordings one after another to files, or opens sessions of them, for one request.

    Parameters
    ----------
    request : SeparationRequest
        What to do with each of them, and where the results go.
    loaded, plan : optional
        See `SoundSeparator`.
    scratch : Path or None, default=None
        Staging folder of the job this is a part of; see `staging.staging_folder`.

    Attributes
    ----------
    request : SeparationRequest
        The same.
    publisher : Publisher
        Of what is separated.

    Raises
    ------
    UssRayError
        See `SoundSeparator`.
    """

    request: SeparationRequest

    def __init__(
        self,
        request: SeparationRequest,
        *,
        loaded: LoadedEngine | None = None,
        plan: Plan | None = None,
        scratch: Path | None = None,
    ) -> None:
        super().__init__(request, loaded=loaded, plan=plan)
        self.publisher = Publisher(request.output_store, self.wanted, scratch=scratch)

    def separate(
        self, recording: Recording | Input, *, progress: Progress | None = None, is_checked: bool = False
    ) -> SeparatedRecording:
        """Separate one recording and commit its results: stems and report first, index rows last.

        Parameters
        ----------
        recording : Recording or Input
            What to separate.
        progress : callable, optional
            Called as it goes on.
        is_checked : bool, default=False
            Whether somebody has seen to it that no results of an earlier run are in the way.

        Returns
        -------
        SeparatedRecording
            What came out.

        Raises
        ------
        RecordingError
            If the recording cannot be read.
        OutputError
            If results of an earlier run are in the way, or the results cannot be written.
        """
        started = time.monotonic()
        request = self.request
        given = recording
        if isinstance(given, Recording):
            given = StoredInput(given, request.storage, request.strict)
        if not (request.overwrite or is_checked):
            refuse_existing(request.output_store, recording=given.recording)
        with given.opened() as opened:
            reader = opened.reader
            check_before_work(reader.spec, name=reader.name, write=request.write)
            told = _Told(progress, is_one=True)
            session = self.open_session(reader, on_seconds=told.of(0, reader))
            rows = self.publisher.publish(
                self.engine.drive(session),
                recording=opened.recording,
                spec=reader.tagged_spec(),
                started=started,
            ).with_recording_sha256(opened.sha256())
        self.publisher.commit_recordings([rows], name=index_name(given.recording))
        return separated_recording(
            opened.recording,
            rows=rows,
            request=request,
            matches=self.matches,
            names=self.names,
            is_stored=isinstance(given, StoredInput),
        )


class _Told:
    """Tells how far some recordings are, all of them together; `before` is what was done of others."""

    def __init__(self, progress: Progress | None, *, is_one: bool, before: float = 0.0) -> None:
        self._progress = progress
        self._before = before
        self._is_one = is_one
        self._done: dict[int, float] = {}

    def of(self, place: int, reader: Reader) -> Callable[[float], None] | None:
        """Give what one of them calls with its seconds."""
        progress = self._progress
        if progress is None:
            return None
        total = reader.spec.duration_seconds if self._is_one else None

        def tell(seconds: float) -> None:
            self._done[place] = seconds
            progress(self._before + sum(self._done.values()), total)

        return tell


def check_place(recordings: Iterable[Recording], *, request: SeparationRequest) -> None:
    """Find out before any work whether the results of recordings have a place.

    Raises
    ------
    OutputError
        If the output root cannot be written, or holds results of one of them.
    """
    check_output(request.output_store)
    if not request.overwrite:
        for recording in recordings:
            refuse_existing(request.output_store, recording=recording)
