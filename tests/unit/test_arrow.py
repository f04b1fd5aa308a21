"""Records and their schemas: written once, null where None may be, widths as named."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from uss_ray.arrow import first_line, parquet_of, schema_of, struct_of, table_of
from uss_ray.errors import DataError, OutputError


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


@pytest.mark.parametrize(
    "fault",
    [
        pa.ArrowInvalid("no footer\ntraceback"),
        KeyError("a column"),
        OSError("no footer"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_what_is_wrong_with_the_bytes_names_their_file(fault: Exception) -> None:
    with (
        pytest.raises(OutputError, match=r"a\.parquet: expected a shard") as caught,
        parquet_of("a.parquet", expected="a shard", error_type=OutputError),
    ):
        raise fault
    assert caught.value.__cause__ is fault
    assert "traceback" not in str(caught.value)


@pytest.mark.parametrize("fault", [OSError(5, "Input/output error"), ConnectionResetError()])
def test_what_is_wrong_with_the_store_stays(fault: OSError) -> None:
    with pytest.raises(type(fault)) as caught, parquet_of("a.parquet"):
        raise fault
    assert caught.value is fault
    with pytest.raises(DataError), parquet_of("a.parquet"):
        raise DataError("a", expected="b", found="c")


def test_a_file_is_read_whole_or_named() -> None:
    def parquet(table: pa.Table) -> bytes:
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer)
        return buffer.getvalue().to_pybytes()

    table = pa.table({"a": ["one"]})
    assert table_of(parquet(table), "a.parquet") == table
    no_text = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff"))
    for content in (b"no", parquet(pa.table({"a": no_text}))):
        with pytest.raises(OutputError, match=r"a\.parquet: expected a shard"):
            table_of(content, "a.parquet", expected="a shard", error_type=OutputError)


def test_an_error_without_words_is_called_by_its_kind() -> None:
    assert first_line(KeyError()) == "KeyError"
    assert first_line(OSError("one\ntwo")) == "one"
