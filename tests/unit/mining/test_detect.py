from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.small_tagger import save_small_tagger
from uss_ray.errors import ConfigError, WeightsError
from uss_ray.mining.detect import AnchorDetector
from uss_ray.weights.folder import read_folder

torch = pytest.importorskip("torch")
RATE = 32_000


def clips(count: int, seconds: float = 10.0) -> list[np.ndarray]:
    rng = np.random.default_rng(2)
    return [(0.1 * rng.standard_normal(round(seconds * RATE))).astype(np.float32) for _ in range(count)]


def test_a_clip_gives_the_same_bits_alone_and_beside_others(weights) -> None:
    detector = AnchorDetector(weights, batch_size=3, device="cuda" if torch.cuda.is_available() else "cpu")
    sounds = clips(5)
    together = detector.detect(sounds)
    assert len(together) == 5
    for sound, found in zip(sounds, together, strict=True):
        [alone] = detector.detect([sound])
        assert np.array_equal(alone.framewise_probs, found.framewise_probs)
        assert np.array_equal(alone.clipwise_probs, found.clipwise_probs)


def test_frames_are_those_of_the_real_sound(weights) -> None:
    detector = AnchorDetector(weights, batch_size=2)
    long, short = detector.detect([clips(1, 12.0)[0], clips(1, 4.0)[0]])
    assert detector.hop_samples == long.hop_samples == 640
    assert long.framewise_probs.shape == (501, 527)
    assert short.framewise_probs.shape == (201, 527)


def test_no_clip_gives_no_detection(weights) -> None:
    assert AnchorDetector(weights).detect([]) == []


def test_conditions_are_the_query_nets_bottlenecks(weights) -> None:
    detector = AnchorDetector(weights, batch_size=2)
    anchors = clips(3, 2.0)
    both = detector.conditions(anchors, kind="both")
    assert {name: values.shape for name, values in both.items()} == {"soft": (3, 527), "latent": (3, 12)}
    with torch.inference_mode():
        wanted = weights.query_net.bottleneck(torch.from_numpy(np.stack(anchors[:2]))).numpy()
    assert np.array_equal(both["soft"][:2], wanted)
    assert np.array_equal(detector.conditions(anchors, kind="latent")["latent"], both["latent"])
    assert detector.conditions(anchors, kind="none") == {}


def test_a_clip_head_cannot_say_when(tiny_weights: Path) -> None:
    with pytest.raises(WeightsError, match=r"expected a detector, found none|frame head"):
        AnchorDetector(read_folder(tiny_weights)).detect(clips(1))


def test_an_unknown_precision_is_refused(weights) -> None:
    with pytest.raises(ConfigError, match="mining precision"):
        AnchorDetector(weights, precision="int8")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_compiled_networks_say_nearly_the_same_and_a_clip_still_keeps_its_bits(tmp_path: Path) -> None:
    # One convolution in place of six: a compiler takes seconds for each.
    weights = read_folder(save_small_tagger(tmp_path / "smaller", block_channels=(4,), convs_per_block=1))
    plain, compiled = (AnchorDetector(weights, batch_size=3, compiled=choice) for choice in (False, True))
    sounds = clips(3)
    together = compiled.detect(sounds)
    for sound, found, wanted in zip(sounds, together, plain.detect(sounds), strict=True):
        [alone] = compiled.detect([sound])
        assert np.array_equal(alone.framewise_probs, found.framewise_probs)
        assert np.array_equal(alone.clipwise_probs, found.clipwise_probs)
        np.testing.assert_allclose(found.framewise_probs, wanted.framewise_probs, atol=1e-5)


def test_compiling_needs_a_compiler(weights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match="expected the C\\+\\+ compiler no-such-compiler, found none"):
        AnchorDetector(weights, compiled=True)
