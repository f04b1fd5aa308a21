from __future__ import annotations

import numpy as np
import pytest

from uss_ray.errors import ConfigError
from uss_ray.mining.purity import Purity, measure_purity
from uss_ray.ontology.vocabulary import Vocabulary


def slow_purity(probs: np.ndarray, class_index: int, related: np.ndarray) -> float:
    worst = 0.0
    for other in range(probs.shape[1]):
        if not related[class_index, other]:
            worst = max(worst, sum(float(p) for p in probs[:, other]) / len(probs))
    return 1.0 - worst


def test_purity_equals_a_slow_reference() -> None:
    rng = np.random.default_rng(0)
    probs = rng.random((30, 12)).astype(np.float32)
    related = np.eye(12, dtype=bool)
    related[2, 5] = related[5, 2] = True
    for class_index in range(12):
        found = measure_purity(probs, class_index=class_index, related=related)
        assert found.value == pytest.approx(slow_purity(probs, class_index, related))


def test_relatives_of_the_ontology_do_not_make_an_anchor_impure() -> None:
    vocabulary = Vocabulary.load()
    related = vocabulary.relatives()
    bark, dog, animal, piano = (vocabulary.classes.index(vocabulary.resolve(name).node_id) for name in
                                ("Bark", "Dog", "Animal", "Piano"))  # fmt: skip
    assert related[bark, dog]
    assert related[animal, bark]
    assert not related[bark, piano]
    probs = np.zeros((10, len(vocabulary.classes)), np.float32)
    probs[:, [bark, dog, animal]] = 0.9
    assert measure_purity(probs, class_index=bark, related=related).value == 1.0
    probs[:5, piano] = 0.8
    found = measure_purity(probs, class_index=bark, related=related)
    assert found.value == pytest.approx(0.6)
    assert found.intruder_index == piano


def test_where_every_class_is_a_relative_nothing_intrudes() -> None:
    related = np.ones((2, 2), bool)
    assert measure_purity(np.ones((3, 2)), class_index=0, related=related) == Purity(1.0, None)


def test_a_detector_of_other_classes_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected probabilities of 3 classes, found 2"):
        measure_purity(np.ones((3, 2)), class_index=0, related=np.eye(3, dtype=bool))
