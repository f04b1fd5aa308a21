"""The measures of an estimate by name: which there are, and how one estimate is scored with all that are asked for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Final

import numpy as np
from numpy.typing import NDArray

from uss_ray.audio.resample import BlockResampler
from uss_ray.evaluation.bss_metrics import bss_sdr
from uss_ray.evaluation.metrics import is_silent, sdr, si_sdr, snr
from uss_ray.evaluation.speech_metrics import SPEECH_RATE, composites, pesq_wide_band, segmental_snr, stoi

Waveform = NDArray[np.float32]

ALWAYS: Final = ("sdr", "sdri", "si_sdr", "si_sdri", "snr", "level")
_BSS: Final = ("bss_sdr", "bss_sdri", "bss_sdr_swapped", "bss_sdri_swapped")
_SPEECH: Final = ("ssnr", "pesq", "stoi", "csig", "cbak", "covl")
_OF_PESQ: Final = ("pesq", "csig", "cbak", "covl")
_LEAST_LEVEL_DB = -60.0
OF_SCENES: Final = ("ca_sdri", "capi_sdri", "residual", "false_stems", "missed")
"""Of all that was found in a scene, not of one estimate: see `label_metrics`, and shares of the mixture's energy."""
LESS_IS_BETTER: Final = ("residual", "false_stems", "missed")
OF_TAGS: Final = ("map", "d_prime")
"""Of all clips together, class by class: they have no score a row."""
MEASURES: Final = (*ALWAYS, *_BSS, *_SPEECH, *OF_SCENES)

_PACKAGES: Final = {
    "museval": ("evaluation", _BSS),
    "pystoi": ("evaluation", ("stoi",)),
    "pesq": ("pesq", _OF_PESQ),
}
"""Package -> the extra that it comes with, and what cannot be measured without it."""


def is_by_class(measure: str) -> bool:
    """Whether a measure is told by the median in a class; scenes have no class, and the challenges take the mean."""
    return measure not in OF_SCENES


def not_measurable(measures: Collection[str]) -> dict[str, str]:
    """Name the measures whose package is not installed, with how to install it."""
    return {
        name: f"{package} (pip install 'uss-ray[{extra}]')"
        for package, (extra, names) in _PACKAGES.items()
        if find_spec(package) is None
        for name in names
        if name in measures
    }


@dataclass(frozen=True, eq=False)
class Truth:
    """A target in its mixture; what every estimate of it is compared with is made once.

    Parameters
    ----------
    reference, mixture : ndarray of shape (samples,), dtype=float32
    sample_rate : int
        In Hz.
    """

    reference: Waveform
    mixture: Waveform
    sample_rate: int

    @cached_property
    def is_silent(self) -> bool:
        """Whether no ratio to the target is defined."""
        return is_silent(self.reference)

    @cached_property
    def mixture_sdr(self) -> float:
        """SDR of the mixture, in dB."""
        return float(sdr(self.mixture, self.reference))

    @cached_property
    def mixture_si_sdr(self) -> float:
        """SI-SDR of the mixture, in dB."""
        return float(si_sdr(self.mixture, self.reference))

    @cached_property
    def mixture_bss_sdr(self) -> float | None:
        """SDR of BSSEval of the mixture, in dB."""
        return bss_sdr(self.mixture, self.reference, sample_rate=self.sample_rate)


def score(estimate: Waveform, truth: Truth, *, more: Collection[str] = ()) -> dict[str, float | None]:
    """Score an estimate.

    Parameters
    ----------
    estimate : ndarray of shape (samples,), dtype=float32
    truth : Truth
    more : collection of str, default=()
        Measures beside `ALWAYS`.

    Returns
    -------
    dict of str to (float or None)
        None where a measure is not defined, as of silence, or of an estimate that is not finite.
    """
    found: dict[str, float | None] = dict.fromkeys((*ALWAYS, *more))
    if not np.isfinite(estimate).all():
        return found
    found["level"] = level_db(estimate, truth.mixture)
    if truth.is_silent:
        return found
    own, scale_free = float(sdr(estimate, truth.reference)), float(si_sdr(estimate, truth.reference))
    found |= {
        "sdr": own,
        "sdri": own - truth.mixture_sdr,
        "si_sdr": scale_free,
        "si_sdri": scale_free - truth.mixture_si_sdr,
        "snr": float(snr(estimate, truth.reference)),
    }
    if set(more) & set(_BSS):
        found |= _bss_scores(estimate, truth)
    if set(more) & set(_SPEECH):
        found |= _speech_scores(estimate, truth.reference, truth.sample_rate, set(more))
    return {name: None if value is None or not np.isfinite(value) else value for name, value in found.items()}


def level_db(estimate: Waveform, mixture: Waveform) -> float | None:
    """Give the energy of an estimate by that of its mixture, in dB, not below -60; None of a silent mixture.

    Where the target is not there this is what leaks.
    """
    if is_silent(mixture):
        return None
    one, whole = (float(np.square(sound, dtype=np.float64).sum()) for sound in (estimate, mixture))
    return max(_LEAST_LEVEL_DB, 10 * float(np.log10(max(one / whole, 1e-12))))


def _bss_scores(estimate: Waveform, truth: Truth) -> dict[str, float | None]:
    """Give both orders; the released script takes the estimate for the reference, of the mixture too."""

    def ratio(one: Waveform, other: Waveform) -> float | None:
        return bss_sdr(one, other, sample_rate=truth.sample_rate)

    right, swapped = ratio(estimate, truth.reference), ratio(truth.reference, estimate)
    return {
        "bss_sdr": right,
        "bss_sdri": _difference(right, truth.mixture_bss_sdr),
        "bss_sdr_swapped": swapped,
        "bss_sdri_swapped": _difference(swapped, ratio(truth.mixture, estimate)),
    }


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _speech_scores(
    estimate: Waveform, reference: Waveform, sample_rate: int, wanted: set[str]
) -> dict[str, float | None]:
    to_speech = BlockResampler(sample_rate, SPEECH_RATE)
    found, true = (to_speech.resample(sound[None])[0] for sound in (estimate, reference))
    scores: dict[str, float | None] = {}
    if "ssnr" in wanted:
        scores["ssnr"] = segmental_snr(found, true, sample_rate=SPEECH_RATE)
    if "stoi" in wanted:
        scores["stoi"] = stoi(found, true)
    if wanted & set(_OF_PESQ):
        pesq = pesq_wide_band(found, true)
        opinions: tuple[float | None, ...] = (None, None, None)
        if pesq is not None:
            opinions = composites(found, true, sample_rate=SPEECH_RATE, pesq=pesq)
        scores |= dict(zip(_OF_PESQ, (pesq, *opinions), strict=True))
    return scores
