"""One HTML page for a mining run, complete in one file: how many anchors of what, how good, and some to look at.

Owns what the page says; how it looks is in `templates/mining_report.html.j2`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow as pa

from uss_ray.anchors.anchor import Anchor
from uss_ray.anchors.manifest import MiningManifest
from uss_ray.anchors.stream import AnchorShards
from uss_ray.audio.pcm import to_float
from uss_ray.errors import DataError
from uss_ray.results.report.pictures import Tick, data_uri, frequency_ticks, spectrogram_png
from uss_ray.results.report.preview import PreviewEncoder
from uss_ray.results.report.spectrogram import SpectrogramMeter
from uss_ray.results.report.template import template
from uss_ray.store.store import Location, Store

REPORT_NAME = "report.html"
_SEED = 0  # which anchors are shown
_BINS = 20
_LEAST_INTRUDER = 0.05
_TICK_PERCENT = 14.0  # what a small picture needs between two labels
_REASONS = {
    "missing": "no audio was found for the clip",
    "broken": "the clip's audio could not be decoded",
    "short": "the clip is shorter than an anchor",
    "silent": "quieter than the level of silence",
    "improbable": "score below min_probability",
    "impure": "purity below min_purity",
    "too pure": "purity above max_purity",
}


@dataclass(frozen=True)
class _Bar:
    """A bar of a histogram, heights in per cent of the highest."""

    low: float
    high: float
    count: int
    height: float


@dataclass(frozen=True)
class _Line:
    """A class in the table."""

    label: str
    count: int
    width: float
    score: float
    purity: float


@dataclass(frozen=True)
class _Example:
    """An anchor to look at and listen to."""

    anchor: Anchor
    label: str
    place: str
    others: str
    intruder: str
    picture: str
    sound: str


def write_mining_report(root: Location | Store, *, labels: Sequence[str], examples: int = 12) -> str:
    """Write the page of a finished run beside its manifest.

    Parameters
    ----------
    root : Store, str or path
        Output root of the run.
    labels : sequence of str
        Display name of each class index.
    examples : int, default=12
        How many anchors to show, each of another class as far as there are classes.

    Returns
    -------
    str
        Where the page is.

    Raises
    ------
    DataError
        If there is no manifest, or a shard is damaged.
    OutputError
        If the page cannot be written.
    """
    shards = AnchorShards(root)
    if shards.manifest is None:
        raise DataError(str(root), expected="a finished mining run (manifest.json)", found="none")
    html = _render(shards, shards.manifest, labels=labels, examples=examples)
    page = Store.of(root) / REPORT_NAME
    page.put(html.encode("utf-8", "replace"))
    return str(page)


def _render(shards: AnchorShards, manifest: MiningManifest, *, labels: Sequence[str], examples: int) -> str:
    tally = _Tally(len(labels))
    for table in shards.columns(["class_index", "score", "purity", "samples"]):
        tally.add(table)
    top_hz = manifest.sample_rate / 2
    shown = _examples(shards, labels=labels, count=examples)
    counts = list(manifest.counts.values())
    return template("mining_report.html.j2").render(
        manifest=manifest,
        hours=f"{tally.samples / manifest.sample_rate / 3600:.2f}",
        classes=len(counts),
        median=f"{np.median(counts):g}" if counts else "0",
        lines=tally.lines(labels),
        empty=len(labels) - len(counts),
        histograms=[
            ("Score", "mean probability of the class in the anchor", _bars(tally.scores)),
            ("Purity", "1 − the mean probability of the strongest unrelated class", _bars(tally.purities)),
        ],
        rejects=_reject_lines(manifest.rejects),
        examples=shown,
        ticks=_ticks(top_hz),
        top_khz=f"{top_hz / 1000:g}",
        settings=_settings(manifest),
        shard_megabytes=f"{sum(shard.bytes for shard in manifest.shards) / 1e6:,.1f}",
    )


def _settings(manifest: MiningManifest) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for name, value in manifest.settings.items():
        inner = value if isinstance(value, Mapping) else {"": value}
        lines += [(f"{name}.{key}" if key else name, str(found)) for key, found in inner.items()]
    return lines


class _Tally:
    """Sums over anchors, in memory that does not grow with their number."""

    def __init__(self, classes: int) -> None:
        self.samples = 0
        self.scores = np.zeros(_BINS, np.int64)
        self.purities = np.zeros(_BINS, np.int64)
        self._counts = np.zeros(classes, np.int64)
        self._sums = np.zeros((2, classes))

    def add(self, table: pa.Table) -> None:
        index = table["class_index"].to_numpy()
        for row, (name, histogram) in enumerate((("score", self.scores), ("purity", self.purities))):
            values = table[name].to_numpy()
            histogram += np.histogram(values, bins=_BINS, range=(0.0, 1.0))[0]
            self._sums[row] += np.bincount(index, weights=values, minlength=self._counts.size)
        self._counts += np.bincount(index, minlength=self._counts.size)
        self.samples += int(table["samples"].to_numpy().astype(np.int64).sum())

    def lines(self, labels: Sequence[str]) -> list[_Line]:
        there = np.flatnonzero(self._counts)
        order = sorted(there.tolist(), key=lambda index: (-self._counts[index], labels[index]))
        most = max(int(self._counts.max(initial=0)), 1)
        return [
            _Line(
                label=labels[index],
                count=int(self._counts[index]),
                width=100 * float(self._counts[index]) / most,
                score=float(self._sums[0, index] / self._counts[index]),
                purity=float(self._sums[1, index] / self._counts[index]),
            )
            for index in order
        ]


def _bars(counts: np.ndarray) -> list[_Bar]:
    highest = max(int(counts.max()), 1)
    return [
        _Bar(number / _BINS, (number + 1) / _BINS, int(count), 100 * float(count) / highest)
        for number, count in enumerate(counts)
    ]


def _reject_lines(rejects: Mapping[str, int]) -> list[tuple[str, str, int, float]]:
    most = max(rejects.values(), default=1)
    ordered = sorted(rejects.items(), key=lambda item: -item[1])
    return [(reason, _REASONS.get(reason, ""), count, 100 * count / most) for reason, count in ordered]


def _examples(shards: AnchorShards, *, labels: Sequence[str], count: int) -> list[_Example]:
    if not shards.counts or count < 1:
        return []
    chosen = np.random.default_rng(_SEED).permutation(list(shards.counts))[:count]
    stream = shards.balanced_stream(seed=_SEED, classes=[int(index) for index in chosen])
    anchors = sorted(islice(stream, count), key=lambda anchor: labels[anchor.class_index])
    return [_example(anchor, labels=labels) for anchor in anchors]


def _example(anchor: Anchor, *, labels: Sequence[str]) -> _Example:
    sound = to_float(anchor.waveform)[None]
    meter = SpectrogramMeter(anchor.sample_rate, frames=sound.shape[1])
    meter.add(sound)
    spectrogram = meter.result()
    picture = spectrogram_png(spectrogram, top_db=spectrogram.top_db)
    with PreviewEncoder(anchor.sample_rate, channels=1, max_seconds=anchor.seconds) as encoder:
        encoder.write(sound)
        preview = encoder.result()
    start = anchor.start_sample / anchor.sample_rate
    others = [labels[index] for index in anchor.label_indexes if index != anchor.class_index]
    strength = 1.0 - anchor.purity
    intruder = ""
    if anchor.intruder_index is not None and strength >= _LEAST_INTRUDER:
        intruder = f"{labels[anchor.intruder_index]} {strength:.2f}"
    return _Example(
        anchor=anchor,
        label=labels[anchor.class_index],
        place=f"{start:.2f}–{start + anchor.seconds:.2f} s",
        others=", ".join(others),
        intruder=intruder,
        picture=data_uri(picture, media_type="image/png"),
        sound=data_uri(preview, media_type="audio/mpeg"),
    )


def _ticks(top_hz: float) -> list[Tick]:
    kept: list[Tick] = []
    for tick in frequency_ticks(top_hz):
        if not kept or tick.percent - kept[-1].percent >= _TICK_PERCENT:
            kept.append(tick)
    return kept
