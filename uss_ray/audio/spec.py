"""What a recording's encoding is, and which encoding its stems get; no decoding happens here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from uss_ray.audio.tags import NO_TAGS, RecordingTags
from uss_ray.errors import ConfigError

StemFormat = Literal["flac", "wav", "ogg", "opus", "mp3"]
StemSubtype = Literal["PCM_16", "PCM_24", "FLOAT", "VORBIS", "OPUS", "MPEG_LAYER_III"]

STEM_SUBTYPES: dict[StemFormat, tuple[StemSubtype, ...]] = {
    "flac": ("PCM_16", "PCM_24"),
    "wav": ("PCM_16", "PCM_24", "FLOAT"),
    "ogg": ("VORBIS",),
    "opus": ("OPUS",),
    "mp3": ("MPEG_LAYER_III",),
}
LOSSY_FORMATS: frozenset[StemFormat] = frozenset({"ogg", "opus", "mp3"})
"""Formats that give back the samples nearly, not exactly; number, rate and channels are exact (ADR 17)."""

# Integer codings finer than 16 bits; floats are finer than these and handled apart.
_FINE_INTEGER_SUBTYPES = frozenset({"PCM_24", "PCM_32", "ALAC_20", "ALAC_24", "ALAC_32", "DWVW_24"})
_FLOAT_SUBTYPES = frozenset({"FLOAT", "DOUBLE"})


@dataclass(frozen=True)
class AudioSpec:
    """The encoding of a recording, as its header states it.

    Attributes
    ----------
    sample_rate : int
        Native rate, in Hz.
    channels : int
        Number of channels, 1 or more.
    frames : int or None
        Samples in each channel; None when the header leaves the length open (streamed FLAC).
    format : str
        Container in libsndfile's words, such as ``"WAV"``, ``"FLAC"``, ``"OGG"``; or FFmpeg's, such as ``"MP4"``.
    subtype : str
        Coding in libsndfile's words, such as ``"PCM_24"``, ``"FLOAT"``, ``"VORBIS"``; or FFmpeg's, such as ``"AAC"``.
    decoder : {"libsndfile", "FFmpeg"}, default="libsndfile"
        Which library decodes it.
    note : str or None, default=None
        What the header says that is not so, and what was done instead; one line.
    tags : RecordingTags
        What the file says besides its sound, where somebody read it: `RecordingReader.tagged_spec`.
    """

    sample_rate: int
    channels: int
    frames: int | None
    format: str
    subtype: str
    decoder: str = "libsndfile"
    note: str | None = None
    tags: RecordingTags = NO_TAGS

    @property
    def duration_seconds(self) -> float | None:
        """Length in seconds; None when the header leaves it open."""
        return None if self.frames is None else self.frames / self.sample_rate


def stem_subtype(recording_subtype: str, *, stem_format: str) -> StemSubtype:
    """Choose the coding of the stems so that they are no coarser than the recording.

    Parameters
    ----------
    recording_subtype : str
        `AudioSpec.subtype` of the recording.
    stem_format : {"flac", "wav", "ogg", "opus", "mp3"}
        Format of the stems.

    Returns
    -------
    {"PCM_16", "PCM_24", "FLOAT", "VORBIS", "OPUS", "MPEG_LAYER_III"}
        ``PCM_16`` for recordings of 16 bits and fewer and for lossy codings (MP3, AAC, Vorbis, Opus, ADPCM);
        finer recordings get ``PCM_24`` in FLAC. In WAV, 24 bits stay ``PCM_24`` and anything finer is ``FLOAT``.
        The lossy formats have one coding each.

    Raises
    ------
    ConfigError
        If `stem_format` is none of these.

    Examples
    --------
    >>> stem_subtype("FLOAT", stem_format="flac"), stem_subtype("FLOAT", stem_format="wav")
    ('PCM_24', 'FLOAT')
    """
    known = checked_stem_format(stem_format)
    if known in LOSSY_FORMATS:
        return STEM_SUBTYPES[known][0]
    if recording_subtype not in _FINE_INTEGER_SUBTYPES | _FLOAT_SUBTYPES:
        return "PCM_16"
    if known == "flac" or recording_subtype in {"PCM_24", "ALAC_20", "ALAC_24", "DWVW_24"}:
        return "PCM_24"
    return "FLOAT"


def checked_stem_format(stem_format: str) -> StemFormat:
    """Narrow a string to the known stem formats.

    Parameters
    ----------
    stem_format : str
        What the user asked for.

    Returns
    -------
    {"flac", "wav", "ogg", "opus", "mp3"}
        The same string.

    Raises
    ------
    ConfigError
        If it is none of these.
    """
    for known in get_args(StemFormat):
        if stem_format == known:
            return stem_format  # type: ignore[return-value]
    raise ConfigError("stem format", expected="flac, wav, ogg, opus or mp3", found=repr(stem_format))
