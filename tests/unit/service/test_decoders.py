"""Decoders that die, hang or take too much memory harm their own request alone."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from tests.conftest import MakeRecording
from uss_ray.audio.ogg import OggPage, read_pages
from uss_ray.audio.spec import AudioSpec
from uss_ray.errors import RecordingError
from uss_ray.service.decoder import Allowed
from uss_ray.service.decoders import Decoders
from uss_ray.service.problems import Refusal
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


def pid_of(*_: Any, **__: Any) -> int:
    return os.getpid()


def test_a_decoder_that_ends_with_nothing_to_do_is_replaced(make_recording: MakeRecording) -> None:
    path, *others = (make_recording(f"{n}.wav") for n in range(4))

    async def go() -> None:
        decoders = Decoders(Limits(), processes=1)
        try:
            for _ in range(2):
                pid: Any = await decoders._run(
                    pid_of, path, path, name="a", allowed=Allowed.of(Limits(), "decoded_seconds")
                )
                pool = decoders._pool
                os.kill(pid, signal.SIGKILL)
                end = time.monotonic() + 300
                while pool.active:  # until its end is seen
                    assert time.monotonic() < end
                    await asyncio.sleep(0.01)
                found = await asyncio.gather(*(decoders.recording(other, name="a") for other in others))
                assert all(samples.size for _, samples in found)
        finally:
            decoders.close()

    asyncio.run(go())


MEMORY = 200_000_000
"""Bytes that a decoder may take; each bomb is more sound than that."""


def flac_of_silence(path: Path) -> None:
    with sf.SoundFile(path, "w", 192_000, 8, "PCM_16", format="FLAC") as file:
        for _ in range(40):
            file.write(np.zeros((192_000, 8), np.int16))


def opus_of_silence(path: Path) -> None:
    """Write packets that say nothing but how long: two bytes for six frames of 20 ms."""
    whole = io.BytesIO()
    sf.write(whole, np.zeros(4800), 48_000, format="OGG", subtype="OPUS")
    heads = list(read_pages(whole))[:2]
    serial = heads[0].header[14:18]
    content = b"".join(page.header + page.body for page in heads)
    for number in range(1, 41):
        position = number * 255 * 5760
        fields = bytes([0, 4 * (number == 40)]) + position.to_bytes(8, "little") + serial
        header = b"OggS" + fields + (number + 1).to_bytes(4, "little") + bytes(4) + b"\xff" + b"\2" * 255
        page = OggPage(0, header, b"\xfb\x06" * 255)
        content += page.with_serial(int.from_bytes(serial, "little")) + page.body
    path.write_bytes(content)


@pytest.mark.parametrize("write", [flac_of_silence, opus_of_silence])
def test_a_bomb_is_refused_before_it_takes_what_it_would_be(write: Any, tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    write(path)
    found = sf.info(path)
    assert path.stat().st_size < 500_000 < MEMORY < found.frames * found.channels * 4
    limits = Limits(decoded_bytes=20_000_000, decoder_memory_bytes=MEMORY)

    async def go() -> None:
        decoders = Decoders(limits, processes=1)
        try:
            with pytest.raises(Refusal) as refused:
                await decoders.recording(path, name="a")
        finally:
            decoders.close()
        assert (refused.value.status, refused.value.limit) == (413, "decoded_bytes")
        assert [file.name for file in tmp_path.iterdir()] == ["bomb"]

    asyncio.run(go())
