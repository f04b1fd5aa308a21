"""What a GPU gives, without Ray: how near its stems are to a CPU's, whether they are always the same bits, how fast.

Usage: python benchmarks/gpu.py [stems] [engine] [networks] [steps] [--recordings 64] [--seconds 10] [--items 16]

stems     stems and tags of a GPU beside those of a CPU, by precision; and whether a recording has the same bits alone,
          among others and again
engine    recordings a second through the engine, from samples to stems in memory, by rows in a forward, recordings
          side by side and precision; one thread of the CPU drives it
networks  masks and clips a second of the networks alone, from memory to memory, by rows in a forward and precision
steps     items a second that ResUNet30 is trained on, as the released program steps (its detector and query net inside,
          PyTorch's own layout) and as ours does, with the share of what a large product reaches in the same precision
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import soundfile
import torch
from archive_sounds import field_recordings
from numpy.typing import NDArray
from tables import table
from torch.utils.flop_counter import FlopCounterMode

from uss_ray.api.request import Query, SeparationRequest
from uss_ray.api.separator import RecordingSeparator
from uss_ray.models.htsat import Htsat
from uss_ray.models.htsat_settings import HtsatConfig
from uss_ray.models.inference import inference
from uss_ray.models.memory import lay_out_channels_last
from uss_ray.models.network_settings import ResUNetConfig
from uss_ray.models.panns import Panns
from uss_ray.models.panns_settings import PannsConfig
from uss_ray.models.precision import Precision
from uss_ray.models.resunet import ResUNet
from uss_ray.separation.mixture import PartSource
from uss_ray.separation.session import EstimateBlock
from uss_ray.separation.settings import NetworkSettings
from uss_ray.weights.locate import load_weights

Recordings = Sequence[tuple[int, NDArray[np.float32]]]
PRECISIONS = get_args(Precision)
NARROW: dict[str, Any] = {
    "channels": (4, 8),
    "bottleneck_channels": 8,
    "stem_channels": 4,
    "hop_samples": 1000,
}


@dataclass(frozen=True)
class Found:
    """What came out of a recording."""

    estimates: dict[str, NDArray[np.float32]]
    probs: NDArray[np.float32]
    active: NDArray[np.bool_]

    def digest(self) -> str:
        """Name its bits."""
        hashed = hashlib.sha256(self.probs.tobytes())
        for key, estimate in sorted(self.estimates.items()):
            hashed.update(key.encode() + estimate.tobytes())
        return hashed.hexdigest()


def sounds(*, count: int, seconds: float) -> Recordings:
    """Read recordings of the example archive's sounds into memory, with their sample rates."""
    with tempfile.TemporaryDirectory() as folder:
        field_recordings(Path(folder), count=count, seconds=seconds)
        read = [
            soundfile.read(path, dtype="float32", always_2d=True) for path in sorted(Path(folder).iterdir())
        ]
    return [(rate, np.ascontiguousarray(samples.T)) for samples, rate in read]


def separator(*, device: str, precision: Precision, batch_size: int) -> RecordingSeparator:
    return RecordingSeparator(
        SeparationRequest(
            output="unused",
            query=Query(levels=(1, 2, 3)),
            networks=NetworkSettings(batch_size=batch_size, precision=precision),
            device=device,  # type: ignore[arg-type]
        )
    )


def separate(worker: RecordingSeparator, recordings: Recordings) -> list[Found]:
    """Separate recordings side by side."""
    sessions = [
        worker.open_session(PartSource(samples, sample_rate=rate, start_frame=0, ends_recording=True))
        for rate, samples in recordings
    ]
    blocks: list[list[EstimateBlock]] = [[] for _ in recordings]
    for place, block in worker.engine.stream_many(sessions):
        if isinstance(block, EstimateBlock):
            blocks[place].append(block)
        elif block.error is not None:
            raise block.error
    return [_joined(found) for found in blocks]


def _joined(blocks: Sequence[EstimateBlock]) -> Found:
    keys = sorted({key for block in blocks for key in block.estimates})
    return Found(
        estimates={
            key: np.concatenate(
                [block.estimates.get(key, np.zeros_like(block.mixture)) for block in blocks], axis=1
            )
            for key in keys
        },
        probs=np.concatenate([block.segment_probs for block in blocks]),
        active=np.concatenate([block.active for block in blocks]),
    )


