"""Published HTS-AT files become weights folders key by key; that the numbers fit is the business of `tests/parity`."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from tests.published_files import published_htsat
from uss_ray.errors import WeightsError
from uss_ray.models.htsat import Htsat
from uss_ray.models.htsat_settings import HtsatConfig
from uss_ray.models.swin import relative_positions
from uss_ray.weights.folder import read_folder
from uss_ray.weights.importers.htsat import load_htsat
from uss_ray.weights.importers.published import import_published

NARROW = HtsatConfig(
    classes=5,
    channels=4,
    stage_blocks=(1, 2),
    stage_heads=(1, 2),
    window_patches=4,
    image_size=64,
    mel_bins=16,
    window_samples=256,
)


@pytest.fixture
def narrow_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the importer expect a narrow network."""
    monkeypatch.setattr("uss_ray.weights.importers.published.HtsatConfig", lambda: NARROW)


def test_every_tensor_arrives_under_our_name() -> None:
    state = published_htsat(NARROW)
    own = load_htsat("file", state, NARROW).state_dict()
    pairs = {
        "norm_mel.running_var": "bn0.running_var",
        "patch.weight": "patch_embed.proj.weight",
        "norm_patch.bias": "patch_embed.norm.bias",
        "stages.0.blocks.0.attention.inputs.bias": "layers.0.blocks.0.attn.qkv.bias",
        "stages.1.merge.reduce.weight": "layers.0.downsample.reduction.weight",
        "stages.1.merge.norm.bias": "layers.0.downsample.norm.bias",
        "stages.1.blocks.1.norm2.weight": "layers.1.blocks.1.norm2.weight",
        "stages.1.blocks.1.attention.position_bias": "layers.1.blocks.1.attn.relative_position_bias_table",
        "stages.1.blocks.0.narrow.weight": "layers.1.blocks.0.mlp.fc2.weight",
        "classify.weight": "tscam_conv.weight",
        "log_mel.filters": "logmel_extractor.melW",
    }
    for ours, theirs in pairs.items():
        assert torch.equal(own[ours], state[theirs]), ours
    tables = [
        key for key in state if key.endswith(("position_index", "attn_mask")) or key.startswith("head.")
    ]
    assert len(own) == len(state) - len(tables)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("norm.bias", None, r"file: expected \d+ tensors, found 1 missing \(norm\.bias\)"),
        ("head.bias", None, r"1 missing \(head\.bias\)"),
        ("absolute_pos_embed", torch.zeros(1), r"1 unknown \(absolute_pos_embed\)"),
        ("tscam_conv.bias", torch.zeros(50), r"tscam_conv\.bias: expected shape \(5,\), found shape \(50,\)"),
        ("bn0.weight", torch.full((16,), math.nan), r"bn0\.weight: expected finite values"),
        ("logmel_extractor.melW", torch.rand(129, 16), r"melW: expected the constant of this front end"),
        ("layers.1.blocks.1.attn_mask", torch.zeros(1, 16, 16), r"attn_mask: expected shape"),
        ("layers.1.blocks.1.attn_mask", torch.zeros(4, 16, 16), r"attn_mask: expected the constant"),
        (
            "layers.0.blocks.0.attn.relative_position_index",
            relative_positions(4).T,
            r"relative_position_index: expected the constant",
        ),
    ],
)
def test_a_wrong_tensor_is_refused_by_name(key: str, value: Tensor | None, message: str) -> None:
    state = published_htsat(NARROW)
    if value is None:
        del state[key]
    else:
        state[key] = value
    with pytest.raises(WeightsError, match=message):
        load_htsat("file", state, NARROW)


@pytest.mark.usefixtures("narrow_published")
def test_an_averaged_file_becomes_a_tagger_that_detects(tmp_path: Path) -> None:
    state = {f"sed_model.{key}": value.float() for key, value in published_htsat(NARROW).items()}
    torch.save({"state_dict": state}, tmp_path / "HTSAT_AudioSet_Saved_1.ckpt")
    folder = import_published(tmp_path / "HTSAT_AudioSet_Saved_1.ckpt", tmp_path / "out")
    weights = read_folder(folder)
    assert weights.name == "htsat"
    assert weights.specifications.segment_seconds == 10.0
    assert isinstance(weights.tagger, Htsat)
    assert weights.detector is weights.tagger
    assert weights.tagger.norm_mel.num_batches_tracked == 7
    assert weights.source is not None
    assert weights.source["sha256"] in (folder / "MODEL_CARD.md").read_text()
    for other in ("panns-cnn14", "uss-resunet30"):
        with pytest.raises(WeightsError, match=f"expected a file of {other}"):
            import_published(tmp_path / "HTSAT_AudioSet_Saved_1.ckpt", tmp_path / "other", kind=other)


@pytest.mark.usefixtures("narrow_published")
def test_a_training_checkpoint_may_name_the_class_of_its_callback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = ("pytorch_lightning", "callbacks", "model_checkpoint")
    saver = type("ModelCheckpoint", (), {"__module__": ".".join(parts)})
    other = type("LearningRateMonitor", (), {"__module__": ".".join(parts)})
    for count in (1, 2, 3):
        name = ".".join(parts[:count])
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    vars(sys.modules[saver.__module__]).update(ModelCheckpoint=saver, LearningRateMonitor=other)
    state = {f"sed_model.{key}": value for key, value in published_htsat(NARROW).items()}
    torch.save({"state_dict": state, "callbacks": {saver: {"best": torch.tensor(0.4)}}}, tmp_path / "a.ckpt")
    torch.save({"state_dict": state, "callbacks": {other: {}}}, tmp_path / "b.ckpt")
    monkeypatch.undo()
    monkeypatch.setattr("uss_ray.weights.importers.published.HtsatConfig", lambda: NARROW)
    assert read_folder(import_published(tmp_path / "a.ckpt", tmp_path / "a")).name == "htsat"
    with pytest.raises(WeightsError, match=r"save `state_dict` alone.*model_checkpoint\.LearningRateMonitor"):
        import_published(tmp_path / "b.ckpt", tmp_path / "b")


def test_a_stray_key_beside_the_network_is_refused(tmp_path: Path) -> None:
    state = {f"sed_model.{key}": value for key, value in published_htsat(NARROW).items()} | {
        "teacher.x": torch.zeros(1)
    }
    torch.save({"state_dict": state}, tmp_path / "some.ckpt")
    with pytest.raises(
        WeightsError, match=r"expected keys under sed_model\., found 1 unknown \(teacher\.x\)"
    ):
        import_published(tmp_path / "some.ckpt", tmp_path / "out")
