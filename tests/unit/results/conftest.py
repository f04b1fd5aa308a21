"""A stand-in for the engine: cuts given sources into blocks and segments."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from uss_ray.results.blocks import EstimateBlock, StemRequest
from uss_ray.results.index.table import RecordingFacts, RunFacts
from uss_ray.results.options import WriteOptions
from uss_ray.results.stem_plan import StemPlan
from uss_ray.results.stems.parts import PartFacts, join_parts, write_part
from uss_ray.results.stems.stem_run import StemRun
from uss_ray.results.stems.writer import write_estimates
from uss_ray.results.stems.written import WrittenRecording
from uss_ray.silence import SeparationSilence

Floats = npt.NDArray[np.float32]
RATE = 8000


@dataclasses.dataclass(frozen=True)
class FakeBlock:
    start_frame: int
    mixture: Floats
    estimates: Mapping[str, Floats]
    segment_probs: Floats
    active: npt.NDArray[np.bool_]
    segment_spans_seconds: npt.NDArray[np.float64]
    detected: npt.NDArray[np.bool_] = None  # type: ignore[assignment]  # where it is active
    sure: npt.NDArray[np.bool_] = None  # type: ignore[assignment]  # where it is detected
    detected_spans: Sequence[npt.NDArray[np.float64]] = None  # type: ignore[assignment]  # whole segments
    stem_probs: Floats = None  # type: ignore[assignment]  # nothing is tagged again
    held_by: npt.NDArray[np.int16] = None  # type: ignore[assignment]  # each by itself
    tagged: npt.NDArray[np.bool_] = None  # type: ignore[assignment]  # all of them

    def __post_init__(self) -> None:
        detected = self.active if self.detected is None else self.detected
        whole = [
            np.array([[target, *span] for target in np.flatnonzero(flags)], np.float64).reshape(-1, 3)
            for flags, span in zip(detected, self.segment_spans_seconds, strict=True)
        ]
        usual = {
            "tagged": np.ones(len(self.active), bool),
            "detected": detected,
            "sure": detected,
            "detected_spans": whole,
            "stem_probs": np.full(np.shape(self.active), np.nan, np.float32),
            "held_by": np.where(self.active, np.arange(self.active.shape[1], dtype=np.int16), np.int16(-1)),
        }
        for name, value in usual.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)


def blocks_of(
    mixture: Floats, estimates: Mapping[str, Floats], *, keys: list[str], segment_seconds: float = 1.0
) -> Iterator[FakeBlock]:
    """Cut into blocks of one segment; a target is active where its estimate is not all zeros."""
    step = round(segment_seconds * RATE)
    for start in range(0, mixture.shape[1], step):
        part = slice(start, start + step)
        cut = {key: estimate[:, part] for key, estimate in estimates.items() if np.any(estimate[:, part])}
        active = np.array([[key in cut for key in keys]])
        yield FakeBlock(
            start_frame=start,
            mixture=mixture[:, part],
            estimates=cut,
            segment_probs=np.where(active, 0.75, 0.125).astype(np.float32),
            active=active,
            segment_spans_seconds=np.array([[start, start + step]]) / RATE,
        )


def stem_run(
    stems: Sequence[StemRequest],
    run: RunFacts,
    *,
    draw: bool = True,
    silent_below_dbfs: float | None = -70.0,
    fade_seconds: float = 0.25,
    **options: Any,
) -> StemRun:
    """What is written of each recording; other options are those of `WriteOptions`."""
    return StemRun(
        plan=StemPlan.of(stems),
        facts=run,
        options=WriteOptions(report=draw, **options),
        silence=SeparationSilence(stem_silent_below_peak_dbfs=silent_below_dbfs),
        fade_seconds=fade_seconds,
    )


def write_stems(
    blocks: Iterable[EstimateBlock],
    *,
    stems: Sequence[StemRequest],
    run: RunFacts,
    root: Path,
    recording: RecordingFacts,
    subtype: Any = "PCM_24",
    **options: Any,
) -> WrittenRecording:
    wanted = stem_run(stems, run, **options)
    return write_estimates(blocks, wanted, root=root, recording=recording, subtype=subtype)


def keep_part(
    blocks: Iterable[EstimateBlock],
    *,
    stems: Sequence[StemRequest],
    run: RunFacts,
    folder: Path,
    recording: RecordingFacts,
) -> PartFacts:
    return write_part(blocks, stem_run(stems, run), folder=folder, recording=recording)


def join_stems(
    parts: Sequence[str],
    *,
    stems: Sequence[StemRequest],
    run: RunFacts,
    root: Path,
    recording: RecordingFacts,
    mixture_blocks: Callable[[], Iterator[Floats]],
    subtype: Any = "PCM_24",
    on_file: Callable[[Path], None] | None = None,
    **options: Any,
) -> WrittenRecording:
    return join_parts(
        parts,
        stem_run(stems, run, **options),
        mixture_blocks=mixture_blocks,
        root=root,
        recording=recording,
        subtype=subtype,
        on_file=on_file,
    )


@pytest.fixture(scope="session")
def run_facts() -> RunFacts:
    return RunFacts(
        run_id="run", weights_name="starter", weights_sha256="0" * 64, settings='{"threshold": 0.2}'
    )


@pytest.fixture(scope="session")
def recording_facts() -> RecordingFacts:
    return RecordingFacts(
        recording_id="field trip/å.wav",
        recording_uri="archive/field trip/å.wav",
        sample_rate=RATE,
        channels=2,
        frames=5 * RATE + 321,
        format="WAV/PCM_16",
    )


@dataclasses.dataclass(frozen=True)
class FadedScene:
    """A recording of segments as the engine gives them: a target reaches half a fade into the next segment."""

    mixture: Floats
    estimates: Mapping[str, Floats]
    probs: npt.NDArray[np.float32]
    active: npt.NDArray[np.bool_]
    fade_seconds: float

    @property
    def frames(self) -> int:
        return self.mixture.shape[1]

    def blocks(self, first: int = 0, last: int | None = None, *, per_block: int = 1) -> Iterator[FakeBlock]:
        """Give segments [first, last), some of them a block; a target that is all zeros there is not in it."""
        last = len(self.active) if last is None else last
        for start in range(first, last, per_block):
            stop = min(start + per_block, last)
            frames = slice(start * RATE, min(stop * RATE, self.frames))
            starts = np.arange(start, stop, dtype=np.float64)
            cut = {key: estimate[:, frames] for key, estimate in self.estimates.items()}
            yield FakeBlock(
                start_frame=frames.start,
                mixture=self.mixture[:, frames],
                estimates={key: estimate for key, estimate in cut.items() if estimate.any()},
                segment_probs=self.probs[start:stop],
                active=self.active[start:stop],
                segment_spans_seconds=np.stack([starts, np.minimum(starts + 1, self.frames / RATE)], axis=1),
            )

    def mixture_blocks(self, n: int = 5) -> Iterator[Floats]:
        yield from np.array_split(self.mixture, n, axis=1)


def faded_scene(pattern: Mapping[str, str], *, last_frames: int = 321, seed: int = 1) -> FadedScene:
    """Make a recording of 1 s segments: `#` where a target is active, a digit n where it is 10^n softer."""
    noise, fade_seconds = np.random.default_rng(seed), 0.25
    n_segments = len(next(iter(pattern.values())))
    frames = (n_segments - 1) * RATE + last_frames
    half = round(fade_seconds * RATE / 2)
    estimates, active = {}, np.zeros((n_segments, len(pattern)), bool)
    for column, (key, marks) in enumerate(pattern.items()):
        weights = np.zeros(frames)
        for segment, mark in enumerate(marks):
            if mark != ".":
                active[segment, column] = True
                decade = 0 if mark == "#" else int(mark)
                part = slice(max(0, segment * RATE - half), min(frames, (segment + 1) * RATE + half))
                weights[part] = np.maximum(weights[part], 10.0**-decade)
        # + 0.0: silence is never -0.0, nor is it in sums of faded pieces as the engine makes them.
        estimates[key] = (noise.uniform(-0.4, 0.4, (2, frames)) * weights + 0.0).astype(np.float32)
    mixture = np.sum(list(estimates.values()), axis=0) + noise.normal(0, 0.05, (2, frames))
    return FadedScene(
        mixture=mixture.astype(np.float32),
        estimates=estimates,
        probs=np.where(active, noise.uniform(0.3, 1.0, active.shape), 0.125).astype(np.float32),
        active=active,
        fade_seconds=fade_seconds,
    )
