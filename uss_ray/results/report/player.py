"""The player: one transport for a recording and all its stems, for pages, notebooks and the service alike.

Owns its markup (`templates/player.html.j2`), style (`player.css`) and behaviour (`player.js`, and `files.js` where it
plays files; neither needs a build). What the lanes show and where their sound lies is whoever's who makes a `Score`.
"""

from __future__ import annotations

import base64
import functools
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from uss_ray.results.report.pictures import (
    RANGE_DB,
    STRIP_WIDTH,
    Tick,
    data_uri,
    frequency_ticks,
    palette,
    spans_path,
    spectrogram_png,
    time_text,
    time_ticks,
)
from uss_ray.results.report.preview import PreviewEncoder
from uss_ray.results.report.spectrogram import Spectrogram, SpectrogramMeter
from uss_ray.results.report.template import template

Floats = npt.NDArray[np.float32]
Span = tuple[float, float]

_SHOWN_SPANS = 60
_ALL_SHOWN_SPANS = 3000  # of all lanes together
_KEPT_SPANS = 40_000  # likewise, to go to
PLAYED_SECONDS = 120.0
"""How much of a sound a player in a notebook holds."""

_NO_SOUND = (
    "No sound was kept of this recording: the pictures show what was found, and nothing can be played."
)


@dataclass(frozen=True, kw_only=True)
class LaneFile:
    """A file of a lane's sound.

    Parameters
    ----------
    url : str
        Relative to the page, or a `data:` address.
    start_seconds : float, default=0
        Where in the recording it begins.
    end_seconds : float or None, default=None
        Where it ends; None: with the recording.
    """

    url: str
    start_seconds: float = 0.0
    end_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Link:
    """A file to be opened or saved."""

    url: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Lane:
    """A row of the player: a sound with its name, its picture and when it is there.

    Parameters
    ----------
    name : str
        All names of the sound.
    groups : tuple of str, default=()
        Which mixes it is a part of: of each, all lanes together are what is heard as a whole.
    parent : int, default=0
        Place of the lane above it in the tree; 0 is the recording itself.
    depth : int, default=0
        How deep in the tree it is.
    files : tuple of LaneFile, default=()
        Its sound, in order; none if there is nothing to play.
    note, facts : str
        A short line under the name, a longer one that is folded away.
    picture : str
        Spectrogram over the whole recording as an address; empty for none, `no_picture` then says why.
    is_wave : bool, default=False
        Whether the picture is a waveform instead.
    strip : str
        An SVG path of its probability, from `pictures.activity_path`.
    strip_text : str
        The same in words.
    probs : tuple of (str, float)
        The same to be read out, from `pictures.activity_code`.
    spans : tuple of (float, float)
        Start and end of its events in seconds, in order.
    links : tuple of Link
        Its files.
    is_residual : bool, default=False
        Whether it is what the other lanes of its groups leave of the recording.
    is_recording : bool, default=False
        Whether it is the recording.
    """

    name: str
    groups: tuple[str, ...] = ()
    parent: int = 0
    depth: int = 0
    files: tuple[LaneFile, ...] = ()
    note: str = ""
    facts: str = ""
    picture: str = ""
    is_wave: bool = False
    no_picture: str = ""
    strip: str = ""
    strip_text: str = ""
    probs: tuple[str, float] = ("", 0.0)
    spans: tuple[Span, ...] = ()
    links: tuple[Link, ...] = ()
    is_residual: bool = False
    is_recording: bool = False

    @property
    def summary(self) -> str:
        """What is folded away."""
        count = len(self.spans)
        events = f"{count} event{'' if count == 1 else 's'}" if count else ""
        return " and ".join(part for part in (events, "file" if self.links else "") if part) or "more"

    @staticmethod
    def span_text(span: Span) -> str:
        """Write an event as its start and end."""
        step = 1.0 if all(edge == round(edge) for edge in span) else 0.1
        return f"{time_text(span[0], step=step)}–{time_text(span[1], step=step)}"

    def span_path(self, total_seconds: float) -> str:
        """Draw the events as a part of the strip."""
        return spans_path(self.spans, total_seconds=total_seconds)