def measure_stems(recordings: Recordings, *, device: str) -> None:
    """Compare a GPU's stems with a CPU's, and with its own."""
    few = recordings[:12]
    reference = separate(separator(device="cpu", precision="float32", batch_size=4), few)
    lines = []
    for precision, batch_size in itertools.product(PRECISIONS, (4, 16)):
        worker = separator(device=device, precision=precision, batch_size=batch_size)
        found, again = separate(worker, few), separate(worker, few)
        alone = [separate(worker, [recording])[0] for recording in few]
        ratios = [
            _decibels(theirs.estimates[key], ours.estimates[key])
            for theirs, ours in zip(reference, found, strict=True)
            for key in theirs.estimates.keys() & ours.estimates.keys()
        ]
        probs = max(float(np.abs(a.probs - b.probs).max()) for a, b in zip(reference, found, strict=True))
        flags = sum(int((a.active != b.active).sum()) for a, b in zip(reference, found, strict=True))
        lines.append(
            (
                precision,
                str(batch_size),
                *((f"{min(ratios):.1f}", f"{np.median(ratios):.1f}") if ratios else ("nothing sounds", "")),
                f"{probs:.1e}",
                f"{flags} of {sum(a.active.size for a in reference)}",
                _equal(found, again),
                _equal(found, alone),
                hashlib.sha256("".join(item.digest() for item in found).encode()).hexdigest()[:8],
            )
        )
    table(
        (
            "precision",
            "rows",
            "worst stem, dB under it",
            "median",
            "probabilities move",
            "active flags that differ",
            "same bits again",
            "same bits alone",
            "digest",
        ),
        lines,
    )


def _decibels(reference: NDArray[np.float32], estimate: NDArray[np.float32]) -> float:
    difference = float(np.square(estimate - reference, dtype=np.float64).sum())
    return float(10 * np.log10(np.square(reference, dtype=np.float64).sum() / max(difference, 1e-30)))


def _equal(some: Sequence[Found], others: Sequence[Found]) -> str:
    same = sum(a.digest() == b.digest() for a, b in zip(some, others, strict=True))
    return f"{same} of {len(some)}"


def measure_engine(
    recordings: Recordings, *, rows: Sequence[int], side_by_side: Sequence[int], device: str
) -> None:
    """Time the engine."""
    torch.set_num_threads(1)
    lines = []
    for precision, batch_size, width in itertools.product(PRECISIONS, rows, side_by_side):
        worker = separator(device=device, precision=precision, batch_size=batch_size)
        separate(worker, recordings[:width])
        began, cpu_began = time.monotonic(), time.process_time()
        for first in range(0, len(recordings), width):
            separate(worker, recordings[first : first + width])
        took, cpu = time.monotonic() - began, time.process_time() - cpu_began
        seconds = sum(samples.shape[1] / rate for rate, samples in recordings)
        lines.append(
            (
                precision,
                str(batch_size),
                str(width),
                f"{len(recordings) / took:.1f}",
                f"{seconds / took:.0f}",
                f"{cpu / len(recordings) * 1e3:.1f}",
            )
        )
    table(("precision", "rows", "side by side", "recordings/s", "× real time", "CPU ms a recording"), lines)


def measure_networks(*, rows: Sequence[int], device: str) -> None:
    """Time networks alone; masks are of the starter's window of 4 s, and of as much for the published size."""
    weights = load_weights("starter")
    assert weights.separator is not None
    assert weights.detector is not None
    separators = {"starter separator": weights.separator, "ResUNet30, random": ResUNet(ResUNetConfig())}
    detectors: dict[str, torch.nn.Module] = {
        "starter tagger": weights.detector,
        "Cnn14_DecisionLevelMax, random": Panns(PannsConfig(head="frame")),
        "HTS-AT, random": Htsat(HtsatConfig()),
    }
    lines = []
    for name, network in separators.items():
        network = network.to(device).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for batch_size in rows:
            wave = 0.1 * torch.randn(batch_size, 1, 4 * network.sample_rate, device=device)
            condition = torch.rand(batch_size, network.config.condition_size, device=device)
            spectrogram = network.stft(wave)
            lines += _network_lines(
                name,
                batch_size,
                lambda network=network, s=spectrogram, c=condition: network.masks(s, c),
                device=device,
            )
    for name, network in detectors.items():
        network = network.to(device).eval()
        for batch_size in rows:
            wave = 0.1 * torch.randn(batch_size, 320_000, device=device)
            lines += _network_lines(
                name, batch_size, lambda network=network, wave=wave: network(wave), device=device
            )
    table(("network", "rows", "precision", "rows/s", "peak GPU MiB"), lines)


def _network_lines(
    name: str, batch_size: int, forward: Callable[[], object], *, device: str
) -> Iterator[tuple[str, ...]]:
    for precision in PRECISIONS:
        with inference(precision, device=torch.device(device)):
            for _ in range(3):
                forward()
            _wait(device)
            if device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            calls, began = 0, time.monotonic()
            while calls < 5 or time.monotonic() - began < 0.25:
                forward()
                calls += 1
                if calls % 5 == 0:
                    _wait(device)
            _wait(device)
            took = time.monotonic() - began
        peak = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else 0
        yield name, str(batch_size), precision, f"{calls * batch_size / took:.0f}", f"{peak:.0f}"


