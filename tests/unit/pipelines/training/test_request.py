from __future__ import annotations

from pathlib import Path

import pytest

from tests.synthetic_set import SyntheticSet, training_of
from uss_ray.config import to_yaml
from uss_ray.errors import DataError
from uss_ray.pipelines.training.request import defaults_of, read_request
from uss_ray.store.store import Store


def test_how_often_something_is_written_is_no_part_of_the_identity(
    synthetic_set: SyntheticSet, tmp_path: Path
) -> None:
    facts = {"anchors_sha256": "a", "weights_sha256": "b", "class_list_sha256": "c"}
    one = training_of(synthetic_set, tmp_path, fit={"log_steps": 1, "checkpoint_steps": 2, "prefetch": 5})
    other = training_of(synthetic_set, tmp_path / "elsewhere")
    assert one.identity(**facts) == other.identity(**facts)
    assert one.identity(**facts) != training_of(synthetic_set, tmp_path, fit={"steps": 9}).identity(**facts)
    assert one.cache_bytes == 1 << 30


def test_settings_that_have_their_defaults_are_named_as_in_the_identity(
    synthetic_set: SyntheticSet, tmp_path: Path
) -> None:
    recipe = training_of(synthetic_set, tmp_path, loss={"kind": "snr"}).recipe
    named = defaults_of(recipe)
    assert {"recipe.loss.snr_cap_db", "recipe.fit.optimiser.epsilon", "recipe.query.adaptor"} <= named
    assert (
        not {"recipe.loss.kind", "recipe.fit.steps", "recipe.separator.channels", "recipe.plan.lanes"} & named
    )


def test_a_run_that_was_moved_is_read_where_it_is(synthetic_set: SyntheticSet, tmp_path: Path) -> None:
    asked = training_of(synthetic_set, tmp_path / "before")
    (tmp_path / "settings.yaml").write_text(to_yaml(asked))
    read = read_request(Store(tmp_path))
    assert (read.output, read.recipe, read.anchors) == (str(tmp_path), asked.recipe, asked.anchors)
    (tmp_path / "settings.yaml").write_text("name: a\nlist: [")
    with pytest.raises(
        DataError, match=r"expected settings of a training run, found while parsing .* line 2"
    ):
        read_request(Store(tmp_path))
    (tmp_path / "settings.yaml").write_text("[1]")
    with pytest.raises(DataError, match="expected settings of a training run, found list"):
        read_request(Store(tmp_path))