@dataclass(frozen=True, kw_only=True)
class Score:
    """A recording and its sounds, one under the other on one axis of time.

    Parameters
    ----------
    seconds : float
        Length of the recording.
    sample_rate : int
        In Hz.
    channels : int
    lanes : tuple of Lane
        The recording first, then all others in the order in which they are shown.
    adds : tuple of str, default=()
        Groups whose lanes add up to the recording, the one that is heard at first in front.
    top_hz : float
        Upper end of the axis of frequencies.
    top_db : float
        Level of the brightest colour of all pictures.
    """

    seconds: float
    sample_rate: int
    channels: int
    lanes: tuple[Lane, ...]
    adds: tuple[str, ...] = ()
    top_hz: float = 0.0
    top_db: float = 0.0
    strip_width: int = field(default=STRIP_WIDTH, init=False)

    @property
    def length_text(self) -> str:
        """The length in words."""
        return time_text(self.seconds, step=0.1)

    @property
    def time_ticks(self) -> list[Tick]:
        """Marks of the axis of time."""
        return time_ticks(self.seconds) if self.seconds else []

    @property
    def frequency_ticks(self) -> list[Tick]:
        """Marks of the axis of frequencies."""
        return frequency_ticks(self.top_hz) if self.top_hz else []

    @functools.cached_property
    def _children(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for place, lane in enumerate(self.lanes[1:], start=1):
            found.setdefault(lane.parent, []).append(place)
        return found

    def children(self, place: int) -> list[int]:
        """Name the lanes right below one in the tree."""
        return self._children.get(place, [])

    @functools.cached_property
    def _digits(self) -> dict[int, int]:
        sounding = (place for place, lane in enumerate(self.lanes) if place and lane.files)
        return {place: digit for digit, place in zip(range(1, 10), sounding, strict=False)}

    def digit(self, place: int) -> int | None:
        """Give the key of a lane: of those that sound, the first nine have one."""
        return self._digits.get(place)

    def shown_spans(self, lane: Lane) -> tuple[Span, ...]:
        """Give the events that have a button of their own."""
        return lane.spans[: max(1, min(_SHOWN_SPANS, _ALL_SHOWN_SPANS // len(self.lanes)))]

    @property
    def _kept_spans(self) -> int:
        return max(1, _KEPT_SPANS // len(self.lanes))

    @property
    def has_branches(self) -> bool:
        """Whether there is a tree to be folded."""
        return any(lane.parent for lane in self.lanes)

    @property
    def left_out(self) -> str:
        """What the page does not hold because it would be too large."""
        kept = self._kept_spans
        long = [lane.name for lane in self.lanes if len(lane.spans) > kept]
        if not long:
            return ""
        names = ", ".join(long[:3]) + (f" and {len(long) - 3} more sounds" if len(long) > 3 else "")
        return f"Of {names} the keys find the first {kept} events; the index has all of them."

    @property
    def data(self) -> dict[str, Any]:
        """What the script needs to know."""
        return {
            "seconds": self.seconds,
            "sampleRate": self.sample_rate,
            "channels": self.channels,
            "adds": list(self.adds),
            "words": {"none": _NO_SOUND},
            "topHz": self.top_hz,
            "decibels": [round(self.top_db - RANGE_DB, 2), round(self.top_db, 2)],
            "colours": base64.b64encode(palette().tobytes()).decode(),
            "lanes": [
                {
                    "name": lane.name,
                    "groups": list(lane.groups),
                    "residual": lane.is_residual,
                    "probs": list(lane.probs),
                    "files": [_file_data(file) for file in lane.files],
                    "spans": [
                        [round(start, 3), round(end, 3)] for start, end in lane.spans[: self._kept_spans]
                    ],
                }
                for lane in self.lanes
            ],
        }


def _file_data(file: LaneFile) -> dict[str, Any]:
    data: dict[str, Any] = {"url": file.url, "start": file.start_seconds}
    return data if file.end_seconds is None else {**data, "end": file.end_seconds}


def player_markup(score: Score, *, keys: Literal["page", "focus"] = "focus", uid: str = "player") -> Markup:
    """Make the markup of a player, without style and script.

    Parameters
    ----------
    score : Score
        What it plays.
    keys : {"page", "focus"}, default="focus"
        Whether its keys work anywhere on the page, or when it has the focus.
    uid : str, default="player"
        An id that no other element of the page has or begins with.

    Returns
    -------
    Markup
        For `player_code` to bring to life.
    """
    return Markup(template("player.html.j2").render(score=score, keys=keys, uid=uid))


def player_style() -> Markup:
    """Give the style sheet of the player."""
    return Markup(_text("player.css"))


def player_script() -> Markup:
    """Give the script of a player of files; it defines `UssRayPlayer`, once however often it runs."""
    return Markup(_text("player.js") + _text("files.js"))


def player_html(
    mixture: npt.ArrayLike,
    stems: Mapping[str, npt.ArrayLike],
    *,
    sample_rate: int,
    residual: npt.ArrayLike | None = None,
    spans: Mapping[str, tuple[Span, ...]] | None = None,
    note: str = "",
) -> str:
    """Make a player of arrays, complete in one piece of HTML, as notebooks show it.

    Parameters
    ----------
    mixture : array_like of shape (samples,) or (channels, samples)
        The recording, in [-1, 1].
    stems : mapping of str to array_like
        Each sound by its name, in the shape of the mixture.
    sample_rate : int
        In Hz.
    residual : array_like, optional
        What the stems leave; with it, the recording can be heard without one of them.
    spans : mapping of str to tuple of (float, float), optional
        Start and end of the events of each sound, in seconds.
    note : str, default=""
        A short line under the recording.

    Returns
    -------
    str
        Pictures, and MP3 copies of the first two minutes: longer sound says so.
    """
    whole = _channels(mixture)
    sounds = {name: _channels(stem) for name, stem in stems.items()}
    picture = _spectrogram(whole, sample_rate)
    top_db = picture.top_db
    is_cut = whole.shape[1] > PLAYED_SECONDS * sample_rate
    note = note or (f"The player holds the first {PLAYED_SECONDS:g} s." if is_cut else "")

    def lane(name: str, sound: Floats, drawn: Spectrogram | None = None, **facts: Any) -> Lane:
        seen = drawn or _spectrogram(sound, sample_rate)
        return Lane(
            name=name,
            files=(LaneFile(url=_copy(sound, sample_rate)),),
            picture=data_uri(spectrogram_png(seen, top_db=top_db), media_type="image/png"),
            **facts,
        )

    lanes = [lane("Recording", whole, picture, is_recording=True, note=note)]
    lanes += [
        lane(name, sound, groups=("all",), spans=(spans or {}).get(name, ()))
        for name, sound in sounds.items()
    ]
    if residual is not None:
        lanes.append(lane("Residual", _channels(residual), groups=("all",), is_residual=True))
    score = Score(
        seconds=whole.shape[1] / sample_rate,
        sample_rate=sample_rate,
        channels=whole.shape[0],
        lanes=tuple(lanes),
        adds=("all",) if residual is not None else (),
        top_hz=picture.top_hz,
        top_db=top_db,
    )
    uid = f"uss-{uuid.uuid4().hex}"
    markup = player_markup(score, uid=uid)
    mount = f'UssRayPlayer.mount(document.getElementById("{uid}"))'
    return f"<style>{player_style()}</style>{markup}<script>{player_script()}\n{mount}</script>"


def _channels(sound: npt.ArrayLike) -> Floats:
    return np.atleast_2d(np.asarray(sound, np.float32))


def _spectrogram(sound: Floats, sample_rate: int) -> Spectrogram:
    meter = SpectrogramMeter(sample_rate, frames=sound.shape[1])
    meter.add(sound)
    return meter.result()


def _copy(sound: Floats, sample_rate: int) -> str:
    with PreviewEncoder(sample_rate, channels=sound.shape[0], max_seconds=PLAYED_SECONDS) as encoder:
        encoder.write(sound)
        return data_uri(encoder.result(), media_type="audio/mpeg")


@functools.cache
def _text(name: str) -> str:
    return (files("uss_ray.results.report") / name).read_text(encoding="utf-8")
