"""Numbers to pictures: a spectrogram as a PNG, an activity as SVG shapes, an axis as ticks.

Owns colours and scales; where a picture stands on a page is the template's business.
"""

from __future__ import annotations

import base64
import dataclasses
import itertools
import string
import struct
import zlib
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from uss_ray.results.index.activity import Activity
from uss_ray.results.report.spectrogram import Spectrogram, mel_positions

STRIP_WIDTH = 1000
STRIP_HEIGHT = 16
_STRIP_COLUMNS = 400
_STRIP_FLOOR = 12  # probabilities stand on it, spans lie below
RANGE_DB = 75.0
"""From the brightest colour of a spectrogram to the darkest."""
_LETTERS = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
# From night over sea green to candle light: lightness rises steadily, so the picture also reads in grey.
_COLOUR_STOPS = np.array(
    [
        [9, 12, 20],
        [20, 34, 66],
        [21, 72, 104],
        [30, 118, 128],
        [86, 163, 128],
        [190, 200, 118],
        [253, 240, 196],
    ]
)
_MOST_TICKS = 8
_TICK_STEPS_SECONDS = (
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    1800,
    3600,
    7200,
)
_TICKS_HZ = (250, 500, 1000, 2000, 4000, 8000, 16000, 32000, 64000)


@dataclasses.dataclass(frozen=True)
class Tick:
    """A mark on an axis.

    Parameters
    ----------
    percent : float
        Position in [0, 100].
    label : str
        What stands there.
    """

    percent: float
    label: str


def spectrogram_png(spectrogram: Spectrogram, *, top_db: float) -> bytes:
    """Draw a spectrogram, one pixel a band and column.

    Parameters
    ----------
    spectrogram : Spectrogram
        What to draw.
    top_db : float
        Power of the brightest colour; the darkest is 75 dB below. Give all pictures of a page the same
        and they can be compared.

    Returns
    -------
    bytes
        A PNG file of 256 colours, low frequencies at the bottom.
    """
    scaled = np.clip((spectrogram.power_db - top_db) / RANGE_DB + 1.0, 0.0, 1.0)
    return _png(np.rint(scaled[::-1] * 255).astype(np.uint8), colours=palette())


