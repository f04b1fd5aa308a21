"""Decoders that die, hang or take too much memory harm their own request alone."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from tests.conftest import MakeRecording
from uss_ray.audio.spec import AudioSpec
from uss_ray.errors import RecordingError
from uss_ray.service.decoder import Allowed
from uss_ray.service.decoders import Decoders
from uss_ray.service.settings import Limits


def crash(*_: Any, **__: Any) -> AudioSpec:
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


def hang(*_: Any, **__: Any) -> AudioSpec:
    time.sleep(3600)
    raise AssertionError


def eat(*_: Any, **__: Any) -> AudioSpec:
    np.ones(1 << 30)
    raise AssertionError


@pytest.mark.slow
def test_a_decoder_that_fails_harms_nobody(make_recording: MakeRecording) -> None:
    path = make_recording()

    async def go() -> None:
        limits = Limits(decoder_seconds=5, decoder_memory_bytes=1_000_000_000)
        decoders = Decoders(limits, processes=2)
        try:
            allowed = Allowed.of(limits, "decoded_seconds")
            asked = [
                decoders._run(function, path, path, name="a", allowed=allowed)
                for function in (crash, eat, hang)
            ]
            first, *fates = await asyncio.gather(
                decoders.recording(path, name="a"), *asked, return_exceptions=True
            )
            assert [type(fate) for fate in fates] == [RecordingError] * 3
            assert [fate.found for fate in fates] == [
                "one that ended its decoder",
                "one that takes more memory than a decoder has",
                "one that takes more than 5 s",
            ]
            assert not isinstance(first, BaseException)
            spec, samples = await decoders.recording(path, name="a")
            assert spec.frames == samples.shape[1]
            assert samples.flags.c_contiguous
            assert np.array_equal(samples[0], sf.read(path, dtype="float32")[0])
            assert not path.with_name(f"{path.name}.f32").exists()
        finally:
            decoders.close()

    asyncio.run(go())


def test_who_does_not_wait_ends_the_decoder(make_recording: MakeRecording) -> None:
    path = make_recording()

    async def go() -> None:
        decoders = Decoders(Limits(decoder_seconds=3000), processes=1)
        try:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(
                    decoders._run(
                        hang, path, path, name="a", allowed=Allowed.of(Limits(), "decoded_seconds")
                    ),
                    0.5,
                )
            assert (await decoders.recording(Path(path), name="a"))[1].size
        finally:
            decoders.close()

    asyncio.run(go())
