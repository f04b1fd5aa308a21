"""The published programs with seeded random weights, and their weights in the published file formats."""

from __future__ import annotations

import copy
import importlib.util
import math
import shutil
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

CLASSES = 527
EMBEDDING_SIZE = 2048
SAMPLE_RATE = 32_000
FRONT_END = {
    "sample_rate": SAMPLE_RATE,
    "window_size": 1024,
    "hop_size": 320,
    "mel_bins": 64,
    "fmin": 50,
    "fmax": 14000,
    "classes_num": CLASSES,
}


def module_of(name: str) -> Any:
    """Import a module of a peer; skip where the peer is not installed, fail where only its needs are not."""
    package = name.partition(".")[0]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed (tests/peers.txt)")
    return importlib.import_module(name)


def prepare_home(home: Path) -> None:
    """Give the peers the class list they would download at import to the user's home."""
    packaged = Path(__file__).parents[2] / "uss_ray" / "ontology" / "data" / "class_labels_indices.csv"
    for folder in (home / "panns_data", home / ".cache" / "uss" / "metadata"):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(packaged, folder / "class_labels_indices.csv")


def randomise(module: nn.Module, seed: int, *, gain: float = 1.0) -> nn.Module:
    """Give every parameter and running statistic a value that a wrong key would show.

    Convolutions keep the variance of their input, so that differences are neither amplified nor drowned.
    """
    draw = torch.Generator().manual_seed(seed)
    for _, layer in module.named_modules():  # the peer's FiLM has a dict where `modules` should be
        if isinstance(layer, nn.BatchNorm2d):
            shape = layer.weight.shape
            layer.weight.data = 0.6 + 0.8 * torch.rand(shape, generator=draw)
            layer.bias.data = 0.2 * torch.randn(shape, generator=draw)
            layer.running_mean = 0.2 * torch.randn(shape, generator=draw)
            layer.running_var = 0.5 + torch.rand(shape, generator=draw)
            layer.num_batches_tracked = torch.randint(1, 10**6, (), generator=draw)
        elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            weight = layer.weight
            fan_in = weight[0].numel() if not isinstance(layer, nn.ConvTranspose2d) else weight.shape[0]
            weight.data = torch.randn(weight.shape, generator=draw) * (gain * math.sqrt(2.0 / fan_in))
            if layer.bias is not None:
                layer.bias.data = 0.1 * torch.randn(layer.bias.shape, generator=draw)
    return module.eval()


def panns(name: str, seed: int) -> nn.Module:
    """A published tagger or detector whose probabilities spread over (0, 1)."""
    models = module_of("panns_inference.models")
    module = randomise(getattr(models, name)(**FRONT_END), seed)
    # Log-mel values are tens of dB: norm them as trained statistics would.
    module.bn0.running_mean = -30.0 + 5.0 * module.bn0.running_mean
    module.bn0.running_var = 200.0 * module.bn0.running_var
    return module


def resunet30(seed: int, *, condition_size: int = CLASSES) -> nn.Module:
    """The published separator with FiLM shifts as large as the maps they shift.

    Residual sums of random weights grow to hundreds, and a random phase mask passes near zero, where its angle is
    undefined: both turn the rounding errors of either program into visible ones. So the last layer is scaled to
    maps of the order of 1 and its real part is kept off zero, as in a trained separator, which rotates phases little.
    """
    module = module_of("uss.models.resunet").ResUNet30(1, 1, condition_size)
    randomise(module, seed)
    module.film = randomise(module.film, seed + 1, gain=1.5)
    maps: list[Tensor] = []
    head = module.base.after_conv
    hook = head.register_forward_hook(lambda _module, _inputs, output: maps.append(output))
    condition = torch.rand(1, condition_size, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        module({"mixture": scene(1.0, batch=1, seed=seed)[:, None], "condition": condition})
    hook.remove()
    scale = 1.0 / maps[0].std(dim=(0, 2, 3))
    centre = (maps[0].mean(dim=(0, 2, 3)) - head.bias.data) * scale
    head.weight.data *= scale[:, None, None, None]
    head.bias.data = torch.tensor([0.0, 3.0, 0.0]) - centre
    return module


def in_double(module: nn.Module) -> nn.Module:
    """A float64 copy of the published separator."""
    double = copy.deepcopy(module).double()

    def rebind(tree: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        return {
            name: rebind(branch, (*path, name))
            if isinstance(branch, dict)
            else getattr(double.film, "->".join((*path, name)))
            for name, branch in tree.items()
        }

    # The peer calls its FiLM layers through a dict beside the module tree.
    double.film.modules = rebind(module.film.modules, ())
    return double


def panns_file(path: Path, module: nn.Module, *, legacy: bool = False) -> Path:
    """The format of the PANNs downloads; they were written before torch used zip files."""
    content = {"iteration": 600_000, "model": module.state_dict()}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def lightning_file(
    path: Path,
    *,
    separator: nn.Module,
    tagger: nn.Module,
    detector: nn.Module | None = None,
    adaptor: dict[str, Tensor] | None = None,
) -> Path:
    """The format of the released checkpoint: a training state around the tensors."""
    state: OrderedDict[str, Tensor] = OrderedDict()
    state.update({f"ss_model.{key}": value for key, value in separator.state_dict().items()})
    if detector is not None:
        prefix = "anchor_segment_detector."
        state.update({f"{prefix}sed_model.{key}": value for key, value in detector.state_dict().items()})
        state[f"{prefix}anchor_segment_scorer.smooth_filter"] = torch.ones(1, 1, 201) / 201
    state.update({f"query_net.base.{key}": value for key, value in tagger.state_dict().items()})
    state.update({f"query_net.{key}": value for key, value in (adaptor or {}).items()})
    content = {
        "epoch": 0,
        "global_step": 1_000_000,
        "pytorch-lightning_version": "2.0.0",
        "state_dict": state,
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"current": {"completed": 0}}}},
        "callbacks": {},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(1e6)}}, "param_groups": [{"lr": 1e-3}]}],
        "lr_schedulers": [{"base_lrs": [1e-3], "last_epoch": 1_000_000, "lr_lambdas": [None]}],
    }
    torch.save(content, path)
    return path


def scene(seconds: float, *, batch: int, seed: int) -> Tensor:
    """Tones, noise and clicks of shape (batch, samples): nothing periodic in the hop."""
    draw = torch.Generator().manual_seed(seed)
    samples = round(seconds * SAMPLE_RATE)
    time = torch.arange(samples) / SAMPLE_RATE
    waveform = torch.zeros(batch, samples)
    for item in waveform:
        for hertz in (80.0 + 9000.0 * torch.rand(4, generator=draw)).tolist():
            item += 0.1 * torch.sin(2 * math.pi * hertz * time) * torch.sin(math.pi * time / seconds)
        item += 0.02 * torch.randn(samples, generator=draw)
        clicks = torch.randint(0, samples, (5,), generator=draw)
        item[clicks] += 0.5
    return waveform
