"""The front door to audio files: open a recording, write a stem.

Decoding lives in `reading`, encoding in `writing`, what a coding is called in `spec`.
"""

from __future__ import annotations

from uss_ray.audio.reading import RecordingReader, open_recording
from uss_ray.audio.spec import AudioSpec, stem_subtype
from uss_ray.audio.writing import StemWriter, WrittenStem

__all__ = ["AudioSpec", "RecordingReader", "StemWriter", "WrittenStem", "open_recording", "stem_subtype"]
