"""Records and their schemas: written once, null where None may be, widths as named."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import pyarrow as pa
import pytest

from uss_ray.arrow import schema_of, struct_of


@dataclass(frozen=True)
class Span:
    start: float
    stem: str | None = None


@dataclass(frozen=True)
class Row:
    name: str
    key: int
    small: Annotated[int, pa.int16()]
    perhaps_small: Annotated[int, pa.int16()] | None
    seconds: float
    done: bool
    status: Literal["a", "b"]
    spans: tuple[Span, ...]
    labels: tuple[Annotated[int, pa.int16()], ...]
    words: list[str]
    sound: bytes | None
    span: Span
    counts: dict[str, int]
    created_at: datetime
    texts: Annotated[tuple[str, ...], pa.large_list(pa.string())] = ()


def test_every_type_has_its_column() -> None:
    span = pa.struct([pa.field("start", pa.float64(), False), pa.field("stem", pa.string())])
    assert struct_of(Span) == span
    assert schema_of(Row, metadata={b"version": b"1"}).equals(
        pa.schema(
            [
                pa.field("name", pa.string(), False),
                pa.field("key", pa.int64(), False),
                pa.field("small", pa.int16(), False),
                pa.field("perhaps_small", pa.int16()),
                pa.field("seconds", pa.float64(), False),
                pa.field("done", pa.bool_(), False),
                pa.field("status", pa.string(), False),
                pa.field("spans", pa.list_(span), False),
                pa.field("labels", pa.list_(pa.int16()), False),
                pa.field("words", pa.list_(pa.string()), False),
                pa.field("sound", pa.large_binary()),
                pa.field("span", span, False),
                pa.field("counts", pa.map_(pa.string(), pa.int64()), False),
                pa.field("created_at", pa.timestamp("us", tz="UTC"), False),
                pa.field("texts", pa.large_list(pa.string()), False),
            ],
            metadata={b"version": b"1"},
        ),
        check_metadata=True,
    )


def test_a_record_goes_in_and_comes_out() -> None:
    @dataclass
    class Clip:
        name: str
        spans: tuple[Span, ...]
        level: Annotated[int, pa.int8()] | None = None

    # A class of a function: its hints are resolved where they are written.
    Clip.__annotations__ = {"name": str, "spans": tuple[Span, ...], "level": Annotated[int, pa.int8()] | None}
    clip = Clip("a", (Span(0.5), Span(1.0, "s.flac")))
    table = pa.Table.from_pylist([asdict(clip)], schema=schema_of(Clip))
    assert table.to_pylist() == [
        {
            "name": "a",
            "spans": [{"start": 0.5, "stem": None}, {"start": 1.0, "stem": "s.flac"}],
            "level": None,
        }
    ]


@pytest.mark.parametrize("wrong", [object, int | str, tuple[int, str], Literal["a", 1], Any])
def test_a_type_without_a_column_is_named(wrong: Any) -> None:
    @dataclass
    class Odd:
        good: int
        odd: int

    Odd.__annotations__ = {"good": int, "odd": wrong}
    with pytest.raises(TypeError, match=r"Odd\.odd: no Arrow type"):
        schema_of(Odd)
