"""How an anchor's audio is best kept: size, CPU time to write and to read.

python benchmarks/anchor_codec.py [--data ../shared/data/audioset_mini] [--clips 120]

Anchors of 2 s are cut from the clips of a data set in audioset_mini's layout; without one, tones, noise and clicks.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
import soxr

RATE, SECONDS = 32_000, 2
SAMPLES = RATE * SECONDS
Clips = list[np.ndarray]


def cut_from_data(data: Path, *, clips: int) -> Clips:
    """Cut one anchor from the middle of each clip."""
    paths = sorted((data / "audio" / "train").glob("*"))[:: max(1, 1364 // clips)][:clips]
    anchors = []
    for path in paths:
        native, rate = soundfile.read(path, dtype="float32", always_2d=True)
        mono = soxr.resample(native.mean(axis=1), rate, RATE)
        start = (len(mono) - SAMPLES) // 2
        anchors.append((np.clip(mono[start : start + SAMPLES], -1, 1) * 32767).astype(np.int16))
    return anchors


def synthesise(*, clips: int) -> Clips:
    """Make tones with noise at -20 to -60 dB, and clicks."""
    rng = np.random.default_rng(0)
    seconds = np.arange(SAMPLES) / RATE
    made = []
    for number in range(clips):
        tone = 0.3 * np.sin(2 * np.pi * rng.uniform(80, 4000) * seconds)
        sound = tone if number % 3 else np.where(rng.random(SAMPLES) < 2e-4, 0.5, 0.0)
        noise = 10 ** (rng.uniform(-60, -20) / 20) * rng.standard_normal(SAMPLES)
        made.append((np.clip(sound + noise, -1, 1) * 32767).astype(np.int16))
    return made


def flac(anchors: Clips, *, level: float) -> list[bytes]:
    blobs = []
    for samples in anchors:
        buffer = io.BytesIO()
        soundfile.write(buffer, samples, RATE, format="FLAC", subtype="PCM_16", compression_level=level)
        blobs.append(buffer.getvalue())
    return blobs


def read_flac(blobs: list[bytes]) -> Clips:
    return [soundfile.read(io.BytesIO(blob), dtype="int16")[0] for blob in blobs]


def raw(anchors: Clips) -> list[bytes]:
    return [samples.tobytes() for samples in anchors]


def read_raw(blobs: list[bytes]) -> Clips:
    return [np.frombuffer(blob, np.int16) for blob in blobs]


def parquet(blobs: list[bytes], *, compression: str, level: int | None = None) -> bytes:
    sink = io.BytesIO()
    table = pa.table({"audio": pa.array(blobs, pa.large_binary())})
    pq.write_table(table, sink, compression=compression, compression_level=level, use_dictionary=False)
    return sink.getvalue()


def read_parquet(data: bytes) -> list[bytes]:
    blobs: list[bytes] = pq.read_table(io.BytesIO(data), use_threads=False)["audio"].to_pylist()
    return blobs


def measure(
    name: str,
    anchors: Clips,
    *,
    encode: Callable[[Clips], list[bytes]],
    decode: Callable[[list[bytes]], Clips],
    store: Callable[[list[bytes]], bytes],
) -> None:
    decode(read_parquet(store(encode(anchors))))  # memory and tables that a first call makes
    started = time.process_time()
    stored = store(encode(anchors))
    encoded = time.process_time()
    again = decode(read_parquet(stored))
    decoded = time.process_time()
    lossless = all(np.array_equal(one, other) for one, other in zip(anchors, again, strict=True))
    count, plain = len(anchors), sum(samples.nbytes for samples in anchors)
    print(
        f"| {name} | {len(stored) / count / 1000:.1f} | {len(stored) / plain:.3f} "
        f"| {1000 * (encoded - started) / count:.2f} | {1000 * (decoded - encoded) / count:.2f} "
        f"| {'yes' if lossless else 'NO'} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/audioset_mini"))
    parser.add_argument("--clips", type=int, default=120)
    arguments = parser.parse_args()
    pa.set_cpu_count(1)
    real = arguments.data.is_dir()
    anchors = (
        cut_from_data(arguments.data, clips=arguments.clips) if real else synthesise(clips=arguments.clips)
    )
    kind = "of audioset_mini" if real else "synthetic"
    print(f"{len(anchors)} anchors of {SECONDS} s, {kind}\n")
    print("| way, in Parquet | kB an anchor | of int16 | write CPU ms | read CPU ms | lossless |")
    print("|---|---|---|---|---|---|")
    plain = partial(parquet, compression="none")
    measure("int16", anchors, encode=raw, decode=read_raw, store=plain)
    for level in (1, 3, 9):
        packed = partial(parquet, compression="zstd", level=level)
        measure(f"int16, zstd {level}", anchors, encode=raw, decode=read_raw, store=packed)
    for level in (0.0, 0.5, 1.0):
        name = f"FLAC, level {8 * level:.0f}"
        measure(name, anchors, encode=partial(flac, level=level), decode=read_flac, store=plain)


if __name__ == "__main__":
    main()
