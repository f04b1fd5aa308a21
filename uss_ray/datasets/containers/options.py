"""How clips are kept, as settings. Without Arrow, for the command line reads it."""

from __future__ import annotations

from typing import Final, Literal, get_args

from pydantic import Field

from uss_ray.config import Name, Settings

Container = Literal["files", "tar", "parquet", "hdf5"]
CONTAINERS: Final[tuple[Container, ...]] = get_args(Container)
ID_COLUMNS: Final = ("clip_id", "video_id", "id", "key", "__key__")
AUDIO_COLUMNS: Final = ("audio", "wav", "flac", "ogg", "mp3", "bytes")


class ParquetColumns(Settings):
    """Which columns of Parquet files hold id and audio."""

    clip_id: Name | None = Field(
        default=None,
        description="Column with clip ids; without it the first of " + ", ".join(ID_COLUMNS) + " that is "
        "there, else the file names in the audio column.",
    )
    audio: Name | None = Field(
        default=None,
        description="Column with audio: bytes, or a struct with bytes (and path); without it the first of "
        + ", ".join(AUDIO_COLUMNS)
        + " that is there.",
    )
