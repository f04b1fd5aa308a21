"""Checkpoints of a run: parameters, their average, the optimiser, and the step; nothing else has a state.

    checkpoints/step-000000500/model.safetensors    parameters and norm statistics
                               ema.safetensors      their moving average, where there is one
                               optimiser.pt         loaded with `weights_only`
                               checkpoint.json      step and checksums; written last

Random numbers are functions of seed and step, and so is the data.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import tempfile
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from uss_ray.config import canonical_json
from uss_ray.errors import DataError, OutputError
from uss_ray.store.faults import is_missing
from uss_ray.store.store import Store
from uss_ray.training.fit import TrainingState
from uss_ray.training.recipe import FitSettings

CHECKPOINT_FOLDER = "checkpoints"
_FACTS_NAME = "checkpoint.json"
_MODEL, _EMA, _OPTIMISER = "model.safetensors", "ema.safetensors", "optimiser.pt"
_VERSION: Final = 1


class CheckpointFacts(BaseModel):
    """What `checkpoint.json` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    checkpoint_version: int = _VERSION
    step: int = Field(ge=0, description="Steps that are done.")
    identity_sha256: str = Field(description="Of the run that made it.")
    identity: dict[str, Any] | None = Field(
        default=None, description="What shaped it, settings and data; older checkpoints lack it."
    )
    untold: tuple[tuple[float, float | None], ...] = Field(
        default=(),
        description="Loss and gradient norm of the steps since the last line of the metrics; no norm of "
        "those that only accumulate.",
    )
    files: dict[str, str] = Field(description="Sha256 by file name.")


def save_checkpoint(state: TrainingState, *, run: Store, identity: Mapping[str, Any]) -> Store:
    """Write a checkpoint; it counts when its last file is there.

    Returns
    -------
    Store
        Its folder.

    Raises
    ------
    OutputError
        If it cannot be written; the error names a local copy that was kept.
    """
    place = run / CHECKPOINT_FOLDER / checkpoint_name(state.step)
    contents = {_MODEL: tensor_bytes(state.model)}
    if state.ema:
        contents[_EMA] = tensor_bytes(state.ema)
    contents[_OPTIMISER] = _torch_bytes(state.optimiser)
    facts = CheckpointFacts(
        step=state.step,
        identity_sha256=identity_sha256_of(identity),
        identity=dict(identity),
        untold=tuple(state.untold),
        files={name: hashlib.sha256(data).hexdigest() for name, data in contents.items()},
    )
    contents[_FACTS_NAME] = facts.model_dump_json(indent=2).encode()
    try:
        for name, data in contents.items():
            (place / name).put(data)
    except OutputError as error:
        raise OutputError(
            error.item, expected=error.expected, found=f"{error.found}; {_keep_here(contents, place.name)}"
        ) from error
    return place


def identity_sha256_of(identity: Mapping[str, Any]) -> str:
    """Give the checksum of an identity."""
    return hashlib.sha256(canonical_json(dict(identity)).encode()).hexdigest()


def _keep_here(contents: Mapping[str, bytes], name: str) -> str:
    """Write a checkpoint into the temporary folder of this machine; say where, or why not."""
    try:
        kept = Path(tempfile.mkdtemp(prefix="uss_ray-checkpoint-")) / name
        kept.mkdir()
        for file, data in contents.items():
            (kept / file).write_bytes(data)
    except OSError as error:
        return f"no local copy of it either: {error.strerror or error}"
    return f"once it stands in {CHECKPOINT_FOLDER} the run goes on from its local copy, {kept}"


