"""Train tagger and separator on one GPU within minutes, without Ray: sets of clips that fit its memory.

    python examples/train_on_one_gpu.py tagger --data SET SET --work WORK -o TAGGER --seconds 120
    python examples/train_on_one_gpu.py separator --data SET SET --work WORK --tagger TAGGER -o WEIGHTS --seconds 400

A set has audio/train and metadata/train_segments.csv, as AudioSet. Clips are decoded once, into WORK. `tagger` learns
from clips, mines anchors, and learns from both. `separator` mines with it, tries each of the widths that are named for
20 seconds, takes the widest that makes enough items in the time, and trains it; the moving average is written every
minute, in parts of at most 15 MiB (`--resume` begins with one), and at the end a weights folder.

    python examples/train_on_one_gpu.py tagger --data SET SET --work WORK --begin starter-v1 --tagger MINES \
        --separator-of WEIGHTS --steps 2600 --batch 32 --speed 0 --crops 2 6 -o WEIGHTS_WITH_A_BETTER_TAGGER

goes on with the tagger of weights that there are, on anchors that another one mines, for a separator that stays: two
cores are enough. The class means of the separator's weights stay too, so that what steers it is the same.

    python examples/train_on_one_gpu.py separator --data SET SET --work WORK --begin starter-v1 --tagger starter-v1 \
        --snr-range 10 --absent 0.08 --speed 0 --steps 1500 --batch 16 --rate 0.001 --average 0.998 -o WEIGHTS

goes on with a separator for a tagger that stays, on anchors of the classes that this tagger knows: names and times of
what is found are the same to the bit, the sound of it is better.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from uss_ray.anchors.anchor import Anchor
from uss_ray.audio.pcm import to_float
from uss_ray.datasets.clips import LoadedClips, label_matrix
from uss_ray.datasets.segments import ClipRecord, read_segments
from uss_ray.errors import DataError, UssRayError
from uss_ray.mining.clip_miner import ClipMiner, WeakClip
from uss_ray.mining.settings import MiningSettings
from uss_ray.models.network_settings import BandedResUNetConfig, ResUNetConfig
from uss_ray.models.panns import Panns
from uss_ray.models.panns_settings import PannsConfig
from uss_ray.models.resunet import BandedResUNet, ResUNet, in_bands
from uss_ray.models.specifications import ClassListId
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.store.store import Store
from uss_ray.training.export import export_separator, export_tagger
from uss_ray.training.fit import Fit, Task, TrainingState
from uss_ray.training.norms import settle_norms_of
from uss_ray.training.recipe import (
    AugmentationSettings,
    ConditionShares,
    FitSettings,
    LossSettings,
    MixtureSettings,
    OptimiserSettings,
    PlanSettings,
    SeparatorRecipe,
    TaggerRecipe,
)
from uss_ray.training.resident import (
    ResidentAnchors,
    ResidentClips,
    ResidentSeparatorTask,
    ResidentTaggerTask,
)
from uss_ray.training.tagger import AnchorLabels
from uss_ray.weights.folder import Weights, read_folder, save_weights
from uss_ray.weights.locate import locate_weights

_SEGMENT_SECONDS = 2.0
_CLIP_SECONDS = 10.0
_RATE = 32_000
_PART_BYTES = 15 << 20
_TRIAL_SECONDS = 20.0
_SETTLE_BATCHES = 100 if torch.cuda.is_available() else 4
_SPARE = 0.97
_AUGMENTATION = AugmentationSettings(speed=0.07, tilt_db_per_octave=1.5, polarity=True, room=0.2)
_WIDTHS: Mapping[str, tuple[tuple[int, ...], int]] = {
    "8": ((8, 16, 32, 64, 128, 128), 1000),
    "12": ((12, 24, 48, 96, 192, 192), 500),
    "16": ((16, 32, 64, 128, 192, 192), 500),
    "24": ((24, 48, 96, 192, 256, 256), 500),
    "32": ((32, 64, 128, 256, 384, 384), 320),
}


@dataclass(frozen=True, eq=False)
class Data:
    """Clips and what they are known to hold."""

    records: Sequence[ClipRecord]
    clips: ResidentClips
    audio: NDArray[np.int16]
    vocabulary: Vocabulary


class MinuteKeeper:
    """Keeps the moving average of a run in parts, and prints what it tells."""

    def __init__(self, folder: Path, *, seed: int) -> None:
        self.folder = folder
        self.seed = seed
        folder.mkdir(parents=True, exist_ok=True)

    def load(self) -> None:
        """See `Keeper`: a run begins anew, with parameters that are there already."""

    def save(self, state: TrainingState, *, keep: int) -> None:
        """See `Keeper`; the newest only, of the average, in float16."""
        del keep
        parts: list[dict[str, torch.Tensor]] = [{}]
        size = 0
        for name, tensor in (state.ema or state.model).items():
            stored = tensor.half() if tensor.is_floating_point() and tensor.dim() > 1 else tensor
            size += stored.nbytes
            if size > _PART_BYTES:
                parts.append({})
                size = stored.nbytes
            parts[-1][name] = stored.contiguous().cpu()
        for number, part in enumerate(parts):
            new = self.folder / f"average-{number}.new"
            save_file(part, new, {"step": str(state.step)})
            new.replace(self.folder / f"average-{number}.safetensors")

    def add_metrics(self, line: Mapping[str, Any]) -> None:
        """See `Keeper`."""
        shown = {name: float(f"{value:.4g}") for name, value in line.items()}
        print(json.dumps(shown), flush=True)
        with (self.folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(shown) + "\n")

    def forget_after(self, step: int) -> None:
        """See `Keeper`."""

    def keep_bad_batch(
        self, step: int, *, names: Sequence[str], tensors: Mapping[str, torch.Tensor], rank: int
    ) -> str:
        """See `Keeper`."""
        del tensors, rank
        place = self.folder / f"bad-{step}.txt"
        place.write_text("\n".join(names))
        return str(place)


def resume(module: nn.Module, folder: Path) -> None:
    """Begin with the average that a run left in a folder."""
    state: dict[str, torch.Tensor] = {}
    for part in sorted(folder.glob("average-*.safetensors")):
        state |= load_file(part)
    module.load_state_dict(_floats(state))


def load_data(folders: Sequence[Path], work: Path, *, device: torch.device, most: int | None) -> Data:
    """Decode all training clips, by all cores, or take what was decoded before."""
    vocabulary = Vocabulary.load()
    classes = len(vocabulary.classes)
    index = {class_id: number for number, class_id in enumerate(vocabulary.classes.ids)}
    records: list[ClipRecord] = []
    parts: list[NDArray[np.int16]] = []
    cores = os.cpu_count() or 1
    for number, folder in enumerate(folders):
        there = read_segments(folder / "metadata" / "train_segments.csv", class_index=index)[:most]
        stored = work / f"clips-{number}-{len(there)}.npy"
        if not stored.exists():
            work.mkdir(parents=True, exist_ok=True)
            chunks = [there[first::cores] for first in range(cores)]
            decode = partial(_decode, folder=folder / "audio" / "train", classes=classes)
            audio = np.zeros((len(there), round(_CLIP_SECONDS * _RATE)), np.int16)
            with ProcessPoolExecutor(cores) as pool:
                for first, part in enumerate(pool.map(decode, chunks)):
                    audio[first::cores] = part
            np.save(work / "new.npy", audio)
            (work / "new.npy").replace(stored)
        parts.append(np.load(stored))
        records += there
    audio = np.concatenate(parts)
    labels = label_matrix(records, classes=classes)
    return Data(records, ResidentClips(audio, labels, device=device), audio, vocabulary)


def _decode(records: Sequence[ClipRecord], *, folder: Path, classes: int) -> NDArray[np.int16]:
    if not records:
        return np.zeros((0, round(_CLIP_SECONDS * _RATE)), np.int16)
    loaded = LoadedClips.load(records, Store.of(folder, DataError), classes=classes, sample_rate=_RATE)
    return loaded.audio


def mine(
    data: Data, folder: Path, *, device: torch.device, all_labels: bool = True
) -> tuple[ResidentAnchors, Weights]:
    """Mine anchors with the tagger of a weights folder, as the starter's are; of all labels, or of those it knows."""
    weights = read_folder(folder)
    known = set(weights.class_means or {})
    settings = MiningSettings.published().replace(
        anchor_seconds=_SEGMENT_SECONDS,
        anchors_per_label=3,
        conditions="soft",
        batch_size=4 if device.type == "cpu" else 32,
    )
    miner = ClipMiner(weights, settings=settings, vocabulary=data.vocabulary, device=device.type)
    found: list[Anchor] = []
    for first in range(0, len(data.records), 128):
        some = range(first, min(first + 128, len(data.records)))
        clips = [
            WeakClip(str(row), labels, to_float(data.audio[row]))
            for row in some
            if (labels := tuple(one for one in data.records[row].class_indexes if all_labels or one in known))
        ]
        found += [item for item in miner.mine(clips) if isinstance(item, Anchor)]
    rows = {str(row): row for row in range(len(data.records))}
    manifest = {
        "weights_name": weights.name,
        "weights_sha256": weights.sha256,
        "class_list_sha256": ClassListId.of(data.vocabulary.classes.ids).sha256,
        "mining": settings.model_dump(mode="json"),
    }
    return ResidentAnchors(found, data.clips, rows=rows, manifest=manifest), weights


