from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from uss_ray.evaluation.observations import listen, of_corrections
from uss_ray.models.specifications import ClassCalibration
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.results.corrections import Correction
from uss_ray.separation.engine import SeparationEngine

RAIN, DOG, PIANO = "/m/06mb1", "/m/0bt9lr", "/m/05r5c"


@pytest.mark.slow
def test_the_classes_that_weights_know_are_heard_as_the_engine_hears_them(
    two_sources: Path, engine: SeparationEngine, vocabulary: Vocabulary
) -> None:
    told: list[float] = []
    seen = listen(two_sources, split="eval", engine=engine, progress=lambda done, _: told.append(done))
    known = sorted(engine.known.class_indexes)
    assert len(seen) == 6 * len(known)
    assert told == [6]
    rain = seen.where(seen.classes == vocabulary.classes.index(RAIN))
    assert (rain.probs > 0.9).all()
    labelled = {f"clip{number}" for number in range(6) if number % 3 == 1}
    assert set(rain.recordings[rain.is_there]) == labelled
    assert len(np.unique(listen(two_sources, split="eval", engine=engine, limit=2).recordings)) == 2


def said(**changes: Any) -> Correction:
    values = {
        "recording_id": "a.wav",
        "node_id": DOG,
        "label": "Dog",
        "verdict": "wrong",
        "status": "written",
        "probability": 0.75,
        "weights_sha256": "ab",
        "noted_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return Correction(**values | changes)


def test_what_a_person_said_of_these_weights_is_seen(vocabulary: Vocabulary) -> None:
    corrections = [
        said(),
        said(recording_id="b.wav", status="absent", probability=0.1),
        said(recording_id="c.wav", weights_sha256="cd"),
        said(recording_id="d.wav", probability=None),
        said(recording_id="e.wav", node_id="query:a-dog"),
        said(recording_id="f.wav", start_seconds=2.0, end_seconds=4.0),
        said(recording_id="g.wav", start_seconds=2.0, end_seconds=4.0, verdict="right"),
    ]
    seen = of_corrections(corrections, vocabulary=vocabulary, weights_sha256="ab")
    assert seen.recordings.tolist() == ["a.wav", "b.wav", "g.wav"]
    assert seen.is_there.tolist() == [False, True, True]
    assert seen.probs.tolist() == [0.75, 0.1, 0.75]


def test_a_calibrated_probability_is_brought_back_to_what_the_tagger_said(vocabulary: Vocabulary) -> None:
    line = ClassCalibration(class_index=vocabulary.classes.index(DOG), slope=2.0, offset=1.0)
    raw = 0.6
    calibrated = 1 / (1 + np.exp(-(2.0 * np.log(raw / (1 - raw)) + 1.0)))
    seen = of_corrections(
        [said(probability=calibrated), said(probability=1.0)],
        vocabulary=vocabulary,
        weights_sha256="ab",
        calibration=[line],
    )
    assert seen.probs.tolist() == pytest.approx([raw, 1.0])
