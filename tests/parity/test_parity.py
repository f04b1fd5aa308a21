"""Our networks against the published programs, same weights through the published file formats.

Run with `-rP` to see the figures. Tolerance: 1e-5 relative in float32 on the CPU, both as ‖a − b‖/‖b‖ and as the
largest difference relative to the peak.
"""

from __future__ import annotations

import copy
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.parity import peers
from uss_ray.models.query_net import QueryNet
from uss_ray.models.specifications import Condition
from uss_ray.weights.folder import Weights, read_folder
from uss_ray.weights.importers.published import import_published, load_adaptor

pytestmark = pytest.mark.peer

TOLERANCE = 1e-5
LENGTHS = (1.0, 2.0, 3.7, 10.0)
ODD_SECONDS = 2.00321
"""64,103 samples: no multiple of the hop."""


@pytest.fixture(scope="module", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep what the peers write and read at import out of the user's home."""
    home = tmp_path_factory.mktemp("home")
    peers.prepare_home(home)
    patch = pytest.MonkeyPatch()
    patch.setenv("HOME", str(home))
    patch.setenv("MPLCONFIGDIR", str(home / "matplotlib"))
    yield home
    patch.undo()


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def agree(what: str, ours: Tensor, theirs: Tensor, *, tolerance: float = TOLERANCE) -> None:
    """Hold two outputs to the tolerance and print how far apart they are."""
    assert ours.shape == theirs.shape, f"{what}: {tuple(ours.shape)} against {tuple(theirs.shape)}"
    difference = ours.double() - theirs.double()
    norm = float(difference.norm() / theirs.double().norm())
    peak = float(difference.abs().max() / theirs.double().abs().max())
    spread = float(theirs.double().std() / theirs.double().abs().max())
    sys.stdout.write(f"{what:<52} norm {norm:.1e}  peak {peak:.1e}\n")
    assert spread > 1e-3, f"{what}: the peer's output is all but constant, so agreement shows nothing"
    assert max(norm, peak) <= tolerance


def imported(file: Path, folder: Path) -> Weights:
    weights = read_folder(import_published(file, folder))
    file.unlink()  # a third of a gigabyte each, as is the folder
    shutil.rmtree(folder)
    return weights


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, nn.Module]:
    folder = tmp_path_factory.mktemp("tagger")
    theirs = peers.panns("Cnn14", seed=1)
    weights = imported(peers.panns_file(folder / "Cnn14_mAP=0.431.pth", theirs, legacy=True), folder / "out")
    assert weights.name == "panns-cnn14"
    return weights.tagger, theirs


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, nn.Module]:
    folder = tmp_path_factory.mktemp("detector")
    theirs = peers.panns("Cnn14_DecisionLevelMax", seed=2)
    file = peers.panns_file(folder / "Cnn14_DecisionLevelMax_mAP=0.385.pth", theirs)
    weights = imported(file, folder / "out")
    assert weights.name == "panns-cnn14-decision-level-max"
    return weights.detector, theirs


@pytest.fixture(scope="module")
def complete(
    tmp_path_factory: pytest.TempPathFactory, tagger: Any, detector: Any
) -> tuple[Weights, nn.Module]:
    folder = tmp_path_factory.mktemp("uss")
    theirs = peers.resunet30(seed=3)
    file = peers.lightning_file(
        folder / "released.ckpt", separator=theirs, tagger=tagger[1], detector=detector[1]
    )
    weights = imported(file, folder / "out")
    assert weights.name == "uss-resunet30"
    return weights, theirs


@pytest.mark.parametrize("seconds", [*LENGTHS, ODD_SECONDS])
def test_the_tagger_gives_the_published_numbers(tagger: Any, seconds: float) -> None:
    ours, theirs = tagger
    waveform = peers.scene(seconds, batch=2, seed=10)
    expected, found = theirs(waveform), ours(waveform)
    agree(f"Cnn14 clipwise {seconds:g} s", found.clipwise_probs, expected["clipwise_output"])
    agree(f"Cnn14 embedding {seconds:g} s", found.embedding, expected["embedding"])


