"""What counts as found and as true beside a known truth."""

from __future__ import annotations

import pytest

from tests.truth import FoundStem, TrueSound, compare
from uss_ray.ontology.graph import Ontology

DOG, DOMESTIC, BARK, CAT = "/m/0bt9lr", "/m/068hy", "/m/05tny_", "/m/01yrx"
SOUND = TrueSound("a.wav", "Dog", DOG, (2.0, 4.0))


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    return Ontology.load()


def stem(node_id: str, *spans: tuple[float, float], recording: str = "a.wav") -> FoundStem:
    return FoundStem(recording, node_id, node_id, spans, -3.0)


@pytest.mark.parametrize(
    ("stems", "precision", "recall"),
    [
        ([stem(DOG, (2.0, 4.0))], 1.0, 1.0),
        ([stem(DOMESTIC, (2.0, 4.0))], 1.0, 1.0),
        ([stem(BARK, (3.0, 4.5))], 1.0, 1.0),
        ([stem(BARK, (1.0, 3.0))], 1.0, 1.0),
        ([stem(BARK, (3.5, 4.0))], 1.0, 0.0),
        ([stem(BARK, (2.0, 2.5)), stem(DOG, (3.0, 3.5))], 1.0, 1.0),
        ([stem(DOG, (0.0, 10.0))], 0.0, 1.0),
        ([stem(CAT, (2.0, 4.0))], 0.0, 0.0),
        ([stem(DOG, (2.0, 4.0), recording="b.wav")], 0.0, 0.0),
        ([stem(DOG, (2.0, 4.0)), stem(CAT, (2.0, 4.0))], 0.5, 1.0),
    ],
)
def test_a_sound_is_found_by_half_and_a_stem_true_by_half(ontology, stems, precision, recall):
    compared = compare([SOUND], stems, ontology=ontology)
    assert (compared.precision, compared.recall) == (precision, recall)
