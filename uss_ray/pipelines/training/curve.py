"""Draw the curve of a run: its loss and, where it is validated, its score, each over the steps, as one SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from uss_ray.pipelines.training.scores import TITLES, score_name

_WIDTH, _HEIGHT, _LEFT, _GAP = 640, 200, 60, 40
_MOST_POINTS = 500


def draw_curve(metrics: Sequence[Mapping[str, Any]], validations: Sequence[Mapping[str, Any]]) -> str:
    """Draw lines of `metrics.jsonl` and `validations.jsonl`."""
    last = max([line["step"] for line in (*metrics, *validations)], default=1)
    panels = [("loss", _points(metrics, "loss"))]
    if validations:
        score = score_name(validations[-1])
        panels.append((TITLES[score], _points(validations, score)))
    height = len(panels) * (_HEIGHT + _GAP) + _GAP
    drawn = [
        _panel(title, points, last=last, top=_GAP + number * (_HEIGHT + _GAP))
        for number, (title, points) in enumerate(panels)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + 20} {height}" '
        f'font-family="sans-serif" font-size="12" fill="#333">\n<rect width="100%" height="100%" fill="#fff"/>\n'
        + "\n".join(drawn)
        + "\n</svg>\n"
    )


def _points(lines: Sequence[Mapping[str, Any]], name: str) -> list[tuple[int, float]]:
    """Take at most some hundred lines, evenly, the last among them."""
    every = max(1, -(-len(lines) // _MOST_POINTS))
    return [(line["step"], line[name]) for line in lines[::-1][::every][::-1]]


def _panel(title: str, points: Sequence[tuple[int, float]], *, last: int, top: int) -> str:
    values = [value for _, value in points] or [0.0]
    low, high = min(values), max(values)
    if high == low:
        low, high = low - 0.5, high + 0.5
    spots = [
        (_LEFT + _WIDTH * step / last, top + _HEIGHT * (high - value) / (high - low))
        for step, value in points
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="#06c"/>' for x, y in spots[-50:])
    bottom = top + _HEIGHT
    latest = f": {points[-1][1]:.3g} at step {points[-1][0]}" if points else ""
    return (
        f'<text x="{_LEFT}" y="{top - 8}">{title}{latest}</text>'
        f'<path d="M{_LEFT},{top}V{bottom}H{_LEFT + _WIDTH}" fill="none" stroke="#999"/>'
        f'<text x="{_LEFT - 6}" y="{top + 10}" text-anchor="end">{high:.3g}</text>'
        f'<text x="{_LEFT - 6}" y="{bottom}" text-anchor="end">{low:.3g}</text>'
        f'<text x="{_LEFT + _WIDTH}" y="{bottom + 16}" text-anchor="end">step {last}</text>'
        f'<polyline points="{line}" fill="none" stroke="#06c" stroke-width="1.5"/>{dots}'
    )
