"""Our HTS-AT against the published program, same weights through the published file formats.

Run with `-rP` to see the figures. Tolerance: 1e-5 relative in float32 on the CPU, as in `test_parity`.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.parity import htsat_peer, peers
from uss_ray.models.htsat import Htsat
from uss_ray.models.htsat_settings import HtsatConfig
from uss_ray.weights.folder import read_folder
from uss_ray.weights.importers.htsat import load_htsat
from uss_ray.weights.importers.published import import_published

pytestmark = pytest.mark.peer

TOLERANCE = 1e-5
LENGTHS = (2.0, 3.70321, 10.0, 10.2301)
"""Less than half an image, no multiple of the hop, AudioSet's own, and exactly one image of 1024 frames."""


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Htsat, nn.Module]:
    folder = tmp_path_factory.mktemp("htsat")
    theirs = htsat_peer.htsat(seed=21)
    file = htsat_peer.averaged_file(folder / "HTSAT_AudioSet_Saved_1.ckpt", theirs)
    weights = read_folder(import_published(file, folder / "out"))
    shutil.rmtree(folder)
    assert weights.name == "htsat"
    assert weights.detector is weights.tagger
    assert isinstance(weights.detector, Htsat)
    return weights.detector, theirs


def agree(what: str, ours: Tensor, theirs: Tensor) -> None:
    """Hold two outputs to the tolerance and print how far apart they are."""
    assert ours.shape == theirs.shape, f"{what}: {tuple(ours.shape)} against {tuple(theirs.shape)}"
    difference = ours.double() - theirs.double()
    norm = float(difference.norm() / theirs.double().norm())
    peak = float(difference.abs().max() / theirs.double().abs().max())
    spread = float((theirs - theirs.mean(dim=1, keepdim=True)).std() / theirs.abs().max())
    sys.stdout.write(f"{what:<44} norm {norm:.1e}  peak {peak:.1e}  spread {spread:.2f}\n")
    assert spread > 1e-2, f"{what}: the peer's output is all but constant, so agreement shows nothing"
    assert max(norm, peak) <= TOLERANCE


def waveform(seconds: float, seed: int = 22) -> Tensor:
    """A scene whose end is unlike its beginning, so that a frame in the wrong place shows."""
    scene = peers.scene(seconds, batch=2, seed=seed)
    return scene * torch.linspace(0.05, 1.0, scene.shape[1]).square()


@pytest.mark.parametrize("seconds", LENGTHS)
def test_a_stretched_image_gives_every_published_number(networks: Any, seconds: float) -> None:
    ours, theirs = networks
    sound = waveform(seconds)
    expected = theirs({"waveform": sound})
    found = ours.read_image(ours.log_mel(sound))
    fine = ours.config.frames_per_column
    agree(f"clip-wise {seconds:g} s", found.clipwise_probs, expected["clipwise_output"])
    agree(f"embedding {seconds:g} s", found.embedding, expected["embedding"])
    agree(
        f"frame-wise {seconds:g} s",
        found.column_probs.repeat_interleave(fine, dim=1),
        expected["framewise_output"],
    )
    agree(
        f"fine-grained embedding {seconds:g} s",
        found.column_embeddings.repeat_interleave(fine, dim=1),
        expected["fine_grained_embedding"],
    )


@pytest.mark.parametrize("seconds", LENGTHS)
def test_the_detector_puts_the_published_frames_on_the_time_line(networks: Any, seconds: float) -> None:
    """The paper's program repeats a short clip as often as it fits whole (its `infer_mode`), then stretches."""
    ours, theirs = networks
    sound = waveform(seconds)
    normed = theirs.logmel_extractor(theirs.spectrogram_extractor(sound))
    normed = theirs.bn0(normed.transpose(1, 3)).transpose(1, 3)
    frames = normed.shape[2]
    repeats = 1024 // frames
    expected = theirs.forward_features(theirs.reshape_wav2img(normed.repeat(1, 1, repeats, 1)))
    found = ours(sound)
    agree(f"detector clip-wise {seconds:g} s", found.clipwise_probs, expected["clipwise_output"])
    agree(f"detector embedding {seconds:g} s", found.embedding, expected["embedding"])
    stretch = 1023 / (repeats * frames - 1)
    placed = [
        torch.stack(
            [
                expected["framewise_output"][:, round((repeat * frames + frame) * stretch)]
                for repeat in range(repeats)
            ]
        ).mean(dim=0)
        for frame in range(frames)
    ]
    agree(f"detector frame-wise {seconds:g} s", found.framewise_probs, torch.stack(placed, dim=1))


def test_a_checkpoint_of_the_training_program_is_read_without_lightning(
    networks: Any, tmp_path: Path
) -> None:
    ours, theirs = networks
    assert "pytorch_lightning" not in sys.modules
    file = htsat_peer.lightning_file(tmp_path / "l-epoch=9-mAP=0.471.ckpt", theirs)
    weights = read_folder(import_published(file, tmp_path / "out"))
    state = ours.state_dict()
    loaded = weights.tagger.state_dict()
    assert state.keys() == loaded.keys()
    assert all(torch.equal(state[key], loaded[key]) for key in state)


def test_other_sizes_are_the_same_program_too() -> None:
    theirs = htsat_peer.htsat(
        seed=23, num_classes=9, embed_dim=32, depths=[2, 4, 2, 2], num_heads=[2, 4, 8, 16]
    )
    config = HtsatConfig(classes=9, channels=32, stage_blocks=(2, 4, 2, 2), stage_heads=(2, 4, 8, 16))
    ours = load_htsat("file", theirs.state_dict(), config)
    sound = waveform(5.0)
    found, expected = ours.read_image(ours.log_mel(sound)), theirs({"waveform": sound})
    agree("narrow clip-wise 5 s", found.clipwise_probs, expected["clipwise_output"])
    agree("narrow embedding 5 s", found.embedding, expected["embedding"])