def pace(task: Task[Any], settings: FitSettings, *, seconds: float, folder: Path) -> float:
    """Give steps a second, after those in which kernels are chosen."""
    began = [0.0, 0]

    def is_stopping() -> bool:
        return bool(began[0]) and time.monotonic() - began[0] > seconds

    def on_step(step: int, _line: Mapping[str, float]) -> None:
        if step >= 8 and not began[0]:
            _wait(task.device)
            began[:] = time.monotonic(), step

    keeper = MinuteKeeper(folder, seed=0)
    trial = settings.model_copy(update={"log_steps": 4, "checkpoint_steps": settings.steps})
    fit = Fit(task, settings=trial, lanes=[0], lane_count=1, keeper=keeper, device=task.device)
    done = fit.run(is_stopping=is_stopping, on_step=on_step)
    _wait(task.device)
    return (done - began[1]) / (time.monotonic() - began[0])


def train(task: Task[Any], settings: FitSettings, *, folder: Path, seed: int) -> TrainingState:
    """Train to the end; give the state with settled norm statistics of what is exported."""
    keeper = MinuteKeeper(folder, seed=seed)
    fit = Fit(task, settings=settings, lanes=[0], lane_count=1, keeper=keeper, device=task.device)
    fit.run()
    return fit.state()


