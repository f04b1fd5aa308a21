from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from tests.synthetic_set import RATE, SyntheticSet, small_recipe, training_of
from uss_ray.anchors.packed_reader import PackedAnchors
from uss_ray.errors import ConfigError, DataError, WeightsError
from uss_ray.models import registry
from uss_ray.models.registry import Role
from uss_ray.models.specifications import ClassListId
from uss_ray.pipelines.training import separator
from uss_ray.pipelines.training.local import train_here
from uss_ray.pipelines.training.separator import DoneBefore, check_class_list, prepare_separator
from uss_ray.pipelines.training.worker import export
from uss_ray.store.store import Store
from uss_ray.weights.folder import read_folder, save_weights, specify

EXAMPLE = Path(__file__).parents[4] / "examples" / "wav2vec" / "uss_ray_wav2vec.py"


@pytest.fixture
def wav2vec(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example of a network from outside, known to this test alone."""
    monkeypatch.setattr(registry, "_architectures", dict(registry._architectures))
    spec = importlib.util.spec_from_file_location("uss_ray_wav2vec", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


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


def test_a_network_made_for_something_else_hears_queries_and_goes_into_the_weights(
    synthetic_set: SyntheticSet, wav2vec: ModuleType, tmp_path: Path
) -> None:
    sizes = {"embedding_size": 16, "layers": 1, "heads": 2, "hidden_size": 8, "sample_rate": RATE}
    network = wav2vec.Wav2Vec(wav2vec.Wav2VecConfig(**sizes))
    weights, others = (
        str(wav2vec.write(network, tmp_path / name, segment_seconds=seconds))
        for name, seconds in (("one", 0.5), ("other", 1.0))
    )
    request = training_of(
        synthetic_set,
        tmp_path / "run",
        query={"kind": "latent", "trunk": "foreign", "mean_anchors": 1},
        separator={"condition_size": 16},
        mixtures={"conditions": {"own": 0.5, "masked": 0, "class_mean": 0.5}},
        fit={"steps": 1, "checkpoint_steps": 1},
        settle_batches=1,
    ).replace(query_weights=weights)
    with pytest.raises(ConfigError, match=r"query.trunk: expected foreign with query_weights"):
        prepare_separator(request.replace(query_weights=None), device=torch.device("cpu"))
    assert train_here(request) == 1
    with pytest.raises(ConfigError, match="query_weights_sha256"):
        train_here(request.replace(query_weights=others))
    exported = read_folder(export(request, tmp_path / "weights"))
    assert exported.query_net is not None
    assert isinstance(exported.query_net.trunk, wav2vec.Wav2Vec)
    sound = torch.randn(2, 4000)
    torch.testing.assert_close(  # stored in 16 bits
        exported.query_net(sound), network.eval()(sound).embedding, atol=1e-2, rtol=1e-2
    )


def test_query_weights_without_a_tagger_are_refused(synthetic_set: SyntheticSet, tmp_path: Path) -> None:
    separator = registry.build_network("separator", small_recipe().separator.model_dump())
    networks: dict[Role, torch.nn.Module] = {"separator": separator}
    folder = save_weights(
        tmp_path / "deaf", networks, name="deaf", specifications=specify(networks, segment_seconds=0.5)
    )
    request = training_of(synthetic_set, tmp_path / "run").replace(query_weights=str(folder))
    with pytest.raises(WeightsError, match="deaf: expected a tagger to hear queries, found none"):
        prepare_separator(request, device=torch.device("cpu"))


def test_a_run_goes_on_with_the_same_ontology_alone(synthetic_set: SyntheticSet, tmp_path: Path) -> None:
    request = training_of(synthetic_set, tmp_path / "run")
    prepare_separator(request, device=torch.device("cpu")).folder.open(request)
    nodes = json.loads(synthetic_set.ontology.read_text())
    nodes[0]["child_ids"] = [nodes[1]["id"]]  # which partners are drawn hangs on it
    (tmp_path / "deeper.json").write_text(json.dumps(nodes))
    other = request.replace(ontology=str(tmp_path / "deeper.json"))
    with pytest.raises(ConfigError, match=r"expected ontology_sha256 .*, as the run there"):
        prepare_separator(other, device=torch.device("cpu")).folder.check()


def test_what_many_runs_name_is_read_once(
    synthetic_set: SyntheticSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []

    def count(folder: Path) -> tuple[str, None]:
        read.append(folder)
        return read_folder(folder).sha256, None

    monkeypatch.setattr(separator, "known_classes_in", count)
    done = DoneBefore()
    for number in range(3):
        request = training_of(synthetic_set, tmp_path / f"run{number}", plan={"seed": number})
        prepare_separator(request, device=torch.device("cpu")).folder.open(request)
        assert done.differences(request, {}) == []
    assert len(read) == 1
