from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from uss_ray.api.block_queue import MachineError
from uss_ray.api.separator import LoadedEngine, SoundSeparator
from uss_ray.separation.mixture import ArraySource
from uss_ray.service.loop import Abandoned, SeparationLoop
from uss_ray.service.settings import ServiceSettings

RATE = 32_000


@pytest.fixture
def loop(tiny_engine: LoadedEngine) -> Iterator[SeparationLoop]:
    loop = SeparationLoop(tiny_engine.engine)
    yield loop
    loop.close()


@pytest.fixture
def separator(tiny_settings: ServiceSettings, tiny_engine: LoadedEngine) -> SoundSeparator:
    return SoundSeparator(tiny_settings.sounds(), loaded=tiny_engine)


def _source(seconds: int, seed: int = 0) -> ArraySource:
    noise = np.random.default_rng(seed).standard_normal((1, seconds * RATE)).astype(np.float32)
    return ArraySource(0.1 * noise, sample_rate=RATE)


def _held(blocks: Any) -> list[tuple[int, dict[str, Any]]]:
    return [(block.start_frame, dict(block.estimates)) for block in blocks]


def _same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(
        first[0] == second[0]
        and first[1].keys() == second[1].keys()
        and all(np.array_equal(first[1][key], second[1][key]) for key in first[1])
        for first, second in zip(one, other, strict=True)
    )


@pytest.mark.slow
def test_a_session_among_others_gives_the_bits_that_it_gives_alone(
    loop: SeparationLoop, separator: SoundSeparator, tiny_engine: LoadedEngine
) -> None:
    alone = _held(tiny_engine.engine.drive(separator.open_session(_source(9))))
    others: list[Any] = []
    readers = []
    for seed in (1, 2):
        _, blocks = loop.join(separator.open_session(_source(7, seed)))
        readers.append(threading.Thread(target=lambda found=blocks: others.append(_held(found))))
        readers[-1].start()
    leaving, left = loop.join(separator.open_session(_source(9, 3)))
    _, blocks = loop.join(separator.open_session(_source(9)))
    loop.leave(leaving)
    with pytest.raises(Abandoned):
        _held(left)
    assert _same(_held(blocks), alone)
    for reader in readers:
        reader.join()
    assert len(others) == 2
    assert len(loop) == 0


def test_networks_that_fail_are_no_sessions_fault(
    loop: SeparationLoop, separator: SoundSeparator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(loop._scheduler._networks, "forward", fail)
        _, blocks = loop.join(separator.open_session(_source(3)))
        with pytest.raises(MachineError, match="out of memory"):
            _held(blocks)
    _, blocks = loop.join(separator.open_session(_source(3)))
    assert _held(blocks)


def test_closing_ends_all_sessions(separator: SoundSeparator, tiny_engine: LoadedEngine) -> None:
    loop = SeparationLoop(tiny_engine.engine)
    _, blocks = loop.join(separator.open_session(_source(60)))
    closing = threading.Thread(target=loop.close)
    closing.start()
    with pytest.raises(Abandoned):
        _held(blocks)
    closing.join()
    with pytest.raises(Abandoned):
        loop.join(separator.open_session(_source(1)))


def test_closing_ends_those_that_it_has_not_come_to(
    separator: SoundSeparator, tiny_engine: LoadedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread ended between the first and the second, whose reader waited for ever."""
    loop = SeparationLoop(tiny_engine.engine)
    cancel = loop._scheduler.cancel

    def slowly(ticket: Any) -> None:
        cancel(ticket)
        loop._thread.join()

    monkeypatch.setattr(loop._scheduler, "cancel", slowly)
    ended = []

    def read(blocks: Any) -> None:
        with pytest.raises(Abandoned):
            _held(blocks)
        ended.append(blocks)

    joined = [loop.join(separator.open_session(_source(60, seed)))[1] for seed in (1, 2)]
    readers = [threading.Thread(target=read, args=(blocks,), daemon=True) for blocks in joined]
    for reader in readers:
        reader.start()
    loop.close()
    for reader in readers:
        reader.join(10.0)
    assert len(ended) == 2