def settled(task: Task[Any], state: TrainingState) -> TrainingState:
    """Take norm statistics of the average from data."""
    task.module.load_state_dict(dict(state.ema or state.model))
    settle_norms_of(task, first=state.step, batches=_SETTLE_BATCHES, lanes=1, seed=0)
    return TrainingState(state.step, task.module.state_dict(), {}, {})


def train_tagger(options: argparse.Namespace, data: Data, device: torch.device) -> None:
    """Learn from clips, mine, learn from anchors and clips; with weights to mine with, the latter alone."""
    begun = None if options.begin is None else _tagger_of(options.begin)
    recipe = _tagger_recipe(options, begun)
    known = np.flatnonzero(data.clips.labels.any(axis=0)).tolist()
    write = partial(
        export_tagger,
        segment_seconds=_SEGMENT_SECONDS,
        class_ids=data.vocabulary.classes.ids,
        known_classes=known,
    )
    parameters = None if begun is None else _floats(begun.state_dict())
    mines = None if options.tagger is None else locate_weights(options.tagger)
    if mines is None:
        task = _begun(ResidentTaggerTask(recipe, data.clips, device=device), parameters)
        recipe = _paced(recipe, task, options, seconds=0.45 * options.seconds)
        task = _begun(ResidentTaggerTask(recipe, data.clips, device=device), parameters)
        with _told("tagger, clips"):
            state = settled(task, train(task, recipe.fit, folder=options.work / "tagger-1", seed=0))
            mines = write(state, options.work / "tagger-1-weights", task=task)
        parameters = dict(state.model)
    with _told("mining"):
        anchors, _ = mine(data, mines, device=device)
        print(len(anchors.catalogue), "anchors of", len(anchors.catalogue.classes), "classes", flush=True)
    recipe = recipe.model_copy(
        update={"anchor_share": 0.6, "overlapped": 0.8, "plan": recipe.plan.model_copy(update={"seed": 1})}
    )
    labels = AnchorLabels(anchors, data.vocabulary)
    again = _begun(ResidentTaggerTask(recipe, data.clips, anchors=labels, device=device), parameters)
    rate = 0.5 if options.tagger is None else 1.0
    recipe = _paced(recipe, again, options, seconds=0.45 * options.seconds, rate=rate)
    task = _begun(ResidentTaggerTask(recipe, data.clips, anchors=labels, device=device), parameters)
    with _told("tagger, anchors and clips"):
        state = settled(task, train(task, recipe.fit, folder=options.work / "tagger-2", seed=1))
    output = write(state, options.output, task=task)
    if options.separator_of is not None:
        join(output, read_folder(locate_weights(options.separator_of)), name=options.name)


