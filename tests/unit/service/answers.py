"""A backend that separates nothing: it answers with stems that are known to the sample."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from uss_ray.api.request import SoundRequest
from uss_ray.audio.spec import AudioSpec
from uss_ray.service.backend import Answer, EngineFacts, Work

RATE = 8000
CLASSES = {"/m/0jbk": ("Animal", 1), "/m/0bt9lr": ("Dog", 3), "/m/01yrx": ("Cat", 3)}
DOG, CAT = "/m/0bt9lr", "/m/01yrx"

Floats = NDArray[np.float32]

SOUND: Floats = (np.random.default_rng(1).integers(-9000, 9000, (2, 20_000)) / 32768).astype(np.float32)
NAMES = ["query/dog.flac", "query/cat.flac", "query/residual.flac"]


def flac(samples: Floats) -> bytes:
    made = io.BytesIO()
    soundfile.write(made, samples.T, RATE, format="FLAC", subtype="PCM_16")
    return made.getvalue()


def work_of(samples: Floats) -> Work:
    channels, frames = samples.shape
    spec = AudioSpec(sample_rate=RATE, channels=channels, frames=frames, format="WAV", subtype="PCM_16")
    return Work(sounds=SoundRequest(), name="recording", spec=spec, samples=samples, sha256="0" * 64)


def row_of(
    node_id: str, *, status: str = "written", stem_uri: str | None = None, **facts: Any
) -> dict[str, Any]:
    label, level = CLASSES.get(node_id, ("Residual", None))
    row = {
        "node_id": node_id, "label": label, "level": level, "kind": "class", "status": status, "reason": None,
        "probability": 0.75, "certainty": "sure", "stem_probability": None, "active_seconds": 1.0, "active_spans": [],
        "level_db": -20.0, "peak_db": -6.0, "stem_uri": stem_uri, "stem_sha256": None if stem_uri is None else "0" * 64,
        "stem_bytes": None if stem_uri is None else 1, "clipped_samples": 0, "sample_rate": RATE,
        "format": "FLAC/PCM_16",
    }  # fmt: skip
    return row | facts


def stems_of(samples: Floats) -> dict[str, Floats]:
    """Split a recording so that the first two stems cancel, and the residual is all of it."""
    noise = (np.random.default_rng(3).integers(-6000, 6000, samples.shape) / 32768).astype(np.float32)
    return {"query/dog.flac": noise, "query/cat.flac": -noise, "query/residual.flac": samples}


def answer_of(samples: Floats) -> Answer:
    stems = stems_of(samples)
    span = {"start_seconds": 0.0, "end_seconds": 1.0}
    rows = [
        row_of(DOG, level=None, stem_uri="query/dog.flac", active_spans=[span]),
        row_of(CAT, level=None, stem_uri="query/cat.flac"),
        row_of("/m/0jbk", level=None, status="absent"),
        row_of(
            "residual",
            level=None,
            kind="residual",
            stem_uri="query/residual.flac",
            probability=None,
            certainty=None,
        ),
    ]
    return Answer(
        rows=rows,
        files={name: flac(stem) for name, stem in stems.items()},
        run={"run_id": "r", "weights_name": "w", "weights_sha256": "0" * 64, "processing_seconds": 0.1},
        probabilities={DOG: np.array([0.75, np.nan], np.float32)},
    )


def tags_of() -> Answer:
    """Find a dog and an animal; the cat is not there."""
    spans = [{"start_seconds": 0.5, "end_seconds": 2.0}]
    rows = [
        row_of("/m/0jbk", status="detected", active_spans=spans),
        row_of(DOG, status="detected", probability=0.5, certainty="doubtful", active_spans=spans),
        row_of(CAT, status="absent"),
    ]
    return Answer(rows=rows, files={}, run={}, probabilities={DOG: np.array([0.5, 0.1], np.float32)})


class KnownAnswers:
    """A backend; `asked` is what it was handed."""

    def __init__(self) -> None:
        self.asked: list[Work] = []

    async def facts(self) -> EngineFacts:
        return EngineFacts(
            weights_name="known",
            weights_sha256="0" * 64,
            known_classes=(0, 72, 74, 81),
            sample_rate=RATE,
            device="cpu",
        )

    async def answer(self, work: Work) -> Answer:
        self.asked.append(work)
        return tags_of() if work.sounds.write.write == "index-only" else answer_of(work.samples)

    async def missing(self) -> Mapping[str, str]:
        return {}

    async def close(self) -> None:
        pass
