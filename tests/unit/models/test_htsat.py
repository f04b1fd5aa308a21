"""An HTS-AT is a tagger and a detector of any length of sound, on the time line of that sound.

That its numbers are the published ones is the business of `tests/parity`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from uss_ray.models.htsat import Htsat, Reading
from uss_ray.models.htsat_settings import HtsatConfig
from uss_ray.models.specifications import Condition
from uss_ray.weights.folder import read_folder, save_weights, specify

SMALL = {
    "classes": 6,
    "channels": 8,
    "stage_blocks": (1, 2, 1),
    "stage_heads": (1, 2, 4),
    "window_patches": 4,
    "image_size": 64,
    "mel_bins": 16,
    "window_samples": 512,
}
"""An image of 256 frames (2.56 s), 16 columns of 16 frames."""


def small(**changes: object) -> Htsat:
    torch.manual_seed(0)
    return Htsat(HtsatConfig(**(SMALL | changes))).eval()  # type: ignore[arg-type]


class Loudness(Htsat):
    """Says of each column how loud it is: where it puts that on the time line is for the caller to see."""

    def read_image(self, log_mel: Tensor) -> Reading:
        image = self._image(log_mel)[:, 0].unflatten(1, (self.config.folds, -1)).mean(dim=2).flatten(1)
        columns = image.unflatten(1, (-1, self.config.frames_per_column)).mean(dim=2)
        probs = columns[:, :, None].expand(-1, -1, self.config.classes)
        latent = torch.zeros(len(log_mel), self.config.embedding_size)
        return Reading(probs.mean(dim=1), latent, probs, latent[:, None])


@pytest.mark.parametrize("seconds", [0.0001, 0.3, 1.0, 2.5, 2.55, 2.56, 6.1])
def test_any_length_is_tagged_with_one_frame_a_hop(seconds: float) -> None:
    model = small()
    samples = max(1, round(32_000 * seconds))
    with torch.inference_mode():
        tagging = model(torch.randn(2, samples))
    assert tagging.clipwise_probs.shape == (2, 6)
    assert tagging.embedding.shape == (2, model.config.embedding_size) == (2, 32)
    assert tagging.framewise_probs is not None
    assert tagging.framewise_probs.shape == (2, model.log_mel.stft.frames(samples), 6)
    for probs in (tagging.clipwise_probs, tagging.framewise_probs):
        assert ((probs > 0) & (probs < 1)).all()


@pytest.mark.parametrize("short_clips", ["repeat", "stretch"])
@pytest.mark.parametrize(("seconds", "at"), [(0.5, 0.35), (1.0, 0.2), (2.0, 1.5), (2.56, 2.3), (9.0, 6.8)])
def test_a_burst_is_heard_when_it_sounds(short_clips: str, seconds: float, at: float) -> None:
    torch.manual_seed(0)
    model = Loudness(HtsatConfig(**(SMALL | {"short_clips": short_clips}))).eval()  # type: ignore[arg-type]
    waveform = 1e-4 * torch.randn(1, round(32_000 * seconds))
    burst = slice(round(32_000 * (at - 0.05)), round(32_000 * (at + 0.05)))
    waveform[:, burst] += 0.5 * torch.randn(1, burst.stop - burst.start)
    with torch.inference_mode():
        framewise = model(waveform).framewise_probs
    assert framewise is not None
    heard = framewise[0, :, 0]
    loud = torch.nonzero(heard > (heard.min() + heard.max()) / 2) / model.config.frames_per_second
    column_seconds = model.config.frames_per_column / model.config.frames_per_second
    assert abs(float(loud.mean()) - at) < column_seconds
    assert float(loud.max() - loud.min()) < 0.1 + 2 * column_seconds


def test_a_short_clip_is_repeated_whole_and_keeps_its_tempo() -> None:
    model = small()
    log_mel = torch.randn(1, 100, 16)
    with torch.inference_mode():
        found = model.tag(log_mel)
        twice = model.read_image(torch.cat((log_mel, log_mel), dim=1))
        stretched = small(short_clips="stretch").tag(log_mel)
        once = model.read_image(log_mel)
    assert torch.equal(found.clipwise_probs, twice.clipwise_probs)
    assert torch.equal(stretched.clipwise_probs, once.clipwise_probs)
    assert not torch.allclose(found.clipwise_probs, stretched.clipwise_probs, atol=1e-6)


def test_a_long_clip_is_the_average_of_the_images_that_see_it() -> None:
    model = small()
    log_mel = torch.randn(1, 384, 16)
    with torch.inference_mode():
        whole = model.tag(log_mel)
        first, second = model.tag(log_mel[:, :256]), model.tag(log_mel[:, 128:])
    assert whole.framewise_probs is not None
    assert first.framewise_probs is not None
    assert second.framewise_probs is not None
    torch.testing.assert_close(whole.framewise_probs[:, :128], first.framewise_probs[:, :128])
    torch.testing.assert_close(whole.framewise_probs[:, 256:], second.framewise_probs[:, 128:])
    both = (first.framewise_probs[:, 128:] + second.framewise_probs[:, :128]) / 2
    torch.testing.assert_close(whole.framewise_probs[:, 128:256], both)
    torch.testing.assert_close(whole.clipwise_probs, (first.clipwise_probs + second.clipwise_probs) / 2)
    torch.testing.assert_close(whole.embedding, (first.embedding + second.embedding) / 2)


def test_neighbours_in_a_batch_change_nothing() -> None:
    model = small()
    sounds = torch.randn(3, 40_000)
    with torch.inference_mode():
        together, alone = model(sounds), model(sounds[1:2])
    torch.testing.assert_close(together.framewise_probs[1:2], alone.framewise_probs)
    torch.testing.assert_close(together.embedding[1:2], alone.embedding)


def test_a_row_of_a_full_batch_has_the_same_bits_wherever_it_is() -> None:
    model = small(classes=527)
    sounds = torch.randn(4, 60_000)
    other = torch.cat((torch.randn(1, 60_000), sounds[[2, 0, 3]]))
    with torch.inference_mode():
        first, second = model(sounds), model(other)
    for before, after in ((2, 1), (0, 2), (3, 3)):
        for one, two in zip(first, second, strict=True):
            assert torch.equal(one[before], two[after])


@pytest.mark.slow
def test_it_learns() -> None:
    model = small(drop_path=0.5).train()
    log_mel = torch.randn(4, 256, 16)
    log_mel[:2] += 3.0
    labels = torch.zeros(4, 6)
    labels[:2, 0], labels[2:, 1] = 1.0, 1.0
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(12):
        loss = torch.nn.functional.binary_cross_entropy(model.tag(log_mel).clipwise_probs, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_drop_path_acts_in_training_only() -> None:
    model = small(drop_path=0.9)
    log_mel = torch.randn(8, 256, 16)
    with torch.inference_mode():
        steady = [model.tag(log_mel).embedding for _ in range(2)]
        model.train()
        shaky = [model.tag(log_mel).embedding for _ in range(2)]
    assert torch.equal(*steady)
    assert not torch.equal(*shaky)


def test_half_precision_arithmetic_stays_close() -> None:
    model = small()
    sound = torch.randn(2, 80_000)
    with torch.inference_mode():
        exact = model(sound).clipwise_probs
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = model(sound).clipwise_probs
    assert float((exact - rough).abs().max()) < 0.02


def test_a_weights_folder_brings_it_back_as_tagger_and_detector(tmp_path: Path) -> None:
    model = small()
    networks = {"tagger": model}
    specifications = specify(networks, segment_seconds=10.0)
    folder = save_weights(
        tmp_path / "weights", networks, name="small", specifications=specifications, dtype="float16"
    )
    weights = read_folder(folder)
    assert weights.tagger is weights.detector
    assert isinstance(weights.tagger, Htsat)
    assert weights.tagger.config == model.config
    assert weights.specifications.condition == Condition(kind="soft", size=6)
    assert weights.query_net is not None
    sound = torch.randn(1, 50_000)
    with torch.inference_mode():
        expected, found = model(sound), weights.query_net(sound)
    torch.testing.assert_close(found, expected.clipwise_probs, atol=2e-3, rtol=0)
    latent = specify(networks, segment_seconds=10.0, condition_kind="latent")
    assert latent.condition.size == model.config.embedding_size