def _tagger_recipe(options: argparse.Namespace, begun: Panns | None) -> TaggerRecipe:
    channels = tuple(options.channels)
    shape = PannsConfig(
        block_channels=channels,
        embedding_size=channels[-1],
        head="frame",
        pooling="linear_softmax",
        hop_samples=640,
        block_dropout=options.dropout,
        head_dropout=0.3,
    )
    return TaggerRecipe(
        name=f"{options.name}-tagger",
        fit=_fit(options, rate=options.rate or 2e-3),
        plan=PlanSettings(batch_size=options.batch, lanes=1),
        tagger=shape if begun is None else begun.config,
        balanced=True,
        unknown="labels",
        crop_seconds=tuple(options.crops),
        overlapped=0.7,
        augmentation=_AUGMENTATION.model_copy(update={"speed": options.speed}),
        mixup=options.mixup,
    )


def _tagger_of(weights: str) -> Panns:
    found = read_folder(locate_weights(weights)).tagger
    if not isinstance(found, Panns):
        raise DataError(
            f"weights {weights}", expected="a tagger of the PANNs family", found=type(found).__name__
        )
    return found


def _begun(task: ResidentTaggerTask, parameters: Mapping[str, torch.Tensor] | None) -> ResidentTaggerTask:
    if parameters is not None:
        task.module.load_state_dict(dict(parameters))
    return task


def join(folder: Path, separating: Weights, *, name: str) -> None:
    """Put a separator and what steers it beside the tagger of a folder."""
    heard = read_folder(folder)
    save_weights(
        folder,
        {**separating.networks, "tagger": heard.networks["tagger"]},
        name=name,
        specifications=separating.specifications.replace(calibration=heard.specifications.calibration),
        class_means=separating.class_means,
        dtype="float16",
        source={
            "tagger": heard.source,
            "separator": {"sha256": separating.sha256, **(separating.source or {})},
        },
    )


