"""The Arrow schema of a record, from the record itself: each dataclass that is a row of a table is written once.

Owns how Python types become Arrow types, what may be null, and what Arrow raises at a damaged file.
"""

from __future__ import annotations

import dataclasses
import io
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from uss_ray.errors import DataError, UssRayError

_PLAIN: dict[Any, pa.DataType] = {
    bool: pa.bool_(),
    bytes: pa.large_binary(),
    datetime: pa.timestamp("us", tz="UTC"),
    float: pa.float64(),
    int: pa.int64(),
    str: pa.string(),
}


def schema_of(record_type: type, *, metadata: Mapping[bytes, bytes] | None = None) -> pa.Schema:
    """Give the schema of a table with a row for each record.

    Parameters
    ----------
    record_type : type
        A dataclass. Its fields are the columns, in their order; a field that may be None may be null, others not.
        ``Annotated[int, pa.int16()]`` names a column's type; without it, whole numbers and floats have 64 bits and
        bytes are of any size. ``Literal`` is a text, ``tuple[T, ...]`` and ``list[T]`` are lists, ``dict[K, V]`` is a
        map and another dataclass a struct.
    metadata : mapping of bytes to bytes, optional
        Of the schema.

    Raises
    ------
    TypeError
        If a field's type has no Arrow type; it is named.

    Examples
    --------
    >>> @dataclasses.dataclass
    ... class Clip:
    ...     name: str
    ...     level: Annotated[int, pa.int16()] | None
    >>> schema_of(Clip)
    name: string not null
    level: int16
    """
    return pa.schema(_fields(record_type), metadata=metadata)


def struct_of(record_type: type) -> pa.StructType:
    """Give the struct of a record, as a column of another table has it; see `schema_of`."""
    return pa.struct(_fields(record_type))


def _fields(record_type: type) -> list[pa.Field]:
    hints = get_type_hints(record_type, include_extras=True)
    fields = []
    for field in dataclasses.fields(record_type):
        try:
            kind, may_be_null = _type_of(hints[field.name])
        except TypeError as error:
            raise TypeError(f"{record_type.__name__}.{field.name}: {error}") from error
        fields.append(pa.field(field.name, kind, may_be_null))
    return fields


def _type_of(annotation: Any) -> tuple[pa.DataType, bool]:
    """Give the Arrow type of an annotation, and whether it allows None."""
    if annotation in _PLAIN:
        return _PLAIN[annotation], False
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        others = [argument for argument in arguments if argument is not type(None)]
        if len(others) == 1:
            return _type_of(others[0])[0], True
    elif origin is Annotated:
        named = next((extra for extra in arguments[1:] if isinstance(extra, pa.DataType)), None)
        kind, may_be_null = _type_of(arguments[0])
        return named or kind, may_be_null
    elif origin is Literal:
        kinds = {type(value) for value in arguments}
        if len(kinds) == 1:
            return _type_of(kinds.pop())
    elif origin is list or (origin is tuple and arguments[1:] == (Ellipsis,)):
        return pa.list_(_type_of(arguments[0])[0]), False
    elif origin is dict:
        return pa.map_(_type_of(arguments[0])[0], _type_of(arguments[1])[0]), False
    elif dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        return struct_of(annotation), False
    raise TypeError(f"no Arrow type for {annotation!r}")


@contextmanager
def parquet_of(
    name: str, *, expected: str = "a Parquet file", error_type: type[UssRayError] = DataError
) -> Iterator[None]:
    """Read Parquet: what is wrong with its bytes is an error that names it, what is wrong with the store stays.

    Parameters
    ----------
    name, expected : str
        For errors.
    error_type : type of UssRayError, default=DataError

    Raises
    ------
    UssRayError
        If bytes are missing or others than were written. Arrow has no one word for that: by the place of the damage it
        raises a kind of its own, a text that cannot be decoded, a key that is missing or an `OSError` without a number.
    """
    try:
        yield
    except (pa.ArrowException, KeyError, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
            raise
        raise error_type(name, expected=expected, found=first_line(error)) from error


def table_of(
    content: bytes, name: str, *, expected: str = "a Parquet file", error_type: type[UssRayError] = DataError
) -> pa.Table:
    """Read a Parquet file whole, and look at all that it says.

    Parameters
    ----------
    content : bytes
    name, expected, error_type
        See `parquet_of`.

    Raises
    ------
    UssRayError
        If bytes are missing or others than were written.
    """
    with parquet_of(name, expected=expected, error_type=error_type):
        table = pq.read_table(io.BytesIO(content), use_threads=False)
        table.validate(full=True)
        return table


def first_line(error: Exception) -> str:
    """Say what an error says, without the traceback that Arrow puts behind it."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