@pytest.mark.parametrize("seconds", [*LENGTHS, ODD_SECONDS])
def test_the_detector_gives_the_published_numbers(detector: Any, seconds: float) -> None:
    ours, theirs = detector
    waveform = peers.scene(seconds, batch=2, seed=11)
    expected, found = theirs(waveform), ours(waveform)
    agree(f"Cnn14_DecisionLevelMax clipwise {seconds:g} s", found.clipwise_probs, expected["clipwise_output"])
    agree(
        f"Cnn14_DecisionLevelMax framewise {seconds:g} s", found.framewise_probs, expected["framewise_output"]
    )


def flat(tree: Any, path: str = "") -> dict[str, Tensor]:
    """FiLM data of the peer as one dict, in its own order."""
    if isinstance(tree, Tensor):
        return {path: tree}
    return {k: v for name, branch in tree.items() for k, v in flat(branch, f"{path}/{name}").items()}


def test_every_film_shift_gives_the_published_numbers(complete: Any) -> None:
    weights, theirs = complete
    condition = torch.rand(3, peers.CLASSES, generator=torch.Generator().manual_seed(12))
    expected = flat(theirs.film(condition))
    unread = {f"/decoder_block{index}/beta2" for index in range(1, 7)}
    used = [(name, shift) for name, shift in expected.items() if name not in unread]
    found = [modulation.shift for modulation in weights.separator.film(condition)]
    assert len(found) == len(used) == 32
    agree("FiLM, all 32 shifts", torch.cat(found, dim=1), torch.cat([shift for _, shift in used], dim=1))
    for ours, (name, shift) in zip(found, used, strict=True):
        agree(f"FiLM {name}", ours, shift)


@pytest.mark.parametrize("seconds", [*LENGTHS, ODD_SECONDS])
def test_the_separator_gives_the_published_waveform(complete: Any, seconds: float) -> None:
    weights, theirs = complete
    mixture = peers.scene(seconds, batch=1 if seconds > 1 else 2, seed=13)[:, None]
    draw = torch.Generator().manual_seed(14)
    condition = torch.rand(len(mixture), peers.CLASSES, generator=draw)
    expected = theirs({"mixture": mixture, "condition": condition})["waveform"]
    agree(f"ResUNet30 waveform {seconds:g} s", weights.separator(mixture[:, 0], condition)[:, None], expected)


def test_the_separator_is_the_same_function_in_double_precision(complete: Any) -> None:
    weights, theirs = complete
    mixture = peers.scene(0.5, batch=1, seed=19)[:, None].double()
    condition = torch.rand(1, peers.CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(20))
    ours = copy.deepcopy(weights.separator).double()
    expected = peers.in_double(theirs)({"mixture": mixture, "condition": condition})["waveform"]
    # What is left are the peer's Fourier matrices, which are stored in single precision.
    found = ours(mixture[:, 0], condition)[:, None]
    agree("ResUNet30 waveform 0.5 s, float64", found, expected, tolerance=1e-6)


def test_a_released_checkpoint_gives_a_complete_folder(complete: Any, tagger: Any, detector: Any) -> None:
    weights, _ = complete
    waveform = peers.scene(2.0, batch=2, seed=15)
    assert weights.specifications.condition == Condition(kind="soft", size=peers.CLASSES)
    assert weights.specifications.segment_seconds == 2.0
    assert weights.query_net is not None
    agree("uss query net, soft", weights.query_net(waveform), tagger[1](waveform)["clipwise_output"])
    found = weights.detector(waveform).framewise_probs
    agree("uss detector framewise", found, detector[1](waveform)["framewise_output"])


def test_the_adaptor_gives_the_published_condition(tagger: Any) -> None:
    query_nets = peers.module_of("uss.models.query_nets")
    theirs = query_nets.AdaptiveCnn14_Wrapper("embedding", "", True, True, 512)
    peers.randomise(nn.ModuleList([theirs.fc1, theirs.fc2]), seed=16)
    adaptor = {key: value for key, value in theirs.state_dict().items() if not key.startswith("base.")}
    theirs.base = tagger[1]
    theirs.eval()
    ours = QueryNet(tagger[0], kind="latent", adaptor=load_adaptor("query_net", adaptor)).eval()
    waveform = peers.scene(2.0, batch=2, seed=18)
    agree("uss query net, latent with adaptor", ours(waveform), theirs(waveform)["output"])


def test_the_peers_find_a_home_that_is_not_the_users(_home: Path) -> None:  # noqa: PT019
    assert Path.home() == _home
