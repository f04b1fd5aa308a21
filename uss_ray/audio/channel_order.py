"""The order of channels in Ogg: left, centre, right … in Vorbis and Opus; WAV and FLAC have left, right, centre ….

libsndfile hands channels on as they lie in a file, and writes them as it gets them; FFmpeg puts them in order itself.

Orders: the Vorbis I specification, 4.3.9; RFC 7845, 5.1.1 (mapping family 1); RFC 9639, 9.1.3.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from uss_ray.audio.spec import StemFormat

_HEADER_BYTES = 27
_NAMED_FAMILY = 1
_ORDERED_FORMATS: tuple[StemFormat, ...] = ("ogg", "opus")
# By the number of channels: where each of them stands in Ogg.
_IN_OGG = {
    3: (0, 2, 1),
    5: (0, 2, 1, 3, 4),
    6: (0, 2, 1, 5, 3, 4),
    7: (0, 2, 1, 6, 5, 3, 4),
    8: (0, 2, 1, 7, 5, 6, 3, 4),
}
OGG_HEAD_BYTES = _HEADER_BYTES + 255 + 32
"""So much from the start of a file on is enough for `order_in_ogg`."""

_Samples = TypeVar("_Samples", bound=NDArray[Any])


def order_in_ogg(head: bytes) -> tuple[int, ...] | None:
    """Tell where the channels stand in a stream of Vorbis or Opus.

    Parameters
    ----------
    head : bytes
        The first `OGG_HEAD_BYTES` of a file.

    Returns
    -------
    tuple of int or None
        By the place of a channel in WAV and FLAC; None where that is the same, the channels have no names (other
        mapping families of Opus, more than 8), or it is something else.
    """
    if head[:4] != b"OggS" or len(head) < _HEADER_BYTES:
        return None
    body = head[_HEADER_BYTES + head[_HEADER_BYTES - 1] :].ljust(19, b"\0")
    if body.startswith(b"\x01vorbis"):
        return _IN_OGG.get(body[11])
    if body.startswith(b"OpusHead") and body[18] == _NAMED_FAMILY:
        return _IN_OGG.get(body[9])
    return None


def as_in_wav(interleaved: _Samples, order: tuple[int, ...] | None) -> _Samples:
    """Put channels of (samples, channels), as they lie in a file, in the order of WAV and FLAC.

    Examples
    --------
    >>> as_in_wav(np.float32([[1, 2, 3]]), (0, 2, 1)).tolist()
    [[1.0, 3.0, 2.0]]
    """
    return interleaved if order is None else np.take(interleaved, order, axis=1)  # type: ignore[return-value]


def as_in_file(interleaved: _Samples, *, stem_format: StemFormat) -> _Samples:
    """Put channels of (samples, channels) in the order that a format has.

    Examples
    --------
    >>> as_in_file(np.float32([[1, 2, 3, 4, 5, 6]]), stem_format="ogg").tolist()
    [[1.0, 3.0, 2.0, 5.0, 6.0, 4.0]]
    """
    order = _IN_OGG.get(interleaved.shape[1]) if stem_format in _ORDERED_FORMATS else None
    return interleaved if order is None else as_in_wav(interleaved, tuple(np.argsort(order)))
