"""Decoding what strangers sent, in a process of its own: what is allowed is counted while it is decoded."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile as sf

from uss_ray.audio.codec import open_recording
from uss_ray.audio.spec import AudioSpec
from uss_ray.errors import RecordingError
from uss_ray.service.problems import Refusal
from uss_ray.service.settings import Limits

_LONGER = "; a job takes recordings of any length (`uss-ray archive`)"


@dataclass(frozen=True)
class Allowed:
    """How much a recording may be.

    Attributes
    ----------
    seconds, bytes : int
        Of sound as float32.
    channels, lowest_rate, highest_rate : int
    limit : str
        Field of `Limits` that the seconds come from.
    """

    seconds: int
    bytes: int
    channels: int
    lowest_rate: int
    highest_rate: int
    limit: str

    @classmethod
    def of(cls, limits: Limits, limit: Literal["decoded_seconds", "example_seconds"]) -> Allowed:
        """Give what holds for a recording, or for an example of what is wanted."""
        return cls(
            getattr(limits, limit),
            limits.decoded_bytes,
            limits.channels,
            limits.lowest_rate,
            limits.highest_rate,
            limit,
        )


def confine(memory_bytes: int) -> None:
    """Bound what this process can take: memory beside what it has, no core files, few open files, no words.

    What C libraries print of a damaged recording would be what a stranger writes into the log.
    """
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


def decode(source: str, target: str, *, name: str, allowed: Allowed, cpu_seconds: int) -> AudioSpec:
    """Decode a recording to raw float32, channels interleaved.

    Parameters
    ----------
    source, target : str
        Paths of files.
    name : str
        What errors call the recording.
    allowed : Allowed
    cpu_seconds : int
        After so many of a core, the system ends the process.

    Raises
    ------
    RecordingError
        If it cannot be read.
    Refusal
        If there is more of it than is allowed.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + cpu_seconds + 1, hard))
    with open(source, "rb") as file, open_recording(file, name=name) as reader:
        spec = reader.spec
        _check_spec(spec, name=name, allowed=allowed)
        frames = 0
        most_frames = min(allowed.seconds * spec.sample_rate, allowed.bytes // (4 * spec.channels))
        with open(target, "wb") as decoded:
            for block in reader.blocks(spec.sample_rate):
                frames += block.shape[1]
                if frames > most_frames:
                    raise _too_long(name, spec, allowed)
                np.ascontiguousarray(block.T).tofile(decoded)
        return reader.tagged_spec()


def decode_example(source: str, target: str, *, name: str, allowed: Allowed, cpu_seconds: int) -> AudioSpec:
    """Decode an example to a WAV file of the same samples; as `decode`."""
    raw = f"{target}.raw"
    spec = decode(source, raw, name=name, allowed=allowed, cpu_seconds=cpu_seconds)
    samples = np.fromfile(raw, np.float32).reshape(-1, spec.channels)
    os.unlink(raw)
    sf.write(target, samples, spec.sample_rate, subtype="FLOAT", format="WAV")
    return spec


def _check_spec(spec: AudioSpec, *, name: str, allowed: Allowed) -> None:
    if spec.channels > allowed.channels:
        raise Refusal(
            name,
            expected=f"at most {allowed.channels} channels",
            found=str(spec.channels),
            status=413,
            limit="channels",
        )
    if not allowed.lowest_rate <= spec.sample_rate <= allowed.highest_rate:
        raise RecordingError(
            name,
            expected=f"a rate from {allowed.lowest_rate} to {allowed.highest_rate} Hz",
            found=f"{spec.sample_rate} Hz",
        )


def _too_long(name: str, spec: AudioSpec, allowed: Allowed) -> Refusal:
    if allowed.seconds * spec.sample_rate <= allowed.bytes // (4 * spec.channels):
        expected, limit = f"at most {allowed.seconds} s of sound", allowed.limit
    else:
        expected, limit = f"at most {allowed.bytes} bytes of decoded sound", "decoded_bytes"
    return Refusal(name, expected=expected + _LONGER, found="more", status=413, limit=limit)
