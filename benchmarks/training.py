"""Training a separator: reading beside stepping, the released step, workers, Ray, memory, the way to the first step.

python benchmarks/training.py reader [--place s3://BUCKET/x]  items/s read over items/s trained     ≥ 2
python benchmarks/training.py step [--network small]          the released step over ours           ≥ 1.3
python benchmarks/training.py workers                         two workers over one on one core, two
                                                              loops that exchange nothing over one,
                                                              Ray's one over a loop without Ray     ≥ 1.7; ≥ 0.95
python benchmarks/training.py memory                          100,000 packed anchors over 1,000     flat
python benchmarks/training.py start                           seconds to the first step             ≤ 15

Each ratio is of one run, turn by turn, in seconds of the clock and in CPU seconds of the process (for `workers`, of the
first worker: an equal share of the steps). On a machine that does other work only the latter says something, and not
what a wait for a store or for another worker costs. Anchors are noise; the separator is the starter's but for `step`,
whose default is ResUNet30. The released step hears the detector on 10 s and the query net on 2 s for each item, and
lays tensors out as PyTorch does by itself.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from tables import table

from uss_ray.anchors.anchor import Anchor
from uss_ray.anchors.manifest import MiningManifest, write_manifest
from uss_ray.anchors.packed_reader import PackedAnchors
from uss_ray.anchors.shards import write_anchor_shard
from uss_ray.config import overlay, to_yaml
from uss_ray.models.panns import Panns
from uss_ray.models.panns_settings import PannsConfig
from uss_ray.models.specifications import ClassListId
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.pipelines.training.local import train_here
from uss_ray.pipelines.training.pack_request import PackRequest
from uss_ray.pipelines.training.packing import pack_here
from uss_ray.pipelines.training.request import SeparatorTraining
from uss_ray.pipelines.training.run_folder import METRICS_NAME, read_lines
from uss_ray.store.store import Store
from uss_ray.training.recipe import SeparatorRecipe
from uss_ray.training.separator import SeparatorTask
from uss_ray.training.starter import starter_separator
from uss_ray.weights.locate import load_weights

RATE = 32000
CLASSES = 32
CLOCKS = ("clock", "CPU")
_PER_SHARD = 5000


def make_pack(root: Path, place: str, *, anchors: int, seconds: float) -> str:
    """Write a pack of noise of some classes, as if the starter weights had mined it."""
    weights, vocabulary = load_weights("starter"), Vocabulary.load()
    rng = np.random.default_rng(0)
    sounds = rng.integers(-8000, 8000, (64, round(seconds * RATE)), np.int16)
    soft = rng.random((CLASSES, len(vocabulary.classes))).astype(np.float32)
    shards = []
    for start in range(0, anchors, _PER_SHARD):
        part = [
            Anchor(
                clip_id=f"clip{number}",
                class_index=number % CLASSES,
                start_sample=0,
                sample_rate=RATE,
                score=0.9,
                purity=1.0,
                intruder_index=None,
                level_db=-20.0,
                label_indexes=(number % CLASSES,),
                prob_indexes=(number % CLASSES,),
                probs=np.array([0.9], np.float32),
                waveform=sounds[number % len(sounds)],
                soft=soft[number % CLASSES],
            )
            for number in range(start, min(start + _PER_SHARD, anchors))
        ]
        shards.append(write_anchor_shard(part, root / "mined" / "anchors" / f"{start}.parquet"))
    write_manifest(
        MiningManifest.of(
            shards,
            rejects={},
            weights_name="starter",
            weights_sha256=weights.sha256,
            class_list_sha256=ClassListId.of(vocabulary.classes.ids).sha256,
            settings={},
            sample_rate=RATE,
            clips=anchors,
        ),
        root / "mined",
    )
    pack_here(PackRequest(anchors=str(root / "mined"), output=place))
    return place


def recipe_of(**values: Any) -> SeparatorRecipe:
    """Give the starter's recipe in one lane of 8, changed."""
    given = starter_separator().model_dump() | {"name": "benchmark"}
    small = {"mixtures": {"partners": "labels"}, "fit": {"log_steps": 5, "optimiser": {"warmup_steps": 2}}}
    return SeparatorRecipe(**overlay(overlay(given, small), values))


def task_of(pack: str, recipe: SeparatorRecipe, *, cache_bytes: int = 1 << 30) -> SeparatorTask:
    """Open a pack for a recipe."""
    return SeparatorTask(recipe, PackedAnchors(pack, cache_bytes=cache_bytes), vocabulary=Vocabulary.load())


def step_of(task: SeparatorTask, optimiser: torch.optim.Optimizer) -> Callable[[Any], None]:
    """Make a step of a batch."""

    def step(batch: Any) -> None:
        optimiser.zero_grad(set_to_none=True)
        task.loss(batch).backward()
        optimiser.step()

    return step


