from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.synthetic_set import SyntheticSet, training_of
from uss_ray.anchors.packed_reader import PackedAnchors
from uss_ray.errors import DataError
from uss_ray.models.specifications import ClassListId
from uss_ray.pipelines.training.separator import check_class_list, prepare_separator
from uss_ray.store.store import Store


def test_a_run_is_prepared_with_the_networks_of_its_recipe(
    synthetic_set: SyntheticSet, tmp_path: Path
) -> None:
    request = training_of(synthetic_set, tmp_path / "run")
    prepared = prepare_separator(request, device=torch.device("cpu"))
    assert (prepared.settings, prepared.lanes) == (request.recipe.fit, request.recipe.plan.lanes)
    assert str(prepared.folder.place) == str(tmp_path / "run")
    assert not (tmp_path / "run").exists()  # nothing is begun


def test_anchors_of_other_classes_are_refused(synthetic_set: SyntheticSet) -> None:
    anchors = PackedAnchors(Store(synthetic_set.pack), cache_bytes=1 << 20)
    check_class_list(anchors, ClassListId.of(synthetic_set.vocabulary.classes.ids))
    with pytest.raises(DataError, match="anchors of the class list with sha256"):
        check_class_list(anchors, ClassListId.of(("/t/other",)))
