from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from uss_ray.audio.chained import ChainedDecoder
from uss_ray.audio.decoding import DecodingError
from uss_ray.audio.spec import AudioSpec


@dataclass
class Counting:
    """Decodes consecutive numbers; may state another length than it has."""

    first: int
    count: int
    rate: int = 8000
    stated: int | None = -1
    started: bool = False
    is_closed: bool = field(default=False)

    @property
    def spec(self) -> AudioSpec:
        frames = self.count if self.stated == -1 else self.stated
        return AudioSpec(sample_rate=self.rate, channels=1, frames=frames, format="WAV", subtype="FLOAT")

    def read(self, frames: int) -> NDArray[np.float32]:
        stop = min(self.first + frames, self.first + self.count)
        numbers = np.arange(self.first, stop, dtype=np.float32)[None]
        self.count -= numbers.shape[1]
        self.first = stop
        return numbers

    def close(self) -> None:
        self.is_closed = True


def chained(
    *streams: tuple[int, int], opened: list[Counting] | None = None, **changes: object
) -> ChainedDecoder:
    def open_decoder(place: int) -> Counting:
        decoder = Counting(*streams[place], **changes)  # type: ignore[arg-type]
        if opened is not None:
            opened.append(decoder)
        return decoder

    return ChainedDecoder(open_decoder, count=len(streams))


def test_a_block_goes_over_the_end_of_a_stream() -> None:
    decoder = chained((0, 5), (5, 1), (6, 4))
    assert decoder.spec.frames == 10
    assert not decoder.started
    blocks = [decoder.read(4) for _ in range(4)]
    assert [block.shape for block in blocks] == [(1, 4), (1, 4), (1, 2), (1, 0)]
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1)[0], np.arange(10))
    assert decoder.started


def test_one_open_length_leaves_the_whole_open() -> None:
    decoder = chained((0, 3), (3, 3), stated=None)
    assert decoder.spec.frames is None
    assert decoder.read(100).shape == (1, 6)


def test_every_stream_is_closed() -> None:
    opened: list[Counting] = []
    decoder = chained((0, 3), (3, 3), opened=opened)
    decoder.read(100)
    decoder.close()
    assert all(one.is_closed for one in opened)


def test_a_stream_that_ends_early_is_named() -> None:
    decoder = chained((0, 3), (3, 3), stated=4)
    with pytest.raises(DecodingError, match="the end 1 samples early") as caught:
        decoder.read(100)
    assert caught.value.expected == "all of the stream number 1"


def test_another_rate_behind_the_first_is_refused() -> None:
    def open_decoder(place: int) -> Counting:
        return Counting(0, 3, rate=(8000, 16_000)[place])

    with pytest.raises(DecodingError, match="16000 Hz, 1 channels in the stream number 2") as caught:
        ChainedDecoder(open_decoder, count=2)
    assert caught.value.expected == "8000 Hz, 1 channels throughout (convert it)"