def seconds_of(run: Callable[[], object]) -> NDArray[np.float64]:
    """Time a call by the clock, and by what the CPUs spent on this process."""
    began = time.perf_counter(), time.process_time()
    run()
    return np.array([time.perf_counter() - began[0], time.process_time() - began[1]])


def shown(values: NDArray[np.float64], digits: int = 1) -> tuple[str, ...]:
    """Write figures as the cells of a table."""
    return tuple(f"{value:.{digits}f}" for value in values)


def reader(root: Path, options: argparse.Namespace) -> None:
    """Read batches with the threads of a run, and step on them, turn by turn."""
    pack = make_pack(root, options.place or str(root / "packed"), anchors=options.anchors, seconds=2.0)
    task = task_of(pack, recipe_of())
    step = step_of(task, torch.optim.AdamW(task.module.parameters(), 1e-4))
    reading, stepping = [], []
    with ThreadPoolExecutor(2) as pool:
        for turn in range(options.turns):
            numbers = range(turn * 8, turn * 8 + 8)
            reading.append(
                seconds_of(lambda numbers=numbers: list(pool.map(lambda n: task.load(n, 0), numbers)))
            )
            batch = task.load(turn, 0)
            stepping.append(seconds_of(lambda batch=batch: step(batch)))
    # All turns of reading, for the first one fetches most; how much is fetched again is as in a run.
    read, trained = 64 / np.mean(reading, axis=0), 8 / np.median(stepping[1:], axis=0)
    rows = [
        (by, *cells)
        for by, *cells in zip(CLOCKS, shown(read), shown(trained), shown(read / trained), strict=True)
    ]
    table(("by", "read, items/s", "trained, items/s", "ratio (≥ 2)"), rows)


def released_step(root: Path, options: argparse.Namespace) -> None:
    """Step as ours does, and as the released program: detector and query net inside."""
    pack = make_pack(root, str(root / "packed"), anchors=64, seconds=2.0)
    changed: dict[str, Any] = {"plan": {"batch_size": options.batch}}
    recipe = recipe_of(**changed)
    if options.network == "resunet30":
        recipe = recipe.replace(separator={"architecture": "resunet"}, samples=None)
    task, plain = task_of(pack, recipe), task_of(pack, recipe)
    plain.module.to(memory_format=torch.contiguous_format)
    detector, query = Panns(PannsConfig(head="frame")).eval(), Panns(PannsConfig()).eval()
    ours, theirs = (
        step_of(one, torch.optim.AdamW(one.module.parameters(), 1e-4, amsgrad=True)) for one in (task, plain)
    )
    clips = torch.randn(options.batch, 10 * RATE) * 0.1

    def released(batch: Any) -> None:
        with torch.no_grad():
            detector(clips)
            query(batch.targets)
        theirs(batch)

    times: dict[str, list[NDArray[np.float64]]] = {"ours": [], "released": []}
    for turn in range(options.turns):
        batch = task.load(turn, 0)
        times["ours"].append(seconds_of(lambda batch=batch: ours(batch)))
        times["released"].append(seconds_of(lambda batch=batch: released(batch)))
    one, other = (np.median(times[name][1:], axis=0) for name in ("ours", "released"))
    rows = [
        (options.network, by, *cells)
        for by, *cells in zip(CLOCKS, shown(one, 2), shown(other, 2), shown(other / one, 2), strict=True)
    ]
    table(("network", "by", "ours, s", "released, s", "ratio (≥ 1.3)"), rows)


def workers(root: Path, options: argparse.Namespace) -> None:
    """Train in a loop without Ray, in two that exchange nothing, with one Ray worker and with two, on one core and two.

    What runs on one core runs there with all that it starts, Ray's own processes too.
    """
    pack = make_pack(root, str(root / "packed"), anchors=options.anchors, seconds=2.0)
    cases = {
        "a loop, one core": (0, 1, 1),
        "two loops that exchange nothing": (0, 2, 2),
        "one worker, one core": (1, 1, 1),
        "two workers": (2, 2, 1),
        "a loop, two cores": (0, 2, 1),
        "one worker, two cores": (1, 2, 1),
    }
    paces = {name: np.zeros(2) for name in cases}
    for name, (count, cores, loops) in cases.items():
        asked = {"place": pack, "steps": options.steps, "workers": count, "cores": cores, "parts": loops}
        words = [word for name, value in asked.items() for word in (f"--{name}", str(value))]
        told = [
            subprocess.Popen([sys.executable, __file__, "pace", *words], stdout=subprocess.PIPE, text=True)
            for _ in range(loops)
        ]
        lines = [process.communicate()[0].splitlines()[-1] for process in told]
        paces[name] = np.mean([[float(word) for word in line.split()] for line in lines], axis=0)
    table(("s a step by", *CLOCKS), [(name, *shown(pace, 3)) for name, pace in paces.items()])
    ratios = {
        "two workers over one on one core (≥ 1.7)": ("one worker, one core", "two workers"),
        "two loops that exchange nothing over one": ("a loop, one core", "two loops that exchange nothing"),
        "two workers over one with two cores": ("one worker, two cores", "two workers"),
        "Ray's worker over the loop (≥ 0.95)": ("a loop, two cores", "one worker, two cores"),
    }
    table(
        ("ratio", *CLOCKS),
        [(name, *shown(paces[one] / paces[other], 2)) for name, (one, other) in ratios.items()],
    )


