from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.unit.evaluation.conftest import DOG, PIANO, RAIN
from tests.unit.evaluation.test_systems import mixed_item
from uss_ray.errors import ConfigError, QueryError, WeightsError
from uss_ray.evaluation.items import Item, ItemSource
from uss_ray.evaluation.queries import (
    ByCondition,
    ByIndex,
    ByNode,
    ByText,
    RandomClass,
    node_of,
    targets_of,
)
from uss_ray.separation.engine import SeparationEngine
from uss_ray.separation.settings import SeparationSettings

DOG_SOURCE = ItemSource(role="target", path="a", label="Dog", class_id=DOG)


def asked(class_id: str | None, label: str) -> list[Item]:
    item = mixed_item().item
    return [replace(item, sources=(replace(DOG_SOURCE, class_id=class_id, label=label),))]


def test_a_node_is_found_by_its_label_where_the_data_do_not_say_it(vocabulary) -> None:
    assert node_of(DOG_SOURCE, vocabulary) == DOG
    for label, class_id in (
        ("Acoustic_guitar", "/m/042v_gx"),
        ("Gunshot_or_gunfire", "/m/032s66"),
        ("rain", RAIN),
    ):
        assert node_of(ItemSource(role="target", path="a", label=label), vocabulary) == class_id
    with pytest.raises(ConfigError, match=r"expected a class of the ontology, or a training list"):
        node_of(ItemSource(role="target", path="a", label="grand.nkm"), vocabulary)


def test_a_class_without_a_mean_is_refused_before_any_work(engine: SeparationEngine) -> None:
    query = ByNode(engine, SeparationSettings(), name="class-mean")
    query.check(asked(DOG, "Dog"))
    with pytest.raises(WeightsError, match=f"found none of {PIANO}"):
        query.check(asked(PIANO, "Piano"))
    ByNode(engine, SeparationSettings(), name="detected").check(asked(PIANO, "Piano"))
    lenient = ByNode(engine, SeparationSettings(), name="class-mean", allow_unknown=True)
    lenient.check([*asked(PIANO, "Piano"), *asked(DOG, "Dog")])
    with pytest.raises(QueryError, match="expected a class that the weights have a mean of"):
        lenient.target(mixed_item(), replace(DOG_SOURCE, class_id=PIANO))
    with pytest.raises(WeightsError, match=f"found none of {PIANO}"):
        lenient.check(asked(PIANO, "Piano"))


def test_an_index_a_text_and_a_training_list_ask_for_the_same_class(
    engine: SeparationEngine, vocabulary
) -> None:
    item = mixed_item()
    index = ByIndex(engine, SeparationSettings()).target(item, DOG_SOURCE)
    assert index.condition is not None
    assert index.condition.nonzero().tolist() == [[vocabulary.classes.index(DOG)]]
    assert ByText(engine, SeparationSettings()).target(item, DOG_SOURCE).key == DOG
    listed = ByCondition(engine, SeparationSettings(), name="examples", conditions={"Dog": torch.ones(527)})
    assert listed.target(item, DOG_SOURCE).condition is not None
    with pytest.raises(ConfigError, match="expected Piano in the training list"):
        listed.check(asked(PIANO, "Piano"))


def test_a_random_class_is_the_same_again_and_never_one_of_the_item(engine: SeparationEngine) -> None:
    conditions = {
        name: torch.full((527,), float(place)) for place, name in enumerate((DOG, RAIN, PIANO, "/m/0jbk"))
    }
    query = RandomClass(engine, SeparationSettings(), conditions=conditions)
    target = query.target(mixed_item(), DOG_SOURCE)
    assert target.condition is not None
    assert float(target.condition[0]) == 2.0  # neither dog, nor animals above it, nor the rain beside it
    with pytest.raises(QueryError, match="expected a class that is not in it"):
        RandomClass(engine, SeparationSettings(), conditions={DOG: torch.ones(527)}).target(
            mixed_item(), DOG_SOURCE
        )


def test_each_label_is_asked_for_once() -> None:
    assert [source.label for source in targets_of([*asked(DOG, "Dog"), *asked(DOG, "Dog")])] == ["Dog"]
