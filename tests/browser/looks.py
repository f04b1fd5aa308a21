"""Contrast of colours as WCAG 2.2 reckons it."""

from __future__ import annotations

import re


def contrast(one: str, other: str) -> float:
    """Reckon the contrast of two opaque colours that a browser computed, such as `rgb(9, 12, 20)`; in [1, 21]."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(number) / 255 for number in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
