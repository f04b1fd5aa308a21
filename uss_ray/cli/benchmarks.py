"""`uss-ray evaluate list`, `check`: what there is of a benchmark, and what of it is scored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field

from uss_ray.cli.command import JSON, STORAGE_NAME, Command
from uss_ray.config import Location, Name, Settings
from uss_ray.errors import ConfigError, DataError
from uss_ray.evaluation.request import Variation
from uss_ray.store.options import Storage, StoreOptions
from uss_ray.store.store import Store

if TYPE_CHECKING:
    from uss_ray.evaluation.benchmarks.benchmark import Benchmark

_SOME_MISSING = 8
_NONE_THERE = 9
_LABELS_SHOWN = 12

_BENCHMARK = (
    "One of audiosep, audioset, clapsep, dcase2025, dcase2026, esc50, fsd50k, fsdkaggle2018, mini, musdb18, "
    "musdb18-hq, open-scenes, scenes, slakh2100, tagging, voicebank."
)
_DATA = "Folder or URI of its data, in the layout that they are published in."
_SPLIT = "Split of the data; without it the one that is scored."


class DrawList(Settings):
    """Draw the list of a benchmark: which files are mixed, and how; the same each time."""

    benchmark: Location = Field(
        description=f"{_BENCHMARK} A data set in AudioSet's format by its folder alone stands for mini."
    )
    data: Location | None = Field(default=None, description=_DATA)
    protocol: Literal["published", "strict"] | None = Field(
        default=None,
        description="published: as the released scripts draw and mix, with what is wrong in them. strict: unrelated "
        "classes only, nothing rounded. Without it strict.",
    )
    split: Name | None = Field(
        default=None, description=f"{_SPLIT} Lists of training splits are for class means."
    )
    seed: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="Of the drawing; without it 1234 (published) or 0 (strict)."
    )
    allow_missing: bool = Field(default=False, description="Leave out what is not there, and count it.")
    classes: Location | None = Field(
        default=None,
        description="Keep targets of these classes of the ontology alone: a text file, a class a line, by label or id.",
    )
    variation: Variation = Field(
        default_factory=Variation, description="For curves of robustness: each mixture again, varied."
    )
    output: Location = Field(description="Parquet file to write; with .csv, mini's pairs as CSV.")
    storage: Storage = StoreOptions()


class CheckBenchmark(Settings):
    """Tell how much of a benchmark's data is there. Exit code 8: some is missing or broken, 9: all of it."""

    benchmark: str = Field(description=_BENCHMARK)
    data: Location = Field(description=_DATA)
    split: Name | None = Field(default=None, description=_SPLIT)
    storage: Storage = StoreOptions()


LIST: Final = Command(
    name="evaluate list",
    model=DrawList,
    positionals={"benchmark": "BENCHMARK"},
    short={"output": "-o"},
    names={
        "storage": STORAGE_NAME,
        **{
            f"variation.{name}": f"vary-{name.replace('_', '-')}" for name in ("snr_db", "sources", "seconds")
        },
    },
    lists=("variation.snr_db", "variation.sources", "variation.seconds"),
)
CHECK: Final = Command(
    name="evaluate check",
    model=CheckBenchmark,
    positionals={"benchmark": "BENCHMARK"},
    names={"storage": STORAGE_NAME},
    extras={"json": JSON},
)


def draw_benchmark_list(arguments: Sequence[str]) -> int:
    """Draw the list, and say where it is."""
    asked, _ = LIST.read(arguments)

    from uss_ray.cli.display import say
    from uss_ray.datasets.held_out import read_class_list
    from uss_ray.evaluation.benchmarks.known import PAIRS_BENCHMARK, PAIRS_SUFFIX, draw_list
    from uss_ray.evaluation.protocol import write_list
    from uss_ray.ontology.vocabulary import Vocabulary

    benchmark, data = find(asked.benchmark, asked.data)
    if benchmark.card.name == PAIRS_BENCHMARK and asked.output.casefold().endswith(PAIRS_SUFFIX):
        lacks = {  # a list of pairs is of the split that is scored, strict, and whole
            "--classes": asked.classes is not None,
            "--vary-…": asked.variation != Variation(),
            "--split": asked.split not in (None, benchmark.card.splits[0]),
            "--protocol": asked.protocol not in (None, "strict"),
            "--allow-missing": asked.allow_missing,
        }
        for flag in (name for name, is_asked in lacks.items() if is_asked):
            raise ConfigError(f"evaluate list {flag}", expected="a Parquet file to write", found=asked.output)
        say(f"{write_list(Path(data), Path(asked.output), seed=asked.seed or 0)} pairs: {asked.output}")
        return 0
    listed = draw_list(
        benchmark,
        Store(data, asked.storage, DataError),
        protocol=asked.protocol,
        split=asked.split,
        seed=asked.seed,
        allow_missing=asked.allow_missing,
        variation=asked.variation,
    )
    if asked.classes is not None:
        classes = Store(asked.classes, asked.storage, DataError)
        listed = listed.only(read_class_list(classes, vocabulary=Vocabulary.load()))
    Store(asked.output, asked.storage).put(listed.to_parquet())
    missing = f", {listed.missing} left out" if listed.missing else ""
    say(f"{len(listed.items)} items of {benchmark.card.title}, {listed.protocol}, {listed.split}{missing}")
    say(f"{asked.output}, sha256 {listed.sha256}")
    return 0


def find(name: str, data: str | None) -> tuple[Benchmark, str]:
    """Give the benchmark and where its data are; a folder alone stands for mini."""
    from uss_ray.evaluation.benchmarks.known import BENCHMARKS, PAIRS_BENCHMARK, find_benchmark

    if data is None:
        if name in BENCHMARKS:
            raise ConfigError(
                "uss-ray evaluate --data", expected="where the data of the benchmark are", found="none"
            )
        return find_benchmark(PAIRS_BENCHMARK), name
    return find_benchmark(name), data


def check_benchmark(arguments: Sequence[str]) -> int:
    """Compare tables and files, and show what there is."""
    asked, extras = CHECK.read(arguments)

    from uss_ray.cli.display import say, show_table

    benchmark, _ = find(asked.benchmark, asked.data)
    card = benchmark.card
    if not extras.get("json"):  # before the look: who has another layout wants to know the right one
        say(f"{card.title}, revision {card.revision}. {card.licence}. {card.citation}.")
        say(f"Layout: {card.layout}")
        if card.assumed:
            say(f"Assumed: {card.assumed}")
    found = benchmark.check(Store(asked.data, asked.storage, DataError), asked.split or card.splits[0])
    if extras.get("json"):
        say(json.dumps({**asdict(card), **asdict(found)}, indent=2))
    else:
        shown = sorted(found.labels.items(), key=lambda label: (-label[1], label[0]))
        show_table(
            ("Label", "Files"),
            [(label, str(count)) for label, count in shown[:_LABELS_SHOWN]],
            title=f"{min(len(shown), _LABELS_SHOWN)} of {len(shown)} labels",
            right=("Files",),
        )
        for path in found.missing:
            say(f"missing: {path}")
        for reason in found.unreadable:
            say(f"unreadable: {reason}")
        for rate, count in found.rates.items():
            odd = f", expected {card.sample_rate}" if card.sample_rate not in (0, rate) else ""
            say(f"{rate} Hz: {count} of the files that were opened{odd}")
        say(f"{found.found} of {found.expected} files are there: {found.share:.1%}")
    if not found.found:
        return _NONE_THERE
    return _SOME_MISSING if found.found < found.expected or found.unreadable else 0
