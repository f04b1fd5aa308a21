"""The benchmarks by name; a module is loaded when it is asked for."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Final, cast

from uss_ray.datasets.decode import MODEL_RATE
from uss_ray.errors import ConfigError
from uss_ray.evaluation.benchmarks.benchmark import Benchmark, Draw, Files
from uss_ray.evaluation.benchmarks.robustness import varied
from uss_ray.evaluation.items import EvaluationList, ItemSource, Protocol
from uss_ray.evaluation.pairs import read_pairs
from uss_ray.evaluation.request import Variation
from uss_ray.evaluation.sounds import SoundShelf
from uss_ray.mixtures import matching_gain
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.store.store import Location, Store

BENCHMARKS: Final = {
    "audiosep": ("text_queried", "AudioSep"),
    "audioset": ("audioset", "AudioSet"),
    "clapsep": ("text_queried", "ClapSep"),
    "dcase2025": ("dcase", "Dcase2025"),
    "dcase2026": ("dcase", "Dcase2026"),
    "esc50": ("esc50", "Esc50"),
    "fsd50k": ("fsd50k", "Fsd50k"),
    "fsdkaggle2018": ("fsdkaggle2018", "FsdKaggle2018"),
    "mini": ("mini", "Mini"),
    "musdb18": ("musdb18", "Musdb18"),
    "musdb18-hq": ("musdb18", "Musdb18Hq"),
    "open-scenes": ("mini", "OpenScenes"),
    "scenes": ("mini", "Scenes"),
    "slakh2100": ("slakh2100", "Slakh2100"),
    "tagging": ("tagging", "Tagging"),
    "voicebank": ("voicebank", "Voicebank"),
}

PAIRS_BENCHMARK: Final = "mini"
PAIRS_SUFFIX: Final = ".csv"
"""What its lists may be written as too."""

PUBLISHED_SEED: Final = 1234


def find_benchmark(name: str) -> Benchmark:
    """Give a benchmark by its name.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    if name not in BENCHMARKS:
        raise ConfigError("benchmark", expected=" or ".join(BENCHMARKS), found=name)
    module, kind = BENCHMARKS[name]
    return cast(Benchmark, getattr(import_module(f"{__package__}.{module}"), kind)())


def draw_list(
    benchmark: Benchmark,
    data: Store,
    *,
    protocol: Protocol | None = None,
    split: str | None = None,
    seed: int | None = None,
    allow_missing: bool = False,
    variation: Variation | None = None,
) -> EvaluationList:
    """Draw the list of a benchmark from its data.

    Parameters
    ----------
    benchmark : Benchmark
    data : Store
        Root of the data.
    protocol, split : str, optional
        By default the last protocol that it has, and the first split.
    seed : int, optional
        By default 1234 for the published protocol, as in the released scripts, and 0 for the strict one.
    allow_missing : bool, default=False
        Leave out what is not there, and count it.
    variation : Variation, optional
        For curves of robustness.

    Raises
    ------
    ConfigError, DataError
        As of `Benchmark.list` and `robustness.varied`.
    """
    chosen = protocol or benchmark.card.protocols[-1]
    draw = draw_of(
        data,
        split=split or benchmark.card.splits[0],
        protocol=chosen,
        seed=seed if seed is not None else (PUBLISHED_SEED if chosen == "published" else 0),
    )
    listed = benchmark.list(draw, allow_missing=allow_missing)
    if variation is None:
        return listed
    return replace(listed, items=tuple(varied(listed.items, variation, draw)))


def list_of_pairs(location: Location | Store, data: Store) -> EvaluationList:
    """Read a list of pairs in CSV, as `uss-ray evaluate list` writes it of mini, and name its files below the data.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    from uss_ray.evaluation.benchmarks.mini import Mini, items_of_pairs

    card = Mini.card
    draw = draw_of(data, split=card.splits[0], protocol=card.protocols[0], seed=0)
    items = items_of_pairs(read_pairs(location), draw)
    return EvaluationList(
        benchmark=card.name, split=draw.split, protocol=draw.protocol, seed=draw.seed, items=tuple(items)
    )


def draw_of(
    data: Store,
    *,
    split: str,
    protocol: Protocol,
    seed: int,
    vocabulary: Vocabulary | None = None,
    sounds: SoundShelf | None = None,
) -> Draw:
    """List a data set, for lists to be drawn of it.

    Parameters
    ----------
    data : Store
        Its root.
    split : str
    protocol : {"published", "strict"}
    seed : int
    vocabulary : Vocabulary, optional
    sounds : SoundShelf, optional
        What gains are made from; without it one of its own.
    """
    shelf = sounds or SoundShelf(data)

    def gain(target: ItemSource, other: ItemSource) -> float:
        one, two = (
            shelf.piece(source, sample_rate=MODEL_RATE, protocol=protocol)[0] for source in (target, other)
        )
        return float(matching_gain(one, two))

    return Draw(
        data=data,
        files=Files.of(data),
        split=split,
        protocol=protocol,
        seed=seed,
        vocabulary=vocabulary or Vocabulary.load(),
        gain=gain,
    )
