"""Whether a file is sound, by its first bytes; no audio is decoded, and what is said may be wrong.

For listings: a name that tells nothing is looked into. What is a recording shows when it is opened.
"""

from __future__ import annotations

import io

from uss_ray.audio.media_headers import media_name
from uss_ray.audio.mpeg_audio import after_id3, parse

HEAD_BYTES = 8192
"""How much of a file to look at."""

_MAGICS = (
    b"fLaC",
    b"OggS",
    b"caff",
    b".snd",
    b"dns.",
    b"riff\x2e\x91\xcf\x11",
    b"NIST_1A",
    b"Creative Voice File",
    b"SOX|",
    b".SoX",
    b"2BIT",
    b"ALaw",
    b"fap ",
    b" paf",
)
_WAVES = (b"RIFF", b"RIFX", b"RF64", b"BW64")
_PICTURES = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis", b"jp2 ", b"jpx ", b"crx ")
_QUICKTIME = (b"moov", b"mdat", b"wide", b"pnot")
_TS_PACKET_BYTES = 188


def looks_like_sound(head: bytes) -> bool:
    """Tell from the first `HEAD_BYTES` of a file, or all of a shorter one, whether it may be a recording.

    Examples
    --------
    >>> looks_like_sound(b"fLaC" + bytes(100)), looks_like_sound(b"Dear reader,")
    (True, False)
    """
    start = after_id3(io.BytesIO(head))
    if start > len(head):
        return True  # behind a long tag
    head = head[start:]
    if head.startswith(_MAGICS):
        return True
    if head.startswith(_WAVES) or head.startswith(b"FORM"):
        return head[8:12] in (b"WAVE", b"AVI ", b"AIFF", b"AIFC", b"8SVX", b"16SV")
    if head[4:8] == b"ftyp":
        return head[8:12] not in _PICTURES
    if head[4:8] in _QUICKTIME and head[:1] == b"\0":
        return True
    if head[:1] == b"G" and head[_TS_PACKET_BYTES::_TS_PACKET_BYTES][:3] == b"GGG":
        return True
    name = media_name(head.ljust(16, b"\0"))
    if name == "AAC" and not head.startswith(b"ADIF"):
        size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5 if len(head) > 6 else 0
        return size > 7 and head[size : size + 2] == head[:2]
    return name is not None or _is_mpeg(head)


def _is_mpeg(head: bytes) -> bool:
    at = 0
    for seen in range(3):
        header = parse(head[at : at + 4])
        if header is None:
            return seen > 0 and at >= len(head)
        at += header.size
    return True
