"""The names that the published HTS-AT program gave its tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from torch import Tensor

from uss_ray.models.htsat import Htsat
from uss_ray.models.htsat_settings import HtsatConfig
from uss_ray.models.swin import Block, relative_positions, shift_mask
from uss_ray.weights.importers.key_map import (
    KeyMap,
    add_renamed,
    check_constant,
    fill,
    linear_keys,
    norm_keys,
    stft_constants,
)

_LAYERS = {
    "norm1": "norm1",
    "attention.inputs": "attn.qkv",
    "attention.output": "attn.proj",
    "norm2": "norm2",
    "widen": "mlp.fc1",
    "narrow": "mlp.fc2",
}
_MEL = "logmel_extractor.melW"


def load_htsat(item: str, state: Mapping[str, Tensor], config: HtsatConfig) -> Htsat:
    """Make an HTS-AT of the tensors of the published program.

    Parameters
    ----------
    item : str
        Names the file in errors.
    state : mapping of str to Tensor
        Averaged checkpoints are all float32, indexes and counters too.
    config : HtsatConfig

    Returns
    -------
    Htsat

    Raises
    ------
    WeightsError
        If a tensor is missing, unknown or of another shape, or a Fourier, mel, position or mask table is another.
    """
    module = Htsat(config)
    own = module.state_dict()
    keys = KeyMap(
        constants=stft_constants("spectrogram_extractor.stft.", config.window_samples)
        | _block_constants(module),
        # A linear layer over the classes that only another head of the program uses.
        unused={"head.weight": (config.classes, config.classes), "head.bias": (config.classes,)},
    )
    add_renamed(keys, _names(config), own)
    filters = own["log_mel.filters"].clone()
    fill(item, module, keys, state)
    check_constant(f"{item} {_MEL}", filters, state[_MEL])
    return module


def _names(config: HtsatConfig) -> dict[str, str]:
    names = {"log_mel.filters": _MEL} | dict(norm_keys("norm_mel", "bn0"))
    names |= dict(linear_keys("patch", "patch_embed.proj"))
    names |= dict(linear_keys("norm_patch", "patch_embed.norm"))
    for stage, blocks in enumerate(config.stage_blocks):
        if stage > 0:  # the published program merges at the end of a stage, not at the start of the next
            ours, theirs = f"stages.{stage}.merge", f"layers.{stage - 1}.downsample"
            names |= dict(linear_keys(f"{ours}.norm", f"{theirs}.norm"))
            names[f"{ours}.reduce.weight"] = f"{theirs}.reduction.weight"
        for block in range(blocks):
            ours, theirs = f"stages.{stage}.blocks.{block}", f"layers.{stage}.blocks.{block}"
            for layer, published in _LAYERS.items():
                names |= dict(linear_keys(f"{ours}.{layer}", f"{theirs}.{published}"))
            names[f"{ours}.attention.position_bias"] = f"{theirs}.attn.relative_position_bias_table"
    names |= dict(linear_keys("norm", "norm"))
    return names | dict(linear_keys("classify", "tscam_conv"))


def _block_constants(module: Htsat) -> dict[str, Callable[[], Tensor]]:
    """Give the tables that the published program stores beside its weights."""
    constants: dict[str, Callable[[], Tensor]] = {}
    for stage, side in enumerate(module.config.stage_sides):
        for index in range(module.config.stage_blocks[stage]):
            theirs = f"layers.{stage}.blocks.{index}"
            block = module.get_submodule(f"stages.{stage}.blocks.{index}")
            if isinstance(block, Block):
                positions = partial(relative_positions, block.window)
                constants[f"{theirs}.attn.relative_position_index"] = positions
                if block.shift:
                    mask = partial(shift_mask, side, window=block.window, shift=block.shift)
                    constants[f"{theirs}.attn_mask"] = mask
    return constants
