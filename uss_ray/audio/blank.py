"""What stands behind the sound of a file and is none: tags of players, zeros, a few bytes."""

from __future__ import annotations

from uss_ray.audio.splice import SeekableReader

TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"wvtag")
"""How tags begin that are written behind any sound."""

_WINDOW_BYTES = 1 << 20


def is_blank(file: SeekableReader, at: int, *, file_bytes: int) -> bool:
    """Tell whether only a tag, zeros or a few bytes come behind an offset."""
    if at + 8 >= file_bytes:
        return True
    file.seek(at)
    if file.read(16).startswith(TAGS):
        return True
    while at < file_bytes:
        file.seek(at)
        window = file.read(min(_WINDOW_BYTES, file_bytes - at))
        if not window or window.strip(b"\0"):
            return not window
        at += len(window)
    return True
