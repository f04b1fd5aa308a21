"""Published files become weights folders key by key; one key too few, too many or of another shape is refused.

That the numbers are the published ones is the business of `tests/parity`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.published_files import counted, published_panns, published_resunet
from uss_ray.errors import WeightsError
from uss_ray.models.network_settings import ResUNetConfig
from uss_ray.models.panns_settings import PannsConfig
from uss_ray.models.specifications import ClassListId, Condition
from uss_ray.weights.folder import read_folder
from uss_ray.weights.importers.published import (
    AUDIOSET_CLASSES,
    import_published,
    load_adaptor,
    load_panns,
    load_resunet,
)

NARROW = PannsConfig(classes=6, block_channels=(4, 8), embedding_size=10, window_samples=256, mel_bins=16)


def test_every_tensor_of_a_tagger_arrives_under_our_name() -> None:
    state = published_panns(NARROW)
    own = load_panns("file", state, NARROW).state_dict()
    pairs = {
        "norm.running_var": "bn0.running_var",
        "blocks.0.convs.0.weight": "conv_block1.conv1.weight",
        "blocks.1.convs.1.weight": "conv_block2.conv2.weight",
        "blocks.1.norms.0.bias": "conv_block2.bn1.bias",
        "blocks.0.norms.1.num_batches_tracked": "conv_block1.bn2.num_batches_tracked",
        "embed.weight": "fc1.weight",
        "classify.bias": "fc_audioset.bias",
        "log_mel.filters": "logmel_extractor.melW",
    }
    for ours, theirs in pairs.items():
        assert torch.equal(own[ours], state[theirs]), ours
    assert len(own) == len(state) - 2


def test_a_file_may_leave_out_counters_and_fourier_kernels() -> None:
    state = {k: v for k, v in published_panns(NARROW).items() if "num_batches" not in k and "stft" not in k}
    assert load_panns("file", state, NARROW).state_dict()["norm.num_batches_tracked"] == 0


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("fc1.bias", None, r"file: expected \d+ tensors, found 1 missing \(fc1\.bias\)"),
        ("fc9.bias", torch.zeros(1), r"found 1 unknown \(fc9\.bias\)"),
        ("fc1.bias", torch.zeros(3), r"file fc1\.bias: expected shape \(10,\), found shape \(3,\)"),
        ("fc1.bias", torch.full((10,), math.nan), r"fc1\.bias: expected finite values"),
        ("logmel_extractor.melW", torch.rand(129, 16), r"melW: expected the constant of this front end"),
        (
            "spectrogram_extractor.stft.conv_real.weight",
            torch.rand(129, 1, 256),
            r"conv_real\.weight: expected the const",
        ),
        (
            "spectrogram_extractor.stft.conv_imag.weight",
            torch.rand(65, 1, 128),
            r"conv_imag\.weight: expected shape",
        ),
    ],
)
def test_a_wrong_tensor_of_a_tagger_is_refused_by_name(key: str, value: Tensor | None, message: str) -> None:
    state = published_panns(NARROW)
    if value is None:
        del state[key]
    else:
        state[key] = value
    with pytest.raises(WeightsError, match=message):
        load_panns("file", state, NARROW)


def test_every_tensor_of_a_separator_arrives_under_our_name() -> None:
    state = published_resunet(ResUNetConfig(condition_size=5), counted())
    module = load_resunet("file", state)
    own = module.state_dict()
    pairs = {
        "encoder.2.blocks.0.conv1.weight": "base.encoder_block3.conv_block1.conv1.weight",
        "bottleneck.blocks.0.norm2.weight": "base.conv_block7a.conv_block1.bn2.weight",
        "decoder.1.norm.running_mean": "base.decoder_block2.bn1.running_mean",
        "decoder.5.up.weight": "base.decoder_block6.conv1.weight",
        "decoder.3.stage.blocks.0.shortcut.bias": "base.decoder_block4.conv_block2.shortcut.bias",
        "stem.weight": "base.pre_conv.weight",
        "head.bias": "base.after_conv.bias",
    }
    for ours, theirs in pairs.items():
        assert torch.equal(own[ours], state[theirs]), ours
    shifts = own["film.shift.bias"].split(module.film.layer_channels)
    assert torch.equal(shifts[0], state["film.encoder_block1->conv_block1->beta1.bias"])
    assert torch.equal(shifts[14], state["film.decoder_block1->beta1.bias"])
    assert torch.equal(shifts[15], state["film.decoder_block1->conv_block2->beta1.bias"])
    assert torch.equal(shifts[31], state["film.decoder_block6->conv_block2->beta2.bias"])


@pytest.mark.parametrize(
    "key",
    [
        "film.decoder_block1->beta2.bias",
        "base.decoder_block3.bn2.weight",
        "film.conv_block7a->conv_block1->beta1.bias",
    ],
)
def test_a_missing_tensor_of_a_separator_is_refused_even_where_it_is_unused(key: str) -> None:
    state = published_resunet(ResUNetConfig(condition_size=5), counted())
    del state[key]
    with pytest.raises(WeightsError, match="1 missing") as caught:
        load_resunet("file", state)
    assert key in str(caught.value)


def test_an_adaptor_takes_its_sizes_from_its_layers() -> None:
    state = {"fc1.weight": torch.rand(4, 7), "fc1.bias": torch.rand(4), "fc2.weight": torch.rand(3, 4)}
    with pytest.raises(WeightsError, match=r"1 missing \(fc2\.bias\)"):
        load_adaptor("file", state)
    assert load_adaptor("file", state | {"fc2.bias": torch.rand(3)}).config.condition_size == 3
    with pytest.raises(WeightsError, match=r"1 missing \(fc2\.weight\)"):
        load_adaptor("file", {"fc1.weight": torch.rand(4, 7)})


class Trap:
    """Unpickling this would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_file_that_carries_code_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"model": {}, "extra": Trap(tmp_path / "ran")}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="expected tensors and plain containers only") as caught:
        import_published(tmp_path / "evil.pth", tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {"layer": torch.zeros(1)}}, "expected the keys of PANNs"),
        ({"weights": {}}, "a mapping with 'weights'"),
        ({"model": {"layer": 3}}, "tensors only"),
        ([torch.zeros(1)], "no mapping"),
        (
            {"state_dict": {"ss_model.x": torch.zeros(1), "other.x": torch.zeros(1)}},
            r"1 unknown \(other\.x\)",
        ),
        ({"model": {"spectrogram_extractor.x": torch.zeros(1)}}, "both have the same keys"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "some.pth")
    with pytest.raises(WeightsError, match=message):
        import_published(tmp_path / "some.pth", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_truncated_and_a_missing_file_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "Cnn14_mAP=0.431.pth"
    torch.save({"model": published_panns(NARROW)}, path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(WeightsError, match=r"expected (a complete file|tensors and plain)") as caught:
        import_published(path, tmp_path / "out")
    assert "\n" not in str(caught.value)
    with pytest.raises(WeightsError, match="nothing there"):
        import_published(tmp_path / "absent.pth", tmp_path / "out")


@pytest.fixture
def narrow_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the importer expect narrow networks, so that no test writes a third of a gigabyte."""

    def narrow(head: str = "clip") -> PannsConfig:
        return PannsConfig(
            classes=6, block_channels=(4, 8), embedding_size=10, window_samples=256, mel_bins=16, head=head
        )

    monkeypatch.setattr("uss_ray.weights.importers.published.PannsConfig", narrow)


@pytest.mark.usefixtures("narrow_published")
def test_the_file_name_tells_the_two_panns_files_apart(tmp_path: Path) -> None:
    for file, name in (
        ("Cnn14_mAP=0.431.pth", "panns-cnn14"),
        ("Cnn14_DecisionLevelMax_mAP=0.385.pth", "panns-cnn14-decision-level-max"),
    ):
        torch.save({"model": published_panns(NARROW)}, tmp_path / file, _use_new_zipfile_serialization=False)
        weights = read_folder(import_published(tmp_path / file, tmp_path / name))
        assert weights.name == name
        assert (weights.detector is None) == (name == "panns-cnn14")
        assert weights.source is not None
        assert weights.source["file"] == file
        assert weights.source["sha256"] in (tmp_path / name / "MODEL_CARD.md").read_text()


@pytest.mark.usefixtures("narrow_published")
def test_a_uss_checkpoint_gives_a_complete_folder_with_its_adaptor(tmp_path: Path) -> None:
    state = {
        f"ss_model.{key}": value
        for key, value in published_resunet(ResUNetConfig(condition_size=3), counted()).items()
    }
    panns = published_panns(NARROW)
    state |= {f"query_net.base.{key}": value for key, value in panns.items()}
    state |= {f"anchor_segment_detector.sed_model.{key}": value for key, value in panns.items()}
    state["anchor_segment_detector.anchor_segment_scorer.smooth_filter"] = torch.ones(1, 1, 201) / 201
    for name, shape in (("fc1", (4, 10)), ("fc2", (3, 4))):
        state |= {
            f"query_net.{name}.weight": torch.rand(shape),
            f"query_net.{name}.bias": torch.rand(shape[0]),
        }
    torch.save({"epoch": 0, "state_dict": state, "optimizer_states": [{"state": {}}]}, tmp_path / "any.ckpt")
    weights = read_folder(import_published(tmp_path / "any.ckpt", tmp_path / "out"))
    assert weights.specifications.condition == Condition(kind="latent", size=3)
    assert weights.specifications.segment_seconds == 2.0
    assert weights.specifications.class_list == AUDIOSET_CLASSES
    assert weights.specifications.training_rms_dbfs is None
    assert weights.detector is not weights.tagger
    assert weights.query_net is not None
    assert weights.query_net(torch.rand(1, 4000)).shape == (1, 3)
    with pytest.raises(WeightsError, match="expected a file of panns-cnn14"):
        import_published(tmp_path / "any.ckpt", tmp_path / "out", kind="panns-cnn14")


def test_the_packaged_class_list_is_the_published_one() -> None:
    ontology = pytest.importorskip("uss_ray.ontology.classes")
    assert ClassListId.of(ontology.ClassList.load().ids) == AUDIOSET_CLASSES


@pytest.mark.parametrize("content", [b"RIFF\x24\x00\x00\x00WAVEfmt ", b"hello\n" * 9, b"", b"\x80\x02."])
def test_a_file_of_any_other_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "Cnn14_mAP=0.431.pth"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=r"Cnn14_mAP=0\.431\.pth: expected "):
        import_published(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()
