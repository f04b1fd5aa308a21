"""What each stem format can hold: rates and channels; what it cannot is refused before a file is made."""

from __future__ import annotations

from uss_ray.audio.spec import AudioSpec, StemFormat, StemSubtype, stem_subtype
from uss_ray.errors import ConfigError, RecordingError

OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
"""Rates in Hz that an Opus file gives back as they were written; others would be resampled."""

MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
"""Rates in Hz that MP3 has."""

_FLAC_MAX_CHANNELS = 8
_FLAC_MAX_RATE = 655350
# Above 16 bits a FLAC frame header can state a rate in tens of Hz only.
_FLAC_MAX_ARBITRARY_RATE = 65535
# libvorbis has no table above it, and libsndfile crashes where it should say so.
_VORBIS_MAX_RATE = 200000
_OGG_MAX_CHANNELS = 255
# Both codings take one of so many channels for a subwoofer's and keep next to nothing of it.
_WITH_SUBWOOFER: dict[StemFormat, range] = {"ogg": range(6, 7), "opus": range(6, 9)}


def check_format_holds(stem_format: StemFormat, *, item: str, sample_rate: int, channels: int) -> None:
    """Refuse a rate or a number of channels that a stem format cannot give back unchanged.

    Parameters
    ----------
    stem_format : {"flac", "wav", "ogg", "opus", "mp3"}
        Format of the stems.
    item : str
        What the error names.
    sample_rate : int
        Rate of the stem, in Hz.
    channels : int
        Number of channels.

    Raises
    ------
    ConfigError
        If the format cannot hold them; it says which format can.

    Examples
    --------
    >>> check_format_holds("opus", item="a.wav", sample_rate=44100, channels=2)
    Traceback (most recent call last):
    ...
    uss_ray.errors.ConfigError: a.wav: expected 8000, 12000, 16000, 24000 or 48000 Hz in Opus (use ogg or flac), \
found 44100 Hz
    """
    if stem_format == "flac":
        _check_flac(item, sample_rate=sample_rate, channels=channels)
    elif stem_format == "mp3":
        _check_mp3(item, sample_rate=sample_rate, channels=channels)
    elif stem_format in ("ogg", "opus"):
        _check_lossy(stem_format, item=item, sample_rate=sample_rate, channels=channels)


def stem_encoding(spec: AudioSpec, *, stem_format: StemFormat, item: str) -> tuple[StemFormat, StemSubtype]:
    """Choose format and coding of a recording's stems, before any work is done.

    Parameters
    ----------
    spec : AudioSpec
        Of the recording.
    stem_format : {"flac", "wav", "ogg", "opus", "mp3"}
        What was asked for.
    item : str
        What the error names.

    Returns
    -------
    (str, str)
        WAV instead of FLAC for what that cannot hold: both lose nothing.

    Raises
    ------
    RecordingError
        If a lossy format cannot hold the recording; it says which format can.

    Examples
    --------
    >>> stem_encoding(AudioSpec(48000, 12, None, "WAV", "PCM_16"), stem_format="flac", item="a.wav")
    ('wav', 'PCM_16')
    """
    chosen = stem_format
    try:
        check_format_holds(stem_format, item=item, sample_rate=spec.sample_rate, channels=spec.channels)
    except ConfigError as error:
        if stem_format != "flac":
            raise RecordingError(item, expected=error.expected, found=error.found) from None
        chosen = "wav"
    return chosen, stem_subtype(spec.subtype, stem_format=chosen)


def _check_flac(item: str, *, sample_rate: int, channels: int) -> None:
    if channels > _FLAC_MAX_CHANNELS:
        expected = f"at most {_FLAC_MAX_CHANNELS} channels in FLAC (use wav)"
        raise ConfigError(item, expected=expected, found=str(channels))
    odd = sample_rate > _FLAC_MAX_ARBITRARY_RATE and sample_rate % 10 != 0
    if odd or sample_rate > _FLAC_MAX_RATE:
        expected = f"a rate FLAC can state, up to {_FLAC_MAX_RATE} Hz (use wav)"
        raise ConfigError(item, expected=expected, found=f"{sample_rate} Hz")


def _check_mp3(item: str, *, sample_rate: int, channels: int) -> None:
    if sample_rate not in MP3_RATES:
        rates = f"{', '.join(map(str, MP3_RATES[:-1]))} or {MP3_RATES[-1]}"
        raise ConfigError(item, expected=f"{rates} Hz in MP3 (use ogg or flac)", found=f"{sample_rate} Hz")
    if channels > 2:
        raise ConfigError(item, expected="at most 2 channels in MP3 (use ogg or flac)", found=str(channels))


def _check_lossy(stem_format: StemFormat, *, item: str, sample_rate: int, channels: int) -> None:
    if stem_format == "opus" and sample_rate not in OPUS_RATES:
        rates = f"{', '.join(map(str, OPUS_RATES[:-1]))} or {OPUS_RATES[-1]}"
        raise ConfigError(item, expected=f"{rates} Hz in Opus (use ogg or flac)", found=f"{sample_rate} Hz")
    if stem_format == "ogg" and sample_rate > _VORBIS_MAX_RATE:
        expected = f"at most {_VORBIS_MAX_RATE} Hz in Vorbis (use flac or wav)"
        raise ConfigError(item, expected=expected, found=f"{sample_rate} Hz")
    if channels > _OGG_MAX_CHANNELS:
        expected = f"at most {_OGG_MAX_CHANNELS} channels in {stem_format} (use wav)"
        raise ConfigError(item, expected=expected, found=str(channels))
    if channels in _WITH_SUBWOOFER[stem_format]:
        expected = f"a number of channels that {stem_format} keeps whole (use flac or wav)"
        raise ConfigError(item, expected=expected, found=f"{channels}, one of them coded as a subwoofer's")