def check_room(run: Store, module: nn.Module, fit: FitSettings) -> None:
    """Refuse to begin on a disk that the checkpoints of a run do not fit on; of an object store nobody knows.

    Raises
    ------
    OutputError
        Names what is needed and what is free.
    """
    if run.is_remote:
        return
    moments = 3 if fit.optimiser.amsgrad else 2
    trained = _bytes(p for p in module.parameters() if p.requires_grad)
    kept = _bytes(module.state_dict().values())
    each = kept * (2 if fit.ema_decay else 1) + trained * moments
    # A new one is written before the oldest goes.
    needed = each * max(1, fit.keep_checkpoints + 1 - len(find_checkpoints(run)))
    folder = run.local_path().absolute()
    free = shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free
    if free < needed:
        raise OutputError(
            f"training run {run}",
            expected=f"{needed / 1e6:.0f} MB for checkpoints",
            found=f"{free / 1e6:.0f} MB free",
        )


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def find_checkpoints(run: Store) -> list[Store]:
    """List the finished checkpoints of a run, oldest first."""
    folder = run / CHECKPOINT_FOLDER
    if not folder.exists():
        return []
    found = {str(file.parent): file.parent for file in folder.list() if file.name == _FACTS_NAME}
    return sorted(found.values(), key=lambda place: place.name)


def choose_checkpoint(run: Store, step: int | None) -> Store:
    """Find the checkpoint of a step, or the last one.

    Raises
    ------
    DataError
        If there is none; names those that are there.
    """
    found = find_checkpoints(run)
    steps = [step_of(place) for place in found]
    if step is None and found:
        return found[-1]
    if step in steps:
        return found[steps.index(step)]
    raise DataError(
        f"training run {run}",
        expected="a checkpoint" if step is None else f"a checkpoint of step {step}",
        found=f"steps {', '.join(map(str, steps))}" if steps else "none",
    )


class DamagedCheckpointError(DataError):
    """A checkpoint of which a file is missing, altered or something else: no other try changes that."""


def read_checkpoint(place: Store) -> tuple[CheckpointFacts, TrainingState]:
    """Read a checkpoint, strictly.

    Parameters
    ----------
    place : Store
        Its folder.

    Raises
    ------
    DamagedCheckpointError
        If a file is missing, altered or damaged.
    DataError
        If the store does not give one.
    """
    facts = read_facts(place)
    data = {name: _read_checked(place / name, sha256) for name, sha256 in facts.files.items()}
    try:
        state = TrainingState(
            step=facts.step,
            model=load_tensors(data[_MODEL]),
            ema=load_tensors(data[_EMA]) if _EMA in data else {},
            optimiser=_from_torch_bytes(data[_OPTIMISER]),
            untold=facts.untold,
        )
    except (KeyError, SafetensorError, RuntimeError) as error:
        raise DamagedCheckpointError(str(place), expected="a checkpoint", found=str(error)) from error
    return facts, state


def remove_old_checkpoints(run: Store, *, keep: int, also: Collection[int] = ()) -> None:
    """Leave the newest checkpoints, and those of some steps; what says that one is whole goes first."""
    for place in find_checkpoints(run)[:-keep]:
        if step_of(place) in also:
            continue
        for name in (_FACTS_NAME, _MODEL, _EMA, _OPTIMISER):
            (place / name).remove()
        if not place.is_remote:
            with suppress(OSError):  # somebody keeps something in it
                place.local_path().rmdir()


def checkpoint_name(step: int) -> str:
    """Name the folder of a step's checkpoint."""
    return f"step-{step:09d}"


def step_of(place: Store) -> int:
    """Give the step of a checkpoint by its name."""
    return int(place.name.removeprefix("step-"))


def read_facts(place: Store) -> CheckpointFacts:
    """Read what a checkpoint says of itself.

    Raises
    ------
    DamagedCheckpointError
        If it is missing or damaged.
    DataError
        If the store does not give it.
    """
    try:
        return CheckpointFacts.model_validate_json(_read(place / _FACTS_NAME))
    except ValidationError as error:
        found = error.errors(include_url=False)[0]["msg"]
        raise DamagedCheckpointError(str(place), expected="a checkpoint", found=found) from error


def _read(place: Store) -> bytes:
    try:
        return place.raising(DataError).read()
    except DataError as error:
        if is_missing(error):
            raise DamagedCheckpointError(error.item, expected=error.expected, found=error.found) from error
        raise


def _read_checked(place: Store, sha256: str) -> bytes:
    data = _read(place)
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise DamagedCheckpointError(str(place), expected=f"sha256 {sha256}", found=found)
    return data


def tensor_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Give the content of a safetensors file."""
    return save_tensors({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def _torch_bytes(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _from_torch_bytes(data: bytes) -> Any:
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
