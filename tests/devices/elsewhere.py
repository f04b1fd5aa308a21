"""A device that is not the CPU, on any machine: what meets there by mistake is found where there is no GPU.

As a plugin of pytest, `-p tests.devices.elsewhere`, it is what a test gets that asks for a CPU or for any device. Its
tensors hold their values on the CPU, and refuse to meet tensors of the CPU where those of a GPU would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

import uss_ray.models.device

NAME = "elsewhere"
_aten = torch.ops.aten
_COPY = _aten.copy_.default
_BY_INDEXES = (
    _aten.index.Tensor,
    _aten.index_put.default,
    _aten.index_put_.default,
    _aten._index_put_impl_.default,
)
"""A GPU takes indexes from a CPU; what is put there has to be on it."""


class _Elsewhere(Tensor):
    """A tensor of the device."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> _Elsewhere:
        made: _Elsewhere = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=torch.device(NAME, 0),
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(
        cls,
        function: Any,
        types: Sequence[type],
        arguments: tuple[Any, ...] = (),
        named: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(named or {})
        if function is not _COPY:
            _refuse_the_cpu(function, arguments, named)
        stays = True
        if named.get("device") is not None:
            stays = torch.device(named["device"]).type == NAME
            named["device"] = torch.device("cpu")
        wrapped: dict[int, Tensor] = {}

        def inner(tensor: _Elsewhere) -> Tensor:
            wrapped[id(tensor.held)] = tensor
            return tensor.held

        there, named_there = tree_map_only(_Elsewhere, inner, (arguments, named))
        found = function(*there, **named_there)
        if not stays or (function is _COPY and not isinstance(arguments[0], _Elsewhere)):
            return found
        return tree_map_only(
            Tensor, lambda held: wrapped[id(held)] if id(held) in wrapped else _Elsewhere(held), found
        )


def _refuse_the_cpu(function: Any, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> None:
    """Raise as a GPU would; a number may be anywhere."""
    if function in _BY_INDEXES:
        arguments = (arguments[0], *arguments[2:])
    for tensor in tree_leaves((arguments, named)):
        if isinstance(tensor, Tensor) and not isinstance(tensor, _Elsewhere) and tensor.dim():
            raise RuntimeError(f"{function}: expected all tensors to be {NAME}, found one of the CPU")


class _Module(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


def _empty(size: Any, *, dtype: Any = None, memory_format: Any = None, **_: Any) -> Tensor:
    return _Elsewhere(torch.empty(size, dtype=dtype, memory_format=memory_format or torch.contiguous_format))


def _empty_strided(size: Any, stride: Any, *, dtype: Any = None, **_: Any) -> Tensor:
    return _Elsewhere(torch.empty_strided(size, stride, dtype=dtype))


def _arange(start: Any, end: Any, step: Any = 1, *, dtype: Any = None, **_: Any) -> Tensor:
    return _Elsewhere(torch.arange(start, end, step, dtype=dtype))


def _copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    values, into = (each.held if isinstance(each, _Elsewhere) else each for each in (source, target))
    into.copy_(values)
    return target


_setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
_library = torch.library.Library("aten", "IMPL")
for _name, _function in {
    "empty.memory_format": _empty,
    "empty_strided": _empty_strided,
    "arange.start_step": _arange,
    "_copy_from": _copy_from,
}.items():
    _library.impl(_name, _function, "PrivateUse1")

_find: Callable[[Any], torch.device] = uss_ray.models.device.find_device
_asked: list[str] = []


def _find_elsewhere(name: str | torch.device) -> torch.device:
    _asked.append(str(name))
    return _find(NAME if str(name) in ("auto", "cpu") else name)


uss_ray.models.device.find_device = _find_elsewhere


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(f"{len(_asked)} devices elsewhere")
