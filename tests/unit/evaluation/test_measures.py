from __future__ import annotations

import numpy as np
import pytest

from uss_ray.evaluation.measures import ALWAYS, Truth, not_measurable, score

RATE = 16_000
TIME = np.arange(RATE) / RATE
TARGET = (0.2 * np.sin(2 * np.pi * 440 * TIME)).astype(np.float32)
OTHER = (0.2 * np.sin(2 * np.pi * 1000 * TIME)).astype(np.float32)


def scored(estimate: np.ndarray, *more: str) -> dict[str, float | None]:
    return score(estimate, Truth(TARGET, TARGET + OTHER, RATE), more=more)


def test_doing_nothing_is_worth_nothing_and_half_three_decibels() -> None:
    nothing, half = scored(TARGET + OTHER), scored((TARGET + OTHER) / 2)
    assert (nothing["sdri"], nothing["si_sdri"]) == pytest.approx((0.0, 0.0), abs=0.01)
    assert half["sdri"] == pytest.approx(3.01, abs=0.05)
    assert half["si_sdri"] == pytest.approx(0.0, abs=0.01)


def test_of_a_silent_target_nothing_is_defined() -> None:
    found = score(0.1 * OTHER, Truth(TARGET * 0, OTHER, RATE))
    assert found == dict.fromkeys(ALWAYS) | {"level": pytest.approx(-20.0)}  # but for what leaks
    assert score(OTHER * 0, Truth(TARGET, OTHER, RATE))["level"] == -60.0
    assert score(OTHER, Truth(TARGET, OTHER * 0, RATE))["level"] is None


def test_what_is_not_finite_is_not_defined() -> None:
    """A network that breaks down would make every average one that is none."""
    broken = TARGET.copy()
    broken[7] = np.nan
    assert set(scored(broken).values()) == {None}
    blink = slice(0, RATE // 50)  # shorter than a frame of two
    short = score(TARGET[blink], Truth(TARGET[blink], OTHER[blink], RATE))
    assert all(value is None or np.isfinite(value) for value in short.values())


@pytest.mark.slow
def test_both_orders_of_bsseval_are_named() -> None:
    found = scored(TARGET + 0.1 * OTHER, "bss_sdr")
    assert found["bss_sdr"] == pytest.approx(20.0, abs=0.01)
    assert found["bss_sdri"] == pytest.approx(20.0, abs=0.01)
    # the released order: the estimate's energy against the difference
    assert found["bss_sdr_swapped"] == pytest.approx(10 * np.log10(1.01 / 0.01), abs=0.01)


def test_speech_is_scored_at_its_own_rate() -> None:
    rng = np.random.default_rng(0)
    speech = rng.standard_normal(32_000 * 2).astype(np.float32) * 0.1
    found = score(speech, Truth(speech, speech * 2, 32_000), more=("ssnr", "stoi"))
    assert found["ssnr"] == 35.0
    assert found["stoi"] == pytest.approx(1.0)
    assert "pesq" not in found


def test_what_needs_a_compiler_is_scored_where_it_is_installed() -> None:
    pytest.importorskip("pesq")
    rng = np.random.default_rng(0)
    speech = rng.standard_normal(16_000 * 2).astype(np.float32) * 0.1
    found = score(speech, Truth(speech, speech * 2, 16_000), more=("csig",))
    assert {"pesq", "csig", "cbak", "covl"} <= found.keys()


def test_what_a_package_lacks_for_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "uss_ray.evaluation.measures.find_spec", lambda name: None if name == "pesq" else name
    )
    assert not_measurable(("ssnr", "stoi", "pesq", "covl")) == dict.fromkeys(
        ("pesq", "covl"), "pesq (pip install 'uss-ray[pesq]')"
    )
    assert not_measurable(("bss_sdr", "stoi")) == {}
