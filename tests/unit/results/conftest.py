"""A stand-in for the engine: cuts given sources into blocks and segments."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pytest

from uss_ray.results.index import RecordingFacts, RunFacts

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