def pace(root: Path, options: argparse.Namespace) -> None:
    """Train on some cores, with or without Ray, and print seconds a step by clock and by CPU.

    Of several parts a step has as many times fewer items: each does as much as a worker of so many.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    torch.set_num_threads(1)
    lanes = 2 // options.parts
    recipe = recipe_of(
        plan={"batch_size": 4 * lanes, "lanes": lanes},
        fit={"steps": options.steps, "checkpoint_steps": options.steps},
    )
    request = SeparatorTraining(anchors=options.place, output=str(root / "run"), recipe=recipe, device="cpu")
    if options.workers == "0":
        train_here(request)
    else:
        from uss_ray.pipelines.runtime.session import ray_session
        from uss_ray.pipelines.training.job import train_on_ray
        from uss_ray.pipelines.training.options import TrainOptions

        with ray_session():
            train_on_ray(request, TrainOptions(workers=options.workers))
    lines = read_lines(Store(root / "run" / METRICS_NAME))[1:]
    items = recipe.plan.batch_size
    steps = [(items / line["items_per_second"], line["cpu_seconds_per_step"]) for line in lines]
    clock, cpu = np.median(steps, axis=0)
    sys.stdout.write(f"\n{clock} {cpu}\n")


def memory(root: Path, options: argparse.Namespace) -> None:
    """Plan and read some steps of a small and of a large pack, each in a process of its own."""
    rows = []
    for anchors in (1000, options.anchors):
        place = make_pack(
            root / str(anchors), str(root / str(anchors) / "packed"), anchors=anchors, seconds=0.1
        )
        told = subprocess.run(
            [sys.executable, __file__, "resident", "--place", place],
            check=True,
            capture_output=True,
            text=True,
        )
        rows.append((f"{anchors}", told.stdout.strip()))
    rows.append(("ratio (flat)", f"{float(rows[1][1]) / float(rows[0][1]):.2f}"))
    table(("anchors", "resident, MiB"), rows)


def resident(_: Path, options: argparse.Namespace) -> None:
    """Print what this process holds after planning and reading some steps."""
    task = task_of(
        options.place, recipe_of(samples=3000, separator={"hop_samples": 500}), cache_bytes=4 << 20
    )
    for step in range(50):
        task.load(step, 0)
    sys.stdout.write(f"{psutil.Process().memory_info().rss / 2**20:.0f}\n")


def start(root: Path, _: argparse.Namespace) -> None:
    """Start the command and wait for its first step."""
    pack = make_pack(root, str(root / "packed"), anchors=256, seconds=2.0)
    recipe = recipe_of(fit={"steps": 1, "log_steps": 1})
    request = SeparatorTraining(anchors=pack, output=str(root / "run"), recipe=recipe, device="cpu")
    (root / "run.yaml").write_text("request:\n  " + to_yaml(request).replace("\n", "\n  "))
    began = time.perf_counter()
    command = [sys.executable, "-m", "uss_ray.jobs.train_separator", str(root / "run.yaml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("step 1:"):
                table(("seconds to the first step (≤ 15)",), [(f"{time.perf_counter() - began:.1f}",)])


RUNS = {
    "reader": reader,
    "step": released_step,
    "workers": workers,
    "pace": pace,
    "memory": memory,
    "resident": resident,
    "start": start,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=RUNS)
    parser.add_argument("--place", default="", help="where the pack goes; an object store too")
    parser.add_argument("--anchors", type=int, help="in the pack")
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--workers", default="0", help="of pace, which `workers` starts")
    parser.add_argument("--cores", type=int, default=2, help="of pace")
    parser.add_argument("--parts", type=int, default=1, help="of pace")
    parser.add_argument("--network", choices=("resunet30", "small"), default="resunet30")
    options = parser.parse_args()
    options.anchors = options.anchors or (100_000 if options.what == "memory" else 512)
    with tempfile.TemporaryDirectory(prefix="uss_ray-benchmark-") as place:
        RUNS[options.what](Path(place), options)


if __name__ == "__main__":
    main()
