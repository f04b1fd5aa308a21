"""The published HTS-AT program with seeded random weights, and its weights in the published file formats.

It is the one in `laion_clap`, by the same author and with the same tensors as the repository of the paper, which is no
package.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from tests.parity.peers import CLASSES, FRONT_END, randomise

_PACKAGE = "laion_clap"
_ALIAS = "clap_module_of_the_peer"
_IMPORTED_FOR_OTHER_NETWORKS = {
    "h5py": {},
    "tqdm": {"tqdm": None},
    "torchvision": {},
    "torchvision.ops": {},
    "torchvision.ops.misc": {"FrozenBatchNorm2d": None},
}


def htsat_module() -> Any:
    """Import the peer's file alone: its package starts language models and downloads at import."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        pytest.skip(f"{_PACKAGE} is not installed (tests/peers.txt)")
    if _ALIAS not in sys.modules:
        package = ModuleType(_ALIAS)
        package.__path__ = [str(Path(spec.origin).parent / "clap_module")]
        sys.modules[_ALIAS] = package
    with _stand_ins():
        return importlib.import_module(f"{_ALIAS}.htsat")


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Give the peer's helper file empty modules for what it imports and HTS-AT does not use."""
    absent = [name for name in _IMPORTED_FOR_OTHER_NETWORKS if name not in sys.modules and _is_absent(name)]
    for name in absent:
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(_IMPORTED_FOR_OTHER_NETWORKS[name])
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def _is_absent(name: str) -> bool:
    return importlib.util.find_spec(name.partition(".")[0]) is None


def htsat(seed: int, **sizes: Any) -> nn.Module:
    """A published HTS-AT whose probabilities spread over (0, 1) and differ from column to column."""
    settings = {
        "num_classes": CLASSES,
        "embed_dim": 96,
        "depths": [2, 2, 6, 2],
        "num_heads": [4, 8, 16, 32],
    }
    module: nn.Module = htsat_module().HTSAT_Swin_Transformer(
        config=SimpleNamespace(**FRONT_END), **(settings | sizes)
    )
    randomise(module, seed, gain=0.7)
    draw = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("relative_position_bias_table"):
                parameter.copy_(torch.randn(parameter.shape, generator=draw))
        for layer in module.modules():
            if isinstance(layer, nn.LayerNorm):
                layer.weight.copy_(0.6 + 0.8 * torch.rand(layer.weight.shape, generator=draw))
                layer.bias.copy_(0.2 * torch.randn(layer.bias.shape, generator=draw))
    # Log-mel values are tens of dB: norm them as trained statistics would.
    module.bn0.running_mean = -30.0 + 5.0 * module.bn0.running_mean
    module.bn0.running_var = 200.0 * module.bn0.running_var
    return module.eval()


def averaged_file(path: Path, module: nn.Module) -> Path:
    """The format of the released files: an average over checkpoints, for which every tensor was made float32."""
    state = {f"sed_model.{key}": value.float() for key, value in module.state_dict().items()}
    torch.save({"state_dict": state}, path)
    return path


def lightning_file(path: Path, module: nn.Module) -> Path:
    """A single checkpoint of the published training program, as Lightning 1.4 wrote it."""
    saver = type("ModelCheckpoint", (), {"__module__": "pytorch_lightning.callbacks.model_checkpoint"})
    modules = {name: ModuleType(name) for name in _parents(saver.__module__)}
    vars(modules[saver.__module__])["ModelCheckpoint"] = saver
    content = {
        "epoch": 9,
        "global_step": 155_000,
        "pytorch-lightning_version": "1.4.9",
        "state_dict": {f"sed_model.{key}": value for key, value in module.state_dict().items()},
        "callbacks": {saver: {"monitor": "mAP", "best_model_score": torch.tensor(0.47)}},
        "optimizer_states": [{"state": {0: {"step": 155_000}}, "param_groups": [{"lr": 1e-3}]}],
        "lr_schedulers": [{"base_lrs": [1e-3], "last_epoch": 10, "lr_lambdas": [None]}],
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, stand_in in modules.items():
            patch.setitem(sys.modules, name, stand_in)
        torch.save(content, path)
    return path


def _parents(dotted: str) -> list[str]:
    parts = dotted.split(".")
    return [".".join(parts[: index + 1]) for index in range(len(parts))]