def measure_steps(*, items: int, device: str, narrow: bool) -> None:
    """Time steps of training on items of 2 s; narrow networks try the script."""
    config = ResUNetConfig(**NARROW) if narrow else ResUNetConfig()
    listeners = PannsConfig(block_channels=(2, 4), embedding_size=4) if narrow else PannsConfig()
    detector = Panns(listeners.replace(head="frame")).to(device).eval()
    query = Panns(listeners).to(device).eval()
    clips = 0.1 * torch.randn(items, 10 * config.sample_rate, device=device)
    sounds = 0.1 * torch.randn(2, items, 2 * config.sample_rate, device=device)
    condition = torch.rand(items, config.condition_size, device=device)

    def listen() -> None:
        with torch.no_grad():
            detector(clips)
            query(sounds[1])

    plain, quick = ResUNet(config).to(device), lay_out_channels_last(ResUNet(config)).to(device)
    arms: list[tuple[str, Callable[[], object], bool]] = [
        ("released, float32", _step_of(plain, sounds, condition, before=listen), False),
        ("ours, float32", _step_of(quick, sounds, condition), False),
        ("ours, bfloat16", _step_of(quick, sounds, condition), True),
    ]
    if device == "cuda":
        arms.append(("ours, bfloat16, compiled", _step_of(torch.compile(quick), sounds, condition), True))
    with FlopCounterMode(display=False) as counter:
        arms[1][1]()
    operations = counter.get_total_flops()
    lines, first = [], None
    for name, step, is_narrow in arms:
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=is_narrow):
            seconds = _seconds_of(step, device=device)
        first = first or seconds
        peak = _operations_of_a_product(torch.bfloat16 if is_narrow else torch.float32, device=device)
        lines.append(
            (
                name,
                f"{items / seconds:.2f}",
                f"{first / seconds:.2f}",
                f"{operations / seconds / 1e12:.3f}",
                f"{100 * operations / seconds / peak:.0f}",
            )
        )
    table(("step", "items/s", "over the released (≥ 3)", "TFLOP/s of ResUNet30", "% of a product's"), lines)


def _step_of(
    network: Callable[..., torch.Tensor],
    sounds: torch.Tensor,
    condition: torch.Tensor,
    *,
    before: Callable[[], None] = lambda: None,
) -> Callable[[], object]:
    parameters = list(network.parameters())  # type: ignore[attr-defined]
    optimiser = torch.optim.AdamW(parameters, 1e-4, amsgrad=True)

    def step() -> None:
        before()
        optimiser.zero_grad(set_to_none=True)
        (network(sounds.sum(0), condition).float() - sounds[1]).abs().mean().backward()
        optimiser.step()

    return step


def _operations_of_a_product(dtype: torch.dtype, *, device: str) -> float:
    side = 8192 if device == "cuda" else 1024
    matrix = torch.randn(side, side, device=device).to(dtype)
    return 2 * side**3 / _seconds_of(lambda: matrix @ matrix, device=device)


def _seconds_of(run: Callable[[], object], *, device: str) -> float:
    """Time a call, after some that warm up."""
    for _ in range(3 if device == "cuda" else 1):
        run()
    _wait(device)
    calls, began = 0, time.monotonic()
    while calls < 2 or time.monotonic() - began < 3 * (device == "cuda"):
        run()
        calls += 1
        _wait(device)
    return (time.monotonic() - began) / calls


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parts = ("stems", "engine", "networks", "steps")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", help=f"{', '.join(parts)}; default: all")
    parser.add_argument("--recordings", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rows", type=int, nargs="+", default=[4, 16, 64])
    parser.add_argument("--side-by-side", type=int, nargs="+", default=[16])
    parser.add_argument("--items", type=int, default=16, help="in a step")
    parser.add_argument("--narrow", action="store_true", help="small networks in steps, to try the script")
    parser.add_argument("--device", default="cuda")
    arguments = parser.parse_args()
    chosen = arguments.parts or list(parts)
    if unknown := set(chosen) - set(parts):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if arguments.device == "cuda":
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    recordings = sounds(count=arguments.recordings, seconds=arguments.seconds)
    if "stems" in chosen:
        measure_stems(recordings, device=arguments.device)
    if "engine" in chosen:
        measure_engine(
            recordings,
            rows=arguments.rows,
            side_by_side=arguments.side_by_side,
            device=arguments.device,
        )
    if "networks" in chosen:
        measure_networks(rows=arguments.rows, device=arguments.device)
    if "steps" in chosen:
        measure_steps(items=arguments.items, device=arguments.device, narrow=arguments.narrow)


if __name__ == "__main__":
    main()
