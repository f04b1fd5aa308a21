"""One recording goes in; stems, index rows and a report come out. No Ray: the archive's workers call the same code."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from uss_ray.api.publisher import Publisher, check_before_work, index_name
from uss_ray.api.queries import plan_targets
from uss_ray.api.request import SeparationRequest, request_with
from uss_ray.api.staging import check_output
from uss_ray.audio.codec import RecordingReader
from uss_ray.errors import OutputError
from uss_ray.ontology.vocabulary import TextMatch, Vocabulary
from uss_ray.records import Recording
from uss_ray.results.index.table import IndexRow, RunFacts
from uss_ray.results.layout import index_path, is_own_file, recording_folder, report_path
from uss_ray.results.stems.stem_run import StemRun
from uss_ray.separation.engine import SeparationEngine, build_engine
from uss_ray.separation.mixture import Source
from uss_ray.separation.scheduler import Session
from uss_ray.separation.session import EstimateBlock
from uss_ray.separation.windows import Span
from uss_ray.sources.reading import open_digested_recording
from uss_ray.sources.recordings import single_recording
from uss_ray.store.store import Store
from uss_ray.weights.folder import load_weights
from uss_ray.weights.locate import locate_weights

Progress = Callable[[float, float | None], None]
"""Called with (seconds done, seconds in all or None) as a recording is separated."""


@dataclass(frozen=True, kw_only=True)
class SeparatedRecording:
    """One recording, separated and committed.

    Parameters
    ----------
    recording : Recording
        What was separated.
    rows : sequence of IndexRow
        One for each stem asked for, then the residuals.
    output : str
        Output root.
    folder : str
        Where its stems are.
    report : str or None
        Its HTML page, if one was asked for.
    seconds : float
        Length of the recording.
    processing_seconds : float
        Time it took.
    matches : tuple of (str, TextMatch)
        Each free text and what it was resolved to.
    """

    recording: Recording
    rows: Sequence[IndexRow]
    output: str
    folder: str
    report: str | None
    seconds: float
    processing_seconds: float
    matches: tuple[tuple[str, TextMatch], ...] = ()


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


def load_engine(request: SeparationRequest) -> LoadedEngine:
    """Load the weights of a request, and make an engine of them.

    Raises
    ------
    UssRayError
        If weights, ontology, class list or device are missing, wrong or do not fit each other.
    """
    vocabulary = Vocabulary.load(ontology_path=request.ontology, classes_path=request.class_list)
    weights = load_weights(locate_weights(request.weights, storage=request.storage))
    weights.check_classes(vocabulary.classes.ids)
    device = request.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    engine = build_engine(weights, vocabulary=vocabulary, networks=request.networks, device=device)
    return LoadedEngine(engine, weights.name, weights.sha256)


class RecordingSeparator:
    """Separates recordings one after another, or opens sessions of them, for one request.

    Parameters
    ----------
    request : SeparationRequest
        What to do with each of them.
    loaded : LoadedEngine, optional
        Of this request or of one that asks for something else of the same weights. None: loaded now.
    scratch : Path or None, default=None
        Staging folder of the job this is a part of; see `staging.staging_folder`.

    Attributes
    ----------
    request : SeparationRequest
        The same.
    run : RunFacts
        What the index says of every row.
    engine : SeparationEngine
        With the weights of the request.
    publisher : Publisher
        Of what is separated.

    Raises
    ------
    UssRayError
        If weights, settings, query, ontology or class list are missing, wrong or do not fit each other.
    """

    def __init__(
        self,
        request: SeparationRequest,
        *,
        loaded: LoadedEngine | None = None,
        scratch: Path | None = None,
    ) -> None:
        chosen = loaded or load_engine(request)
        self.request = request
        self.engine = chosen.engine
        self._plan = plan_targets(request, engine=chosen.engine)
        self.run = RunFacts(
            run_id=request.run_id(weights_sha256=chosen.weights_sha256),
            weights_name=chosen.weights_name,
            weights_sha256=chosen.weights_sha256,
            settings=request.described(),
        )
        wanted = StemRun(
            plan=self._plan.stems,
            facts=self.run,
            options=request.write,
            silence=request.settings.silence,
            fade_seconds=request.settings.fade_seconds,
        )
        self.publisher = Publisher(request.output_store, wanted, scratch=scratch)

    @property
    def span_context_seconds(self) -> int:
        """Whole seconds of a recording that are read before and after a span of it."""
        return self.engine.span_context_seconds(self.request.settings)

    @property
    def matches(self) -> tuple[tuple[str, TextMatch], ...]:
        """Each free text of the query and what it was resolved to."""
        return self._plan.matches

    def separate(self, recording: Recording, *, progress: Progress | None = None) -> SeparatedRecording:
        """Separate one recording and commit its results: stems and report first, index rows last.

        Parameters
        ----------
        recording : Recording
            What to separate.
        progress : callable, optional
            Called as it goes on.

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
        output = self.request.output_store
        if not self.request.overwrite:
            refuse_existing(output, recording=recording)
        source = Store(recording.recording_uri, self.request.storage)
        recording = replace(recording, content_tag=source.content_tag())
        with open_digested_recording(source, strict=self.request.strict) as (reader, file):
            check_before_work(reader, write=self.request.write)
            session = self.open_session(reader)
            rows = self.publisher.publish(
                _reporting(self.engine.drive(session), reader=reader, progress=progress),
                recording=recording,
                spec=reader.spec,
                started=started,
            ).with_recording_sha256(file.sha256())
        self.publisher.commit_recordings([rows], name=index_name(recording))
        report = str(output / report_path(recording.recording_id)) if self.request.write.report else None
        facts = rows.common
        return SeparatedRecording(
            recording=recording,
            rows=rows,
            output=self.request.output,
            folder=str(output / recording_folder(recording.recording_id)),
            report=report,
            seconds=(facts.frames or 0) / (facts.sample_rate or 1),
            processing_seconds=facts.processing_seconds or 0.0,
            matches=self.matches,
        )

    def open_session(self, source: Source, *, span: Span | None = None) -> Session[EstimateBlock]:
        """Prepare a recording, or a span of one, for `engine.stream_many`."""
        return self.engine.open_session(
            source,
            self._plan.separation,
            settings=self.request.settings,
            span=span,
            estimates=self.request.write.write != "index-only",
        )


