"""An engine in this process that answers many requests side by side."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from uss_ray.api.inputs import ArrayReader
from uss_ray.api.publisher import check_before_work
from uss_ray.api.queries import Plan, plan_targets
from uss_ray.api.request import Query, SeparationRequest, SoundRequest
from uss_ray.api.separator import LoadedEngine, RecordingSeparator
from uss_ray.audio.spec import AudioSpec
from uss_ray.errors import QueryError
from uss_ray.records import Recording, recording_id
from uss_ray.results.index.rows import rows_table
from uss_ray.results.layout import recording_folder
from uss_ray.separation.engine import SeparationEngine
from uss_ray.separation.session import EstimateBlock
from uss_ray.separation.targets import Asking, target_for_text, targets_for_classes
from uss_ray.service.backend import TOLD, Answer, EngineFacts, Work, told_row
from uss_ray.service.backlog import Backlog
from uss_ray.service.loop import Abandoned, SeparationLoop
from uss_ray.service.problems import Refusal
from uss_ray.service.settings import Limits

logger = logging.getLogger(__name__)

_THREADS = 32
_PLANS = 64
_LATELY_SECONDS = 30.0
_PROBE_SECONDS = 30.0
_PROBE_RATE = 32_000


class InProcessBackend:
    """Separates in this process: one loop for the networks, a thread a request for its stems.

    Parameters
    ----------
    loaded : LoadedEngine
    sounds : SoundRequest
        That it was loaded for.
    limits : Limits
    """

    def __init__(self, loaded: LoadedEngine, *, sounds: SoundRequest, limits: Limits) -> None:
        self._loaded = loaded
        self._sounds = sounds
        self._answered = -math.inf
        self._probing = asyncio.Lock()
        self._limits = limits
        self._loop = SeparationLoop(loaded.engine)
        self._backlog = Backlog(limits.queue_seconds)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="answer")
        # Most requests ask for the same; a plan is the same each time, and costs what the tagging of a clip does.
        self._plan = functools.lru_cache(_PLANS)(functools.partial(plan_targets, engine=loaded.engine))

    def __len__(self) -> int:
        """Count the recordings that are being separated."""
        return len(self._loop)

    async def facts(self) -> EngineFacts:
        """See `Backend`."""
        engine = self._loaded.engine
        return EngineFacts(
            weights_name=self._loaded.weights_name,
            weights_sha256=self._loaded.weights_sha256,
            known_classes=tuple(sorted(engine.known.class_indexes)),
            sample_rate=engine.sample_rate,
            device=str(engine.device),
        )

    async def missing(self) -> Mapping[str, str]:
        """See `Backend`; where nothing was separated lately, a second of noise is."""
        try:
            # Whoever may ask, one probe at a time is all that it costs.
            async with asyncio.timeout(_PROBE_SECONDS), self._probing:
                if time.monotonic() - self._answered >= _LATELY_SECONDS:
                    await self._answer(_probe(self._sounds))
        except TimeoutError:
            return {"separator": f"takes more than {_PROBE_SECONDS:g} s for a second of sound"}
        except Exception:
            logger.exception("a second of sound could not be separated")
            return {"separator": "cannot separate a second of sound"}
        return {}

    async def answer(self, work: Work) -> Answer:
        """See `Backend`."""
        with self._backlog.taken(work.seconds):
            return await self._answer(work)

    async def _answer(self, work: Work) -> Answer:
        call = _Call(self._loaded, self._loop, self._limits, plan=self._plan)
        began, beside = time.monotonic(), len(self._loop) + 1
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._threads, call.answer, work)
        except asyncio.CancelledError:
            call.leave()
            raise
        self._answered = time.monotonic()
        self._backlog.learn(sound=work.seconds, work=(self._answered - began) / beside)
        return answer

    async def close(self) -> None:
        """See `Backend`."""
        await asyncio.to_thread(self._loop.close)
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Call:
    """One request, in a thread of its own; whoever waits for it may leave."""

    def __init__(
        self,
        loaded: LoadedEngine,
        loop: SeparationLoop,
        limits: Limits,
        *,
        plan: Callable[[SoundRequest], Plan],
    ) -> None:
        self._loaded = loaded
        self._plan = plan
        self._loop = loop
        self._limits = limits
        self._lock = threading.Lock()
        self._ticket: int | None = None
        self._has_left = False

    def leave(self) -> None:
        """End the session, or see that none begins."""
        with self._lock:
            self._has_left = True
            ticket = self._ticket
        if ticket is not None:
            self._loop.leave(ticket)

    def answer(self, work: Work) -> Answer:
        with TemporaryDirectory(prefix="uss-ray-") as scratch:
            return self._answer(work, Path(scratch))

    def _answer(self, work: Work, scratch: Path) -> Answer:
        sounds, failed = _what_can_be_asked(work, engine=self._loaded.engine, scratch=scratch)
        request = SeparationRequest.of(sounds, output=str(scratch / "out"))
        # Examples lie in a folder of this request alone.
        plan = None if work.examples else self._plan(sounds)
        separator = RecordingSeparator(request, loaded=self._loaded, plan=plan)
        check_before_work(work.spec, name=work.name, write=request.write)
        recording = Recording(
            recording_uri=work.name, recording_id=recording_id(work.name), sha256=work.sha256
        )
        reader = ArrayReader(work.samples, name=work.name, spec=work.spec)
        started = time.monotonic()
        ticket, blocks = self._joined(separator, reader)
        probabilities: list[Any] = []
        try:
            rows = separator.publisher.publish(
                _noted(blocks, probabilities) if work.segments else blocks,
                recording=recording,
                spec=work.spec,
                started=started,
            ).with_recording_sha256(work.sha256)
        finally:
            blocks.abandon()
            self._loop.leave(ticket)
        folder = recording_folder(recording.recording_id)
        # As a table: hundreds of rows of what was not there are one row and a column of numbers.
        records = rows_table([rows]).select(TOLD).to_pylist()
        told = [told_row(record, folder=folder) for record in records] + failed
        keys = separator.wanted.plan.keys
        by_segment = np.concatenate(probabilities) if probabilities else np.zeros((0, len(keys)), np.float32)
        return Answer(
            rows=told,
            files=self._files(scratch / "out" / folder),
            run={
                "run_id": separator.run.run_id,
                "weights_name": separator.run.weights_name,
                "weights_sha256": separator.run.weights_sha256,
                "processing_seconds": time.monotonic() - started,
                "texts": {text: match.node.node_id for text, match in separator.matches},
            },
            segment_seconds=request.settings.segment_seconds,
            probabilities=dict(zip(keys, by_segment.T, strict=True)) if work.segments else {},
        )

    def _joined(self, separator: RecordingSeparator, reader: ArrayReader) -> tuple[int, Any]:
        session = separator.open_session(reader)
        with self._lock:
            if self._has_left:
                session.close()
                raise Abandoned
            self._ticket, blocks = self._loop.join(session)
            return self._ticket, blocks

    def _files(self, folder: Path) -> dict[str, bytes]:
        found = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.exists() else []
        if sum(path.stat().st_size for path in found) > self._limits.answer_bytes:
            raise Refusal(
                "stems",
                expected=f"at most {self._limits.answer_bytes} bytes; a job writes any number of them "
                "(`uss-ray archive`)",
                found="more",
                status=413,
                limit="answer_bytes",
            )
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def _probe(sounds: SoundRequest) -> Work:
    samples = np.random.default_rng(0).standard_normal((1, _PROBE_RATE)) / 10
    return Work(
        sounds=sounds.replace(write=sounds.write.replace(report=False)),
        name="probe",
        spec=AudioSpec(_PROBE_RATE, 1, _PROBE_RATE, "ARRAY", "FLOAT"),
        samples=samples.astype(np.float32),
        sha256="",
    )


def _noted(blocks: Iterable[EstimateBlock], probabilities: list[Any]) -> Iterator[EstimateBlock]:
    for block in blocks:
        probabilities.append(block.segment_probs)
        yield block


def _what_can_be_asked(
    work: Work, *, engine: SeparationEngine, scratch: Path
) -> tuple[SoundRequest, list[dict[str, Any]]]:
    """Leave out names that stand for nothing, where others remain; give a row for each of them."""
    query, failed = _resolved(work.sounds.query, work=work, engine=engine)
    if work.examples:
        folder = scratch / "examples"
        folder.mkdir()
        for number, example in enumerate(work.examples):
            (folder / f"{number}.wav").write_bytes(example)
        query = query.replace(example_folder=str(folder))
    return work.sounds.replace(query=query), failed


def _resolved(query: Query, *, work: Work, engine: SeparationEngine) -> tuple[Query, list[dict[str, Any]]]:
    asked = len(query.classes) + len(query.texts)
    if query.union or asked < 2:
        return query, []
    settings, vocabulary = work.sounds.settings, engine.vocabulary
    asking = Asking(settings.only_detected, known=engine.known, allow_unknown=query.allow_unknown)
    classes: list[str] = []
    texts: list[str] = []
    failed: list[dict[str, Any]] = []
    for name in query.classes:
        with _told_of(name, "class", failed):
            targets_for_classes(vocabulary, names=(name,), asking=asking)
            classes.append(name)
    for text in query.texts:
        with _told_of(text, "text", failed):
            target_for_text(vocabulary, text=text, asking=asking)
            texts.append(text)
    if len(failed) in (0, asked):
        return query, []
    return query.replace(classes=tuple(classes), texts=tuple(texts)), failed


@contextlib.contextmanager
def _told_of(name: str, kind: str, failed: list[dict[str, Any]]) -> Iterator[None]:
    try:
        yield
    except QueryError as error:
        row: dict[str, Any] = dict.fromkeys(TOLD)
        failed.append(row | {"label": name, "kind": kind, "status": "failed", "reason": error.reason})