def _floats(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def _paced(
    recipe: TaggerRecipe, task: Task[Any], options: argparse.Namespace, *, seconds: float, rate: float = 1.0
) -> TaggerRecipe:
    before = {name: tensor.clone() for name, tensor in task.module.state_dict().items()}
    steps = options.steps
    if not steps:
        with _told("pace"):
            steps = max(
                20, int(pace(task, recipe.fit, seconds=5.0, folder=options.work / "pace") * (seconds - 6.0))
            )
    task.module.load_state_dict(before)
    optimiser = recipe.fit.optimiser.model_copy(
        update={
            "learning_rate": recipe.fit.optimiser.learning_rate * rate,
            "warmup_steps": min(200, steps // 10),
        }
    )
    fit = recipe.fit.model_copy(update={"steps": steps, "optimiser": optimiser, "checkpoint_steps": steps})
    return recipe.model_copy(update={"fit": fit})


def train_separator(options: argparse.Namespace, data: Data, device: torch.device) -> None:
    """Mine, choose a width, train."""
    began = time.monotonic()
    with _told("mining"):
        anchors, weights = mine(
            data, locate_weights(options.tagger), device=device, all_labels=options.begin is None
        )
        print(len(anchors.catalogue), "anchors of", len(anchors.catalogue.classes), "classes", flush=True)
    begun = None if options.begin is None else _separator_of(options.begin, banded=options.banded)
    chosen, steps = options.widths[0], options.steps
    if not steps:
        chosen, a_second = _choose(options, data, anchors, device=device)
        left = options.seconds - (time.monotonic() - began) - options.end_seconds
        steps = int(a_second * left * _SPARE)
    shape = _shape(chosen, banded=options.banded) if begun is None else begun.config
    recipe = _separator_recipe(options, shape, steps=steps, minute=max(1, steps // 7))
    task = ResidentSeparatorTask(recipe, anchors, vocabulary=data.vocabulary, device=device)
    if begun is not None:
        task.module.separator.load_state_dict(_floats(begun.state_dict()))
    if options.resume is not None:
        resume(task.module, options.resume)
    with _told(f"separator {chosen}, {steps} steps"):
        state = train(task, recipe.fit, folder=options.output.parent / "run", seed=options.seed)
    with _told("export"):
        recipe = recipe.model_copy(update={"fit": recipe.fit.model_copy(update={"compiled": False})})
        task = ResidentSeparatorTask(recipe, anchors, vocabulary=data.vocabulary, device=device)
        export_separator(
            state, options.output, task=task, weights=weights, class_ids=data.vocabulary.classes.ids
        )


def _separator_of(weights: str, *, banded: bool) -> ResUNet | BandedResUNet:
    found = read_folder(locate_weights(weights)).separator
    if not isinstance(found, ResUNet | BandedResUNet):
        raise DataError(f"weights {weights}", expected="a ResUNet that separates", found=type(found).__name__)
    return in_bands(found) if banded and isinstance(found, ResUNet) else found


def _choose(
    options: argparse.Namespace, data: Data, anchors: ResidentAnchors, *, device: torch.device
) -> tuple[str, float]:
    """Try each width; give the last that makes enough items, and its steps a second."""
    found: list[tuple[str, float]] = []
    for width in options.widths:
        recipe = _separator_recipe(
            options, _shape(width, banded=options.banded), steps=1_000_000, minute=1_000_000
        )
        task = ResidentSeparatorTask(recipe, anchors, vocabulary=data.vocabulary, device=device)
        a_second = pace(task, recipe.fit, seconds=options.trial_seconds, folder=options.work / "pace")
        memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0
        print(f"width {width}: {a_second * options.batch:.0f} items/s, {memory:.1f} GiB", flush=True)
        if not found or a_second * options.batch * options.seconds >= options.least_items:
            found.append((width, a_second))
    return found[-1]


def _shape(width: str, *, banded: bool) -> ResUNetConfig | BandedResUNetConfig:
    channels, hop = _WIDTHS[width]
    kind = BandedResUNetConfig if banded else ResUNetConfig
    return kind(
        channels=channels, bottleneck_channels=channels[-1], stem_channels=channels[0], hop_samples=hop
    )


def _separator_recipe(
    options: argparse.Namespace, shape: ResUNetConfig | BandedResUNetConfig, *, steps: int, minute: int
) -> SeparatorRecipe:
    hop = shape.hop_samples
    pooled = hop * 32
    return SeparatorRecipe(
        name=options.name,
        fit=_fit(options, rate=options.rate or 1.5e-3).model_copy(
            update={"steps": steps, "checkpoint_steps": minute, "compiled": options.compiled}
        ),
        plan=PlanSettings(seed=options.seed, batch_size=options.batch, lanes=1),
        mixtures=MixtureSettings(
            two_sources=1.0 - options.three_sources,
            three_sources=options.three_sources,
            snr_range_db=options.snr_range,
            partners="labels",
            absent=options.absent,
            twins=0.1,
            textures=0.2,
            conditions=ConditionShares(own=0.2, masked=0.2, class_mean=0.6),
        ),
        augmentation=_AUGMENTATION.model_copy(update={"speed": options.speed}),
        loss=LossSettings(kind="snr"),
        separator=shape,
        samples=round(_SEGMENT_SECONDS * _RATE) // pooled * pooled - hop,
        leaf_draws=2,
        settle_batches=_SETTLE_BATCHES,
    )


def _fit(options: argparse.Namespace, *, rate: float) -> FitSettings:
    return FitSettings(
        steps=options.steps or 1_000_000,
        optimiser=OptimiserSettings(
            learning_rate=rate, warmup_steps=200, clip_norm=options.clip_norm, weight_decay=0.01
        ),
        ema_decay=options.average,
        bfloat16=options.bfloat16,
        checkpoint_steps=1_000_000,
        log_steps=100,
        prefetch=6,
    )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


@contextmanager
def _told(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - began:.1f} s", flush=True)


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["decode", "tagger", "separator"])
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--name", default="starter")
    parser.add_argument(
        "--seconds", type=float, default=400.0, help="of all that follows the reading of clips"
    )
    parser.add_argument("--steps", type=int, default=0, help="in place of as many as fit in the seconds")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--clip-norm", type=float, default=5.0)
    parser.add_argument("--channels", type=int, nargs="+", default=[32, 64, 128, 256, 384])
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--mixup", action="store_true")
    parser.add_argument(
        "--speed", type=float, default=_AUGMENTATION.speed, help="largest change of a clip's speed"
    )
    parser.add_argument("--crops", type=float, nargs=2, default=[3.0, 10.0], help="seconds of a clip at once")
    parser.add_argument("--begin", help="weights whose tagger, or separator, is trained further")
    parser.add_argument("--tagger", help="weights that mine anchors")
    parser.add_argument("--separator-of", help="weights whose separator goes with the tagger")
    parser.add_argument("--snr-range", type=float, default=5.0, help="dB by which levels of sources differ")
    parser.add_argument("--three-sources", type=float, default=0.2, help="share of items with three of them")
    parser.add_argument("--absent", type=float, default=0.12, help="share of items without their target")
    parser.add_argument("--average", type=float, default=0.999, help="decay of the moving average")
    parser.add_argument("--widths", nargs="+", choices=sorted(_WIDTHS), default=["8", "12", "16"])
    parser.add_argument(
        "--banded", action="store_true", help="bins of high frequencies brought together in bands"
    )
    parser.add_argument("--least-items", type=float, default=200_000)
    parser.add_argument("--trial-seconds", type=float, default=_TRIAL_SECONDS)
    parser.add_argument("--end-seconds", type=float, default=20.0, help="left for the export")
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--bfloat16", action=argparse.BooleanOptionalAction, default=torch.cuda.is_available()
    )
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--most-clips", type=int, help="of each set, for a rehearsal")
    options = parser.parse_args()
    if options.command == "separator" and options.begin and not options.steps:
        parser.error("--begin: a separator that is trained further needs --steps")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # Excerpts for the tagger have many lengths, each of which would be tried.
    torch.backends.cudnn.benchmark = options.command == "separator"
    torch.set_float32_matmul_precision("high")
    try:
        with _told("clips"):
            data = load_data(options.data, options.work, device=device, most=options.most_clips)
        if options.command == "tagger":
            train_tagger(options, data, device)
        elif options.command == "separator":
            train_separator(options, data, device)
    except UssRayError as error:
        raise SystemExit(f"{error}") from error


if __name__ == "__main__":
    main()
