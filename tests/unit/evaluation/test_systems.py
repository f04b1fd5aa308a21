from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.evaluation.conftest import DOG, RAIN
from uss_ray.errors import ConfigError
from uss_ray.evaluation.items import Item, ItemSource
from uss_ray.evaluation.metrics import sdr_improvement
from uss_ray.evaluation.queries import ByNode, Oracle
from uss_ray.evaluation.sounds import MixedItem
from uss_ray.evaluation.systems import BASELINES, BareSystem, EngineSystem, ForeignSystem, find_events
from uss_ray.separation.engine import SeparationEngine, build_engine
from uss_ray.separation.mixture import ArraySource
from uss_ray.separation.settings import NetworkSettings, SeparationSettings
from uss_ray.separation.targets import SeparationPlan, targets_for_classes
from uss_ray.weights.folder import read_folder

RATE = 32_000


def mixed_item(*, silent: bool = False, seconds: float = 2.0) -> MixedItem:
    time = np.arange(round(seconds * RATE)) / RATE
    target, other = ((0.1 * np.sin(2 * np.pi * hertz * time)).astype(np.float32) for hertz in (440, 3000))
    sources = (
        ItemSource(role="target", path="a", label="Dog", class_id=DOG),
        ItemSource(role="other", path="b", label="Rain", class_id=RAIN),
    )
    item = Item(
        item_id="a",
        label="Dog",
        seconds=seconds,
        sample_rate=RATE,
        protocol="strict",
        seed=0,
        sources=sources,
    )
    if silent:
        target = np.zeros_like(target)
    return MixedItem(item, target + other, {"Dog": target}, RATE)


def test_what_is_beside_every_system_is_where_it_must_be() -> None:
    item = mixed_item()
    gains = {
        system.name: float(
            sdr_improvement(system.separate([item])[0].estimates["Dog"], item.targets["Dog"], item.mixture)
        )
        for system in BASELINES
    }
    assert gains["mixture"] == pytest.approx(0.0, abs=0.01)
    assert gains["half"] == pytest.approx(3.01, abs=0.05)
    assert gains["ideal-ratio-mask"] > 25
    assert gains["wiener-mask"] > 25


def test_the_engine_gives_what_a_user_gets(engine: SeparationEngine, vocabulary) -> None:
    item, longer = mixed_item(), mixed_item(seconds=3.5)
    system = EngineSystem("engine", ByNode(engine, SeparationSettings(), name="class-mean"))
    one, other = system.separate([item, longer])
    plan = SeparationPlan(targets_for_classes(vocabulary, names=[DOG]))
    blocks = engine.stream(
        ArraySource(longer.mixture, sample_rate=RATE),
        plan,
        settings=SeparationSettings(condition="class-mean"),
    )
    whole = np.concatenate([block.estimates[DOG][0] for block in blocks])
    np.testing.assert_array_equal(other.estimates["Dog"], whole)
    assert one.detected == {"Dog": False}
    assert one.estimates["Dog"].any()


def test_events_are_found_without_asking_and_every_known_one_has_its_probability(
    engine: SeparationEngine,
) -> None:
    found = find_events(mixed_item(), engine, settings=SeparationSettings())
    assert set(found.stems) == {RAIN}  # what the tagger always hears
    assert found.probs[RAIN] > 0.9
    assert all(prob <= found.probs[RAIN] for prob in found.probs.values())


def test_the_bare_network_is_the_engine_without_context(engine: SeparationEngine) -> None:
    query = Oracle(engine, SeparationSettings())
    item = mixed_item()
    [bare] = BareSystem(query, segment_seconds=2.0).separate([item])
    [own] = EngineSystem("engine", query).separate([item])
    np.testing.assert_allclose(bare.estimates["Dog"], own.estimates["Dog"], atol=1e-5)


def test_a_bare_network_works_as_the_engine_s_does(
    engine: SeparationEngine, two_means: Path, vocabulary
) -> None:
    networks = NetworkSettings(in_bands=True)
    banded = build_engine(read_folder(two_means), vocabulary=vocabulary, networks=networks)
    item = mixed_item()
    found = [
        system.separate([item])[0].estimates["Dog"]
        for query in (Oracle(each, SeparationSettings()) for each in (banded, engine))
        for system in (BareSystem(query, segment_seconds=2.0), EngineSystem("engine", query))
    ]
    bare_in_bands, own_in_bands, bare, _ = found
    np.testing.assert_allclose(bare_in_bands, own_in_bands, atol=1e-5)
    assert np.abs(bare_in_bands - bare).max() > 1e-3


def test_a_bare_network_needs_a_condition(engine: SeparationEngine) -> None:
    item = mixed_item()
    mean = BareSystem(ByNode(engine, SeparationSettings(), name="class-mean"), segment_seconds=2.0)
    assert mean.separate([item])[0].estimates["Dog"].shape == item.mixture.shape


def test_a_target_that_cannot_be_asked_for_says_why(engine: SeparationEngine) -> None:
    [found] = EngineSystem("engine", Oracle(engine, SeparationSettings())).separate([mixed_item(silent=True)])
    assert not found.estimates
    assert "found none" in found.reasons["Dog"]


def double(mixture: np.ndarray, sample_rate: int, labels: list[str]) -> np.ndarray:
    assert (sample_rate, labels) == (RATE, ["Dog"])
    return mixture[None] * 2


def wrong(mixture: np.ndarray, sample_rate: int, labels: list[str]) -> np.ndarray:
    return mixture


def test_a_function_of_anybodys_is_a_system() -> None:
    item = mixed_item()
    [found] = ForeignSystem(f"{__name__}:double").separate([item])
    np.testing.assert_array_equal(found.estimates["Dog"], item.mixture * 2)
    [nothing] = ForeignSystem(f"{__name__}:wrong").separate([replace(item, targets={})])
    assert not nothing.estimates  # it is not asked where there is nothing to find
    with pytest.raises(ConfigError, match="finite estimates of shape"):
        ForeignSystem(f"{__name__}:wrong").separate([item])
    with pytest.raises(ConfigError, match="expected module:function"):
        ForeignSystem("no_such_module:f")
