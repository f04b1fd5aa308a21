from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from uss_ray.anchors.packed_reader import PackedAnchor
from uss_ray.training.mixing import Item
from uss_ray.training.recipe import AugmentationSettings, MixtureSettings
from uss_ray.training.render import render

SAMPLES = 4000
rng = np.random.default_rng(0)
SOURCES = [
    PackedAnchor(index, 1.0, (level * rng.standard_normal(SAMPLES)).astype(np.float32), None, None)
    for index, level in enumerate((0.3, 0.01, 0.1, 0.05))
]


def item(**values: object) -> Item:
    base = {
        "step": 3,
        "lane": 0,
        "place": 1,
        "target": 0,
        "twin": None,
        "partners": (1,),
        "texture": None,
        "condition": "own",
        "condition_class": 0,
        "is_absent": False,
    }
    return Item(**{**base, **values})


def rendered(wanted: Item, *, samples: int = SAMPLES, seed: int = 0, **settings: object):
    return render(
        wanted,
        [SOURCES[row] for row in wanted.anchors],
        settings=MixtureSettings(**settings),
        augmentation=AugmentationSettings(),
        samples=samples,
        sample_rate=8000,
        seed=seed,
    )


def energy(waveform: np.ndarray) -> float:
    return float(np.square(waveform, dtype=np.float64).sum())


def test_target_and_partner_have_one_energy_within_the_levels_of_training():
    made = rendered(item())
    assert energy(made.mixture - made.target) == pytest.approx(energy(made.target), rel=1e-4)
    level_db = 10 * np.log10(energy(made.target) / SAMPLES)
    assert -35 <= level_db <= -15
    assert np.corrcoef(made.target, SOURCES[0].waveform)[0, 1] == pytest.approx(1)


@pytest.mark.parametrize("partner_db", [-45, -52])
def test_a_quiet_partner_is_matched_however_loud_the_target_becomes(partner_db: float):
    """The limit of 34 dB is one of what was recorded: a target of -20 dBFS may be raised by 5 dB after that."""
    sources = [
        replace(SOURCES[row], waveform=sound * np.float32(10 ** (db / 20) / np.sqrt(np.mean(sound**2))))
        for row, db in ((0, -20.0), (1, partner_db))
        for sound in [SOURCES[row].waveform]
    ]
    raised = 0
    for step in range(30):
        made = render(
            item(step=step),
            sources,
            settings=MixtureSettings(),
            augmentation=AugmentationSettings(),
            samples=SAMPLES,
            sample_rate=8000,
            seed=0,
        )
        raised += energy(made.target) > 4 * energy(sources[0].waveform) / 10**0.2
        assert energy(made.mixture - made.target) == pytest.approx(energy(made.target), rel=1e-3)
    assert raised


def test_levels_that_are_off_leave_the_target_as_recorded():
    made = rendered(item(), target_rms_dbfs=None)
    assert made.target == pytest.approx(SOURCES[0].waveform)
    assert energy(made.mixture - made.target) == pytest.approx(energy(made.target), rel=1e-4)
    made = rendered(item(), target_rms_dbfs=None, levels="recorded")
    assert made.mixture == pytest.approx(SOURCES[0].waveform + SOURCES[1].waveform, abs=1e-6)


def test_partners_keep_the_level_that_they_were_recorded_at():
    made = rendered(item(), levels="recorded")
    recorded = energy(SOURCES[1].waveform) / energy(SOURCES[0].waveform)
    assert energy(made.mixture - made.target) / energy(made.target) == pytest.approx(recorded, rel=1e-3)


def test_levels_of_partners_are_in_their_range_and_differ_by_item():
    ratios = []
    for step in range(40):
        made = rendered(item(step=step), snr_range_db=5.0)
        ratios.append(10 * np.log10(energy(made.mixture - made.target) / energy(made.target)))
    assert -5 <= min(ratios) < -3
    assert 3 < max(ratios) <= 5


def test_a_texture_lies_ten_to_twenty_decibels_below():
    for step in range(10):
        with_texture = rendered(item(step=step, texture=2, partners=()))
        ratio = 10 * np.log10(
            energy(with_texture.mixture - with_texture.target) / energy(with_texture.target)
        )
        assert -20 <= ratio <= -10


def test_the_target_of_what_is_absent_is_silence_and_its_mixture_is_none():
    there, absent = rendered(item()), rendered(item(is_absent=True))
    assert not absent.target.any()
    assert (absent.mixture == there.mixture).all()


def test_a_twin_is_part_of_the_target():
    made = rendered(item(twin=3, partners=()))
    assert (made.mixture == made.target).all()
    assert np.corrcoef(made.target, SOURCES[3].waveform)[0, 1] == pytest.approx(0.7, abs=0.05)


def test_a_companion_is_half_of_the_target_and_the_others_are_as_loud_as_one_of_both():
    made = rendered(item(companion=2, companion_class=2))
    rest = made.mixture - made.target
    for source in (0, 2):
        assert np.corrcoef(made.target, SOURCES[source].waveform)[0, 1] == pytest.approx(0.7, abs=0.05)
    assert energy(made.target) / energy(rest) == pytest.approx(2, rel=0.1)
    assert np.corrcoef(rest, SOURCES[1].waveform)[0, 1] == pytest.approx(1)
    recorded = rendered(item(companion=3, companion_class=3), levels="recorded").target
    assert np.corrcoef(recorded, SOURCES[0].waveform + SOURCES[3].waveform)[0, 1] == pytest.approx(1)


def test_the_same_item_is_the_same_sound_and_another_seed_another():
    assert (rendered(item()).mixture == rendered(item()).mixture).all()
    assert (rendered(item()).mixture != rendered(item(), seed=1).mixture).any()
    assert len(rendered(item(), samples=1000).mixture) == 1000