def separate(
    recording: str | os.PathLike[str],
    request: SeparationRequest | None = None,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> SeparatedRecording:
    """Separate one recording.

    Parameters
    ----------
    recording : path
        Path or URI.
    request : SeparationRequest, optional
        What to do with it. None: made of `options`, of which `output` is then needed.
    progress : callable, optional
        Called with (seconds done, seconds in all or None).
    **options
        Fields of the request, or of its query and of what it writes, by their names: `output`, `levels`, `classes`,
        `union`, `texts`, `example_folder`, `exclude`, `weights`, `settings`, `networks`, `stem_format`, `residual`,
        `write`, `report`, `overwrite`, `strict`, `device`, `ontology`, `class_list`, `storage`. They are laid over
        `request`.

    Returns
    -------
    SeparatedRecording
        Index rows and where the results are.

    Raises
    ------
    UssRayError
        Of the kind that says what is wrong: recording, query, weights, output, settings or data.
    """
    chosen = request_with(request, **options)
    item = checked_recording(recording, request=chosen)
    return RecordingSeparator(chosen).separate(item, progress=progress)


def checked_recording(location: str | os.PathLike[str], *, request: SeparationRequest) -> Recording:
    """Name a recording, and find out before any work whether its results have a place.

    Raises
    ------
    RecordingError
        If the location has no name.
    OutputError
        If the output root cannot be written, or holds results of this recording.
    """
    recording = single_recording(os.fspath(location))
    check_output(request.output_store)
    if not request.overwrite:
        refuse_existing(request.output_store, recording=recording)
    return recording


def refuse_existing(output: Store, *, recording: Recording) -> None:
    """Refuse to mix results with those of an earlier run.

    Raises
    ------
    OutputError
        If there are results of this recording below the output root.
    """
    folder = output / recording_folder(recording.recording_id)
    if (output / index_path(index_name(recording))).exists() or _holds_own(folder):
        raise OutputError(
            str(folder), expected="no results yet (or --overwrite)", found="results of an earlier run"
        )


def _holds_own(folder: Store) -> bool:
    """Tell whether anything below a folder is of its own recording, and not of one further below."""
    return folder.exists() and any(
        file != folder and is_own_file(file.relative_to(folder)) for file in folder.list()
    )


def _reporting(
    blocks: Iterable[EstimateBlock], *, reader: RecordingReader, progress: Progress | None
) -> Iterator[EstimateBlock]:
    for block in blocks:
        yield block
        if progress is not None:
            done_frames = block.start_frame + block.mixture.shape[1]
            progress(done_frames / reader.sample_rate, reader.spec.duration_seconds)
