"""Curves of robustness: the items of a list again at other levels, with more sources, and of other lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from uss_ray.errors import ConfigError, DataError
from uss_ray.evaluation.benchmarks.benchmark import Draw, generator
from uss_ray.evaluation.items import Item, ItemSource
from uss_ray.evaluation.request import Variation

_TRIES = 200


def varied(items: Sequence[Item], variation: Variation, draw: Draw) -> list[Item]:
    """Give a list's items as they are asked for.

    Parameters
    ----------
    items : sequence of Item
        Of one target and one other source.
    variation : Variation
    draw : Draw
        That they were drawn with.

    Raises
    ------
    ConfigError
        If something is to be varied and the items are no mixtures of two.
    DataError
        If an item finds no further source of another class.
    """
    if variation == Variation():
        return list(items)
    for item in items:
        if [source.role for source in item.sources] != ["target", "other"]:
            raise ConfigError(
                "varied list", expected="mixtures of a target and another source", found=item.item_id
            )
    others = sorted({replace(item.sources[1], gain=1.0) for item in items}, key=_place)
    found = []
    for item in items:
        target, other = item.sources
        for snr_db in variation.snr_db:
            louder = replace(other, gain=other.gain * 10 ** (-snr_db / 20))
            found.append(_named(item, f"snr {snr_db:g}", (target, louder)))
        for count in variation.sources:
            more = _further(item, others, count - 2, draw)
            found.append(_named(item, f"sources {count}", (*item.sources, *more)))
        for seconds in variation.seconds:
            one, two = (replace(source, seconds=seconds) for source in item.sources)
            longer = (one, replace(two, gain=draw.gain(one, two)))
            found.append(replace(_named(item, f"seconds {seconds:g}", longer), seconds=seconds))
    return found


def _named(item: Item, name: str, sources: tuple[ItemSource, ...]) -> Item:
    return replace(item, item_id=f"{item.item_id}/{name}", sources=sources)


def _place(source: ItemSource) -> tuple[str, float]:
    return source.path, source.start_seconds


def _further(item: Item, others: Sequence[ItemSource], count: int, draw: Draw) -> list[ItemSource]:
    """Draw further sources; the same ones come first however many there are."""
    rng = generator(draw.seed, item.item_id, "sources")
    found = list(item.sources)
    for _ in range(_TRIES):
        if len(found) == len(item.sources) + count:
            break
        one = others[int(rng.integers(len(others)))]
        if not any(_is_like(one, own, draw) for own in found):
            found.append(replace(one, gain=draw.gain(item.sources[0], one)))
    else:
        raise DataError(item.item_id, expected=f"{count} sources of other classes", found="too few")
    return found[len(item.sources) :]


def _is_like(one: ItemSource, other: ItemSource, draw: Draw) -> bool:
    nodes = draw.vocabulary.ontology.nodes
    if one.path == other.path or one.label == other.label:
        return True
    if one.class_id not in nodes or other.class_id not in nodes:
        return False
    return draw.vocabulary.ontology.related(str(one.class_id), str(other.class_id))
