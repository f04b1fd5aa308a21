from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import pytest
import torch

from uss_ray import Separator
from uss_ray.errors import ConfigError
from uss_ray.models import forks
from uss_ray.models.forks import note_computing


@pytest.fixture(autouse=True)
def _two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have torch say that it computes with two, and forget it afterwards; it computes with as many as before."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(forks._pools, "own", 1)
    monkeypatch.setattr(forks._pools, "inherited", 1)


def refused(call: Callable[[], object]) -> bool:
    try:
        call()
    except ConfigError as error:
        return "a fork of a process that had computed with 2 threads" in str(error)
    return False


def in_fork(told: Callable[[], bool]) -> bool:
    """Tell what a forked process finds."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if told() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_fork_of_a_process_that_has_computed_is_refused_and_its_forks_are() -> None:
    assert in_fork(lambda: not refused(note_computing))
    note_computing()
    assert in_fork(lambda: refused(note_computing))
    assert in_fork(lambda: in_fork(lambda: refused(note_computing)))
    assert not refused(note_computing)


def test_one_thread_is_enough_on_either_side(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: 1)
        note_computing()
    assert in_fork(lambda: not refused(note_computing))
    note_computing()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert in_fork(lambda: not refused(note_computing))


def test_neither_a_separator_of_its_own_nor_one_of_before_waits_in_a_fork(
    tiny_weights, make_recording
) -> None:
    separator = Separator(tiny_weights, device="cpu", classes="Dog")
    noise = 0.1 * np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    folder = make_recording("examples/a.wav").parent
    assert in_fork(lambda: refused(lambda: Separator(tiny_weights, device="cpu")))
    assert in_fork(lambda: refused(lambda: separator(noise, 32_000)))
    assert in_fork(lambda: refused(lambda: separator(noise, 32_000, example_folder=folder)))
