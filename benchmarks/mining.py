"""Speed, memory and cost of mining.

Usage: python benchmarks/mining.py [speed] [step] [memory] [precision] [cost] [--clips 256] [--detector starter]

speed      clips a second through Ray, beside the same work in one plain loop and beside the bare detector, with the
           same threads; rates are taken between the first and the last packet, so that starting up does not count
step       what frozen networks cost a training step that runs the detector on whole clips, beside reading mined anchors
memory     peak of driver and worker for some numbers of clips, and for segment CSVs of two million lines
precision  what bfloat16, and torch.compile with --compile, save detectors on this machine's CPU: CPU time of full
           batches, all ways in turn, and how far probabilities move; ONEDNN_MAX_CPU_ISA bounds what oneDNN uses
cost       full AudioSet on 1, 8 and 64 GPUs: what is measured and what is assumed is said beside each number

Clips are made of tones and noise, unless --data names a folder with segment CSVs and audio like audioset_mini.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import soundfile
import torch
from archive_watch import peak_of_command
from tables import table
from torch.utils.flop_counter import FlopCounterMode

from uss_ray.anchors.anchor import Anchor, Reject
from uss_ray.anchors.stream import AnchorShards
from uss_ray.datasets.clip_sources import open_clip_source
from uss_ray.datasets.decode import decode_clip
from uss_ray.datasets.labelled_clips import LabelledClip, join_clips
from uss_ray.datasets.segment_table import SegmentTable
from uss_ray.mining.clip_miner import WeakClip
from uss_ray.mining.detect import AnchorDetector
from uss_ray.mining.settings import MiningSettings
from uss_ray.models.device import find_device
from uss_ray.models.htsat import Htsat
from uss_ray.models.htsat_settings import HtsatConfig
from uss_ray.models.panns import Panns
from uss_ray.models.panns_settings import PannsConfig
from uss_ray.pipelines.mining.chunking import packet_clips
from uss_ray.pipelines.mining.clips import selected_clips
from uss_ray.pipelines.mining.job import mine_archive
from uss_ray.pipelines.mining.miners import load_checked_weights, load_vocabulary, make_miner
from uss_ray.pipelines.mining.receipts import commit_packet, packet_name
from uss_ray.pipelines.mining.request import MiningRequest
from uss_ray.pipelines.runtime.counters import PARTLY_DONE
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.pipelines.runtime.progress import Progress
from uss_ray.weights.locate import load_weights

RATE = 32_000
CLIP_SECONDS = 10
MIDS = ("/m/09x0r", "/m/0bt9lr", "/m/04rlf", "/m/07yv9")
AUDIOSET_CLIPS = 2_084_320  # lines of its three segment CSVs
GPU_COUNTS = (1, 8, 64)
TRAINING_BATCH = 16


def make_set(folder: Path, *, clips: int, lines: int | None = None) -> tuple[str, str]:
    """Write clips as FLAC files and their segment CSV, with more lines than clips if asked; give both places."""
    audio = folder / "audio"
    audio.mkdir(parents=True)
    seconds = np.arange(CLIP_SECONDS * RATE) / RATE
    for number in range(clips):
        rng = np.random.default_rng(number)
        sound = 0.02 * rng.standard_normal(len(seconds))
        first = int(rng.integers(0, 8 * RATE))
        sound[first : first + 2 * RATE] += 0.3 * np.sin(
            2 * np.pi * rng.uniform(200, 4000) * seconds[: 2 * RATE]
        )
        soundfile.write(audio / f"Y{number:011d}.flac", sound, RATE)
    segments = folder / "segments.csv"
    with segments.open("w") as file:
        for number in range(lines or clips):
            labels = f"{MIDS[number % 4]},{MIDS[(number + 1) % 4]}"
            file.write(f'{number:011d}, 0.000, {CLIP_SECONDS}.000, "{labels}"\n')
    return str(segments), str(audio)


def labelled_clips(request: MiningRequest, *, clips: int) -> Iterator[LabelledClip]:
    """Stream the first clips without Ray."""
    classes = load_vocabulary(request).classes
    table = SegmentTable.load(
        request.segments, class_index={class_id: index for index, class_id in enumerate(classes.ids)}
    )
    chosen = selected_clips(JobOptions(limit=clips), clips=len(table))
    for reader in open_clip_source(request.audio).readers:
        for item in join_clips(reader, table=table, wanted=lambda row: bool(chosen[row])):
            if isinstance(item, LabelledClip):
                yield item


def batches(items: Iterator[LabelledClip], size: int) -> Iterator[list[LabelledClip]]:
    """Cut a stream into lists."""
    while batch := list(islice(items, size)):
        yield batch


def plain_loop(request: MiningRequest, *, clips: int) -> dict[str, float]:
    """Decode, mine and write in one process, and tell what each part of it takes."""
    miner = make_miner(request)
    took = {"decode": 0.0, "mine": 0.0, "write": 0.0}
    size = packet_clips(clips, actors=1, batch_size=request.settings.batch_size)
    done = 0
    for batch in batches(labelled_clips(request, clips=clips), size):
        began = time.monotonic()
        waveforms = []
        for clip in batch:
            decoded = decode_clip(clip, sample_rate=RATE)
            waveforms.append(decoded.waveform[: decoded.real_samples])
        read = time.monotonic()
        found: list[Anchor | Reject] = miner.mine(
            [
                WeakClip(clip.record.clip_id, clip.record.class_indexes, waveform)
                for clip, waveform in zip(batch, waveforms, strict=True)
            ]
        )
        mined = time.monotonic()
        rows = [clip.row for clip in batch]
        commit_packet(
            [item for item in found if isinstance(item, Anchor)],
            [item for item in found if isinstance(item, Reject)],
            output=request.output_store,
            name=packet_name(rows),
            rows=dict.fromkeys(rows, 0),
        )
        written = time.monotonic()
        if done:  # the first packet warms up
            took = {
                "decode": took["decode"] + read - began,
                "mine": took["mine"] + mined - read,
                "write": took["write"] + written - mined,
            }
        done += len(batch)
    counted = done - size
    if counted < 1:
        sys.exit(f"--clips: more than the {size} of one packet are needed")
    return {name: seconds / counted for name, seconds in took.items()}


def bare_detector(request: MiningRequest, *, seconds: float = 20.0) -> float:
    """Give the seconds a clip that the detector takes alone, on clips in memory."""
    settings = request.settings
    detector = AnchorDetector(
        load_checked_weights(request), batch_size=settings.batch_size, device=device_of(request)
    )
    rng = np.random.default_rng(0)
    waveforms = [
        0.1 * rng.standard_normal(CLIP_SECONDS * RATE).astype(np.float32) for _ in range(settings.batch_size)
    ]
    detector.detect(waveforms)
    began, rounds = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        detector.detect(waveforms)
        rounds += 1
    return (time.monotonic() - began) / (rounds * len(waveforms))


def through_ray(request: MiningRequest, *, clips: int, threads: int) -> dict[str, float]:
    """Give the seconds a clip through Ray with one worker, and how busy that was."""
    seen: list[tuple[float, int]] = []

    def note(progress: Progress) -> None:
        seen.append((time.monotonic(), progress.finished))

    options = JobOptions(actors=None if device_of(request) == "cuda" else 1, threads=threads, limit=clips)
    result = mine_archive(request, options=options, on_progress=note)
    (first, before), (last, after) = seen[0], seen[-1]
    stages = {stage.name: stage.busy_seconds for stage in result.summary.stages}
    return {
        "seconds": (last - first) / max(1, after - before),
        "wall": result.summary.wall_seconds,
        "mine": stages["mine"] / clips,
        "decode": stages["decode"] / clips,
        "write": stages["write"] / clips,
    }


def measure_speed(request: MiningRequest, *, clips: int, threads: int) -> dict[str, float]:
    """Print how fast mining is, three ways."""
    torch.set_num_threads(threads)
    bare = bare_detector(request)
    plain = plain_loop(request.replace(output=f"{request.output}/plain"), clips=clips)
    ray = through_ray(request.replace(output=f"{request.output}/ray"), clips=clips, threads=threads)
    loop = sum(plain.values())
    table(
        ("way", "ms a clip", "clips a second", "and core at hand", "audio h an hour", "of the bare detector"),
        [
            speed_line("bare detector, clips in memory", bare, bare, threads),
            speed_line("plain loop: decode, mine, write", loop, bare, threads),
            speed_line("through Ray, one worker", ray["seconds"], bare, len(os.sched_getaffinity(0))),
        ],
    )
    print(
        f"\nA clip in ms: plain loop decode {plain['decode'] * 1e3:.1f}, mine {plain['mine'] * 1e3:.1f}, write"
        f" {plain['write'] * 1e3:.1f}; in Ray's workers decode {ray['decode'] * 1e3:.1f}, mine {ray['mine'] * 1e3:.1f},"
        f" write {ray['write'] * 1e3:.1f}. Start to end with Ray: {ray['wall']:.1f} s for {clips} clips."
        f"\nOverhead of Ray over the plain loop: {100 * (ray['seconds'] / loop - 1):+.1f} %"
        " (below 0: decoding runs beside the detector)"
    )
    return {"bare": bare, "loop": loop, "ray": ray["seconds"], **{f"plain_{k}": v for k, v in plain.items()}}


def speed_line(name: str, seconds: float, bare: float, cores: int) -> tuple[str, ...]:
    """Give a line of the table of speeds."""
    rate = 1 / seconds
    return (
        name,
        f"{seconds * 1e3:.1f}",
        f"{rate:.2f}",
        f"{rate / cores:.2f}",
        f"{rate * CLIP_SECONDS:.0f}",
        f"{bare / seconds:.2f}",
    )


def measure_step(request: MiningRequest, *, clips: int, threads: int) -> dict[str, float]:
    """Print what the frozen networks cost a training step: run in each, or their anchors streamed."""
    torch.set_num_threads(threads)
    mined = request.replace(
        output=f"{request.output}/step",
        settings=request.settings.replace(conditions="both", min_probability=0.0),
    )
    mine_archive(mined, options=JobOptions(actors=1, threads=threads, limit=clips))
    detector = AnchorDetector(
        load_checked_weights(request), batch_size=TRAINING_BATCH, device=device_of(request)
    )
    rng = np.random.default_rng(0)
    whole = [0.1 * rng.standard_normal(CLIP_SECONDS * RATE).astype(np.float32) for _ in range(TRAINING_BATCH)]
    anchors = [clip[: 2 * RATE] for clip in whole]
    released = timed(lambda: (detector.detect(whole), detector.conditions(anchors, kind="both")))
    stream = AnchorShards(mined.output).balanced_stream(seed=0)
    list(islice(stream, TRAINING_BATCH))
    streamed = timed(lambda: list(islice(stream, TRAINING_BATCH)))
    table(
        (f"a step of {TRAINING_BATCH} anchors", "ms a step", "factor"),
        [
            (
                "released way: detector on whole clips, query net on anchors",
                f"{released * 1e3:.0f}",
                f"{released / streamed:.0f}",
            ),
            ("mined anchors with conditions, streamed and decoded", f"{streamed * 1e3:.1f}", "1"),
        ],
    )
    return {"released_step_s": released, "streamed_step_s": streamed}


def timed(work: object, *, seconds: float = 10.0) -> float:
    """Give the mean seconds of a call, for about some seconds of calls."""
    assert callable(work)
    work()
    began, rounds = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        work()
        rounds += 1
    return (time.monotonic() - began) / rounds


def measure_memory(
    request: MiningRequest, folder: Path, *, counts: Sequence[int], lines_of_csv: int, threads: int
) -> None:
    """Print the peaks of driver and worker for some numbers of clips, each in a process of its own."""
    lines = []
    for name, clips, listed in (
        *((f"{count} clips", count, count) for count in counts),
        (f"{counts[0]} clips, CSV of {lines_of_csv} lines", counts[0], lines_of_csv),
    ):
        place = folder / name.replace(" ", "-")
        segments, audio = make_set(place, clips=clips, lines=listed)
        words = ["mine", segments, audio, str(place / "out"), "--detector", request.weights, "--no-report"]
        words += ["--actors", "1", "--threads", str(threads), "--limit", str(clips)]
        peak = peak_of_command(words, succeeds_with=(0, PARTLY_DONE))
        summary = json.loads((place / "out" / "summary.json").read_text())
        worker = max(stage["peak_memory_bytes"] or 0 for stage in summary["stages"])
        lines.append((name, f"{peak:.0f}", f"{worker / 2**20:.0f}"))
    table(("set", "driver MiB", "worker MiB"), lines)


def precision_lines(
    *, batch_size: int, threads: int, rounds: int, compiled: bool
) -> Iterator[tuple[str, ...]]:
    """Tell what bfloat16, and compiling if asked, save detectors and do to their probabilities, line by line."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    detectors: dict[str, torch.nn.Module] = {
        "starter": load_weights("starter").detector,
        "HTS-AT, random weights": Htsat(HtsatConfig()),
        "Cnn14_DecisionLevelMax, random weights": Panns(PannsConfig(head="frame")),
    }
    batch = 0.1 * torch.randn(batch_size, CLIP_SECONDS * RATE)
    for name, detector in detectors.items():
        ways = {("eager", precision): detector.eval() for precision in ("float32", "bfloat16")}
        if compiled:
            network = torch.compile(detector, dynamic=False)
            ways |= {("compiled", precision): network for precision in ("float32", "bfloat16")}
        first = {way: timed_forward(network, batch, precision=way[1]) for way, network in ways.items()}
        took: dict[tuple[str, str], list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, network in ways.items():
                took[way].append(timed_forward(network, batch, precision=way[1])[0])
        plain = ("eager", "float32")
        for way in ways:
            ratio = min(took[plain]) / min(took[way])
            moved = max(
                float((ours - theirs).abs().max())
                for ours, theirs in zip(first[way][1], first[plain][1], strict=True)
            )
            milliseconds = min(took[way]) / batch_size * 1e3
            warming_up = first[way][0] - min(took[way])
            yield name, *way, f"{milliseconds:.1f}", f"{ratio:.2f}", f"{moved:.1e}", f"{warming_up:.0f}"


def timed_forward(
    network: torch.nn.Module, batch: torch.Tensor, *, precision: str
) -> tuple[float, tuple[torch.Tensor, torch.Tensor]]:
    """Give the CPU seconds of a forward, and its clip-wise and frame-wise probabilities."""
    began = time.process_time()
    with (
        torch.inference_mode(),
        torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"),
    ):
        tagging = network(batch)
    took = time.process_time() - began
    return took, (tagging.clipwise_probs.float(), tagging.framewise_probs.float())


def estimate_cost(arguments: argparse.Namespace, *, decode_seconds: float | None) -> None:
    """Print what full AudioSet takes with the published detector's size."""
    detector = Panns(PannsConfig(head="frame")).eval()
    clip = torch.zeros(1, CLIP_SECONDS * RATE)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        detector(clip)
    flops = counter.get_total_flops()
    rate = arguments.gpu_tflops * 1e12 * arguments.gpu_efficiency / flops
    decode = decode_seconds or arguments.decode_ms / 1e3
    source = "measured above" if decode_seconds else "assumed"
    anchors = AUDIOSET_CLIPS * arguments.anchors_per_clip
    lines = []
    for gpus in GPU_COUNTS:
        hours = AUDIOSET_CLIPS / (rate * gpus) / 3600
        lines.append(
            (
                str(gpus),
                f"{hours:.2f}",
                f"{hours * gpus:.1f}",
                f"{rate * gpus * decode:.0f}",
                f"{rate * gpus * arguments.clip_kilobytes / 1e6:.2f}",
                f"{hours * gpus * arguments.gpu_price:.0f}",
            )
        )
    table(("GPUs", "hours", "GPU hours", "CPU cores to decode", "GB/s read", "USD"), lines)
    print(
        f"\nCounted: {flops / 1e9:.1f} GFLOP a clip of {CLIP_SECONDS} s (Cnn14_DecisionLevelMax); {AUDIOSET_CLIPS}"
        f" clips. {source.capitalize()}: {decode * 1e3:.1f} ms of one core to decode a clip."
        f"\nAssumed: {arguments.gpu_tflops:g} TFLOP/s a GPU at {arguments.gpu_efficiency:.0%}, so {rate:.0f} clips/s;"
        f" {arguments.clip_kilobytes:g} kB a clip; {arguments.anchors_per_clip:g} anchors a clip of 64 kB, so"
        f" {anchors * 64e3 / 1e9:.0f} GB of anchors; {arguments.gpu_price:g} USD a GPU hour with its CPUs. Storage and"
        " requests are not in it."
    )


def device_of(request: MiningRequest) -> str:
    """Say where the networks run."""
    return str(find_device(request.device))


def main() -> None:
    """Run what was asked for, or everything."""
    parts = ("speed", "step", "memory", "precision", "cost")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", help=f"{', '.join(parts)}; default: all")
    parser.add_argument("--clips", type=int, default=256)
    parser.add_argument("--memory-clips", type=int, nargs="+", default=[128, 512, 2048])
    parser.add_argument("--memory-lines", type=int, default=2_000_000, help="of the long segment CSV")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--detector", default="starter")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5, help="of precision")
    parser.add_argument(
        "--compile", action="store_true", help="precision: torch.compile too, minutes a network"
    )
    parser.add_argument("--data", help="folder with metadata/*_segments.csv and audio")
    parser.add_argument("--gpu-tflops", type=float, default=60.0, help="assumed")
    parser.add_argument("--gpu-efficiency", type=float, default=0.3, help="assumed")
    parser.add_argument("--gpu-price", type=float, default=2.0, help="assumed, USD an hour")
    parser.add_argument("--decode-ms", type=float, default=15.0, help="assumed where not measured")
    parser.add_argument("--clip-kilobytes", type=float, default=320.0, help="assumed, mono FLAC at 32 kHz")
    parser.add_argument("--anchors-per-clip", type=float, default=2.0, help="assumed: labels of a clip")
    arguments = parser.parse_args()
    chosen = arguments.parts or list(parts)
    unknown = set(chosen) - set(parts)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    speeds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if arguments.data:
            segments = tuple(
                str(path) for path in sorted(Path(arguments.data, "metadata").glob("*_segments.csv"))
            )
            audio = str(Path(arguments.data, "audio"))
        elif {"speed", "step"} & set(chosen):
            place, audio = make_set(root / "set", clips=arguments.clips)
            segments = (place,)
        else:
            segments, audio = ("unused.csv",), "unused"
        request = MiningRequest(
            segments=segments,
            audio=audio,
            output=str(root / "out"),
            weights=arguments.detector,
            device=arguments.device,
            settings=MiningSettings(batch_size=arguments.batch_size),
            report=False,
        )
        if "speed" in chosen:
            speeds = measure_speed(request, clips=arguments.clips, threads=arguments.threads)
        if "step" in chosen:
            measure_step(request, clips=arguments.clips, threads=arguments.threads)
        if "memory" in chosen:
            measure_memory(
                request,
                root,
                counts=arguments.memory_clips,
                lines_of_csv=arguments.memory_lines,
                threads=arguments.threads,
            )
    if "precision" in chosen:
        table(
            (
                "detector",
                "way",
                "precision",
                "CPU ms a clip",
                "× float32",
                "probabilities move",
                "s to warm up",
            ),
            precision_lines(
                batch_size=arguments.batch_size,
                threads=arguments.threads,
                rounds=arguments.rounds,
                compiled=arguments.compile,
            ),
        )
    if "cost" in chosen:
        estimate_cost(arguments, decode_seconds=speeds.get("plain_decode"))
    print(f"\nPeak of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
