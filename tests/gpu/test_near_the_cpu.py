"""What a GPU separates and detects lies as near to a CPU's as its precision allows. Needs a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from uss_ray.mining.detect import AnchorDetector
from uss_ray.models.inference import inference
from uss_ray.models.network_settings import ResUNetConfig
from uss_ray.models.resunet import ResUNet, UpConvolution
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.engine import build_engine
from uss_ray.separation.mixture import ArraySource
from uss_ray.separation.settings import NetworkSettings, SeparationSettings
from uss_ray.separation.targets import SeparationPlan, targets_for_classes
from uss_ray.weights.folder import read_folder
from uss_ray.weights.known import starter_folder

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine"),
]

SOUND = Path(__file__).parents[2] / "examples" / "archive" / "harbour.ogg"
CLASSES = ("Speech", "Water", "Vehicle")


def sound(seconds: float) -> tuple[NDArray[np.float32], int]:
    rate = soundfile.info(SOUND).samplerate
    samples, _ = soundfile.read(SOUND, frames=round(seconds * rate), dtype="float32", always_2d=True)
    return np.ascontiguousarray(samples.T), rate


def separated(*, device: str, precision: Any) -> dict[str, NDArray[np.float32]]:
    """Stems of a real recording, every target separated everywhere."""
    samples, rate = sound(9.0)
    vocabulary = Vocabulary.load()
    engine = build_engine(
        read_folder(starter_folder()),
        vocabulary=vocabulary,
        networks=NetworkSettings(precision=precision),
        device=device,
    )
    targets = targets_for_classes(vocabulary, names=CLASSES)
    source, settings = ArraySource(samples, sample_rate=rate), SeparationSettings(threshold=0.0)
    blocks = list(engine.stream(source, SeparationPlan(targets), settings=settings))
    return {
        target.key: np.concatenate([block.estimates[target.key] for block in blocks], axis=1)
        for target in targets
    }


@pytest.mark.parametrize(("precision", "least_db"), [("float32", 90), ("tfloat32", 50), ("bfloat16", 20)])
def test_stems_of_a_gpu_are_those_of_a_cpu_but_for_rounding(precision: Any, least_db: float) -> None:
    expected = separated(device="cpu", precision="float32")
    found = separated(device="cuda", precision=precision)
    assert len(found) == len(CLASSES)
    for key, stem in expected.items():
        error = float(np.square(found[key] - stem, dtype=np.float64).sum())
        assert 10 * np.log10(np.square(stem, dtype=np.float64).sum() / error) > least_db


@pytest.mark.parametrize(("precision", "most"), [("float32", 1e-5), ("tfloat32", 5e-3), ("bfloat16", 0.05)])
def test_probabilities_of_a_gpu_are_those_of_a_cpu_but_for_rounding(precision: Any, most: float) -> None:
    samples, _ = sound(9.0)
    weights = read_folder(starter_folder())
    [expected] = AnchorDetector(weights).detect([samples[0]])
    [found] = AnchorDetector(weights, device="cuda", precision=precision).detect([samples[0]])
    assert np.abs(found.framewise_probs - expected.framewise_probs).max() < most


def test_an_up_convolution_is_the_same_as_a_product() -> None:
    torch.manual_seed(0)
    for scale in ((2, 2), (1, 2)):
        layer, maps = UpConvolution(5, 3, scale), torch.randn(2, 5, 7, 11)
        expected = layer(maps).detach()
        found = layer.cuda()(maps.cuda()).detach().cpu()
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_the_published_size_has_the_same_bits_in_every_place_of_a_batch() -> None:
    torch.manual_seed(0)
    network = ResUNet(ResUNetConfig()).eval().cuda()
    device = torch.device("cuda")
    with inference(device=device):
        spectrograms = network.stft(0.1 * torch.randn(4, 1, 64_000, device=device))
        conditions = torch.rand(4, 527, device=device)
        first = network.masks(spectrograms, conditions)
        turned = network.masks(spectrograms.roll(1, 0), conditions.roll(1, 0)).roll(-1, 0)
    assert torch.equal(first, turned)