def data_uri(data: bytes, *, media_type: str) -> str:
    """Put a file into an address that needs no other file."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def activity_path(activity: Activity, *, total_seconds: float) -> str:
    """Draw probabilities as the outline of an area: the higher, the more probable.

    Parameters
    ----------
    activity : Activity
        Of one node.
    total_seconds : float
        Length of the recording, > 0.

    Returns
    -------
    str
        An SVG path of at most 400 steps in a field of `STRIP_WIDTH` by `STRIP_HEIGHT`; empty where nothing was tagged,
        or next to nothing was found.
    """
    steps, step_seconds = _strip_steps(activity)
    heights = np.rint(steps * _STRIP_FLOOR).astype(int)
    scale = step_seconds * STRIP_WIDTH / total_seconds
    return "".join(
        f"M{_place(start * scale)} {_STRIP_FLOOR}V{_STRIP_FLOOR - height}H{_place(stop * scale)}V{_STRIP_FLOOR}z"
        for start, stop, height in _runs(heights)
        if height > 0
    )


def activity_code(activity: Activity) -> tuple[str, float]:
    """Write probabilities as a letter a step, to be read out where somebody points.

    Returns
    -------
    str
        Letters of base64, from ``A`` for 0 to ``/`` for 1, at most 400 of them; empty where nothing was tagged.
    float
        Duration of a step in seconds.
    """
    if not np.isfinite(activity.probabilities).any():
        return "", 0.0
    steps, step_seconds = _strip_steps(activity)
    return "".join(
        _LETTERS[place] for place in np.rint(steps * (len(_LETTERS) - 1)).astype(int)
    ), step_seconds


def _strip_steps(activity: Activity) -> tuple[npt.NDArray[np.float32], float]:
    """Pool probabilities to what a strip has room for; with the duration of a step."""
    probs = activity.probabilities
    per_step = max(1, -(-len(probs) // _STRIP_COLUMNS))
    padded = np.pad(np.nan_to_num(probs), (0, -len(probs) % per_step))
    return padded.reshape(-1, per_step).max(axis=1), activity.column_seconds * per_step


def spans_path(spans: Iterable[tuple[float, float]], *, total_seconds: float) -> str:
    """Draw active spans as a line under the probabilities; each is seen, however short, and neighbours are joined."""
    joined: list[list[int]] = []
    for start, end in spans:
        first = min(STRIP_WIDTH - 1, int(start / total_seconds * STRIP_WIDTH))
        last = max(first + 1, min(STRIP_WIDTH, round(end / total_seconds * STRIP_WIDTH)))
        if joined and first <= joined[-1][1]:
            joined[-1][1] = max(last, joined[-1][1])
        else:
            joined.append([first, last])
    return "".join(f"M{first} {STRIP_HEIGHT}v-3H{last}v3z" for first, last in joined)


def _place(x: float) -> str:
    return f"{min(x, STRIP_WIDTH):.1f}".removesuffix(".0")


def time_ticks(total_seconds: float) -> list[Tick]:
    """Choose round times for the axis of a recording.

    Examples
    --------
    >>> [tick.label for tick in time_ticks(95.0)]
    ['0:00', '0:15', '0:30', '0:45', '1:00', '1:15', '1:30']
    """
    step = next((step for step in _TICK_STEPS_SECONDS if total_seconds / step <= _MOST_TICKS), None)
    if step is None:
        step = 3600.0 * -(-total_seconds // (3600 * _MOST_TICKS))
    count = int(total_seconds / step) + 1
    return [Tick(100 * i * step / total_seconds, time_text(i * step, step=step)) for i in range(count)]


def frequency_ticks(top_hz: float) -> list[Tick]:
    """Choose round frequencies that stand apart; positions count from the bottom."""
    ticks = [hz for hz in _TICKS_HZ if top_hz / 64 < hz < 0.9 * top_hz]
    positions = mel_positions(ticks, top_hz=top_hz)
    labels = [f"{hz // 1000} kHz" if hz >= 1000 else f"{hz} Hz" for hz in ticks]
    return [Tick(100 * float(place), label) for place, label in zip(positions, labels, strict=True)]


def time_text(seconds: float, *, step: float = 1.0) -> str:
    """Write a time as `m:ss` or `h:mm:ss`, with decimals where `step` has them.

    Examples
    --------
    >>> time_text(62.5, step=0.5), time_text(3600), time_text(0.25, step=0.05)
    ('1:02.5', '1:00:00', '0:00.25')
    """
    decimals = 0 if step >= 1 else 1 if step >= 0.1 else 2
    units = round(seconds * 10**decimals)
    whole, fraction = divmod(units, 10**decimals)
    minutes, secs = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}:{minutes:02d}:{secs:02d}" if hours else f"{minutes}:{secs:02d}"
    return f"{text}.{fraction:0{decimals}d}" if decimals else text


def _runs(steps: npt.NDArray[np.int_]) -> Iterator[tuple[int, int, int]]:
    edges = np.flatnonzero(np.diff(steps)) + 1
    bounds = [0, *edges.tolist(), len(steps)]
    for start, stop in itertools.pairwise(bounds):
        if start < stop:
            yield start, stop, int(steps[start])


def palette() -> npt.NDArray[np.uint8]:
    """Give the colours of a spectrogram from the darkest to the brightest, of shape (256, 3)."""
    stops = np.linspace(0, 255, len(_COLOUR_STOPS))
    channels = [np.interp(np.arange(256), stops, _COLOUR_STOPS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)


def _png(pixels: npt.NDArray[np.uint8], *, colours: npt.NDArray[np.uint8]) -> bytes:
    """Write an image of 256 colours (PNG specification, section 11)."""
    height, width = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    lines = np.pad(pixels, ((0, 0), (1, 0))).tobytes()  # each line starts with its filter type, 0
    chunks = [
        (b"IHDR", header),
        (b"PLTE", colours.tobytes()),
        (b"IDAT", zlib.compress(lines, 9)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
