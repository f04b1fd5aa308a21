"""MP4 files for tests, from FFmpeg's own encoders."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def encoded_mp4(
    waveform: NDArray[np.float32],
    *,
    rate: int,
    coding: str = "aac",
    muxer: Mapping[str, str] | None = None,
) -> bytes:
    """Encode (channels, frames) as the first sound track of an `.m4a`."""
    import av

    layout = "mono" if len(waveform) == 1 else "stereo"
    samples = waveform if coding == "aac" else np.round(waveform * 2.0**31).astype(np.int32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "recording.m4a")
        with av.open(str(path), "w", format="ipod", options=dict(muxer or {})) as file:
            track = file.add_stream(coding, rate=rate, layout=layout)
            format_name = "fltp" if coding == "aac" else "s32p"
            track.codec_context.format = format_name
            for at in range(0, samples.shape[1], 4096):
                block = np.ascontiguousarray(samples[:, at : at + 4096])
                frame = av.AudioFrame.from_ndarray(block, format=format_name, layout=layout)
                frame.sample_rate, frame.pts = rate, at
                file.mux(track.encode(frame))
            file.mux(track.encode(None))
        return path.read_bytes()


def empty_mp4(*, rate: int) -> bytes:
    """Give an MP4 with a sound track in which nothing is."""
    import av

    content = io.BytesIO()
    with av.open(content, "w", format="mp4", options={"movflags": "empty_moov+frag_keyframe"}) as file:
        file.add_stream("aac", rate=rate, layout="mono")
        file.start_encoding()
    return content.getvalue()


def silent_video() -> bytes:
    """Encode a picture of a second as an `.mp4` without a sound track."""
    import av

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "picture.mp4")
        with av.open(str(path), "w") as file:
            track = file.add_stream("mpeg4", rate=10)
            track.width = track.height = 32
            for _ in range(10):
                file.mux(track.encode(av.VideoFrame(32, 32, "yuv420p")))
            file.mux(track.encode(None))
        return path.read_bytes()
