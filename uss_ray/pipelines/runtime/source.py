"""Tables that are read piece by piece become a Ray Dataset, without anything on the driver that grows with them.

Owns the seam to Ray Data's reading; where the rows come from is the readers' matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pyarrow as pa
import ray.data
from ray.data import Dataset
from ray.data.block import BlockMetadata
from ray.data.context import DataContext
from ray.data.datasource import Datasource, ReadTask

from uss_ray.errors import DataError

TableReader = Callable[[], Iterator[pa.Table]]
"""A picklable callable that gives tables, one after another; each call begins anew."""


class TableSource(Datasource):
    """A source of rows for `ray.data.read_datasource`; `read_tables` does that with the right settings.

    Parameters
    ----------
    readers : sequence of TableReader
        Each is run by one task, or several by one after another, where Ray asks for fewer tasks.
    schema : pa.Schema
        What every table has; another one is a DataError.
    name : str, default="Tables"
        Shown in Ray's progress and metrics.

    Raises
    ------
    DataError
        If there are no readers.
    """

    def __init__(self, readers: Sequence[TableReader], schema: pa.Schema, *, name: str = "Tables") -> None:
        super().__init__()
        if not readers:
            raise DataError("table source", expected="at least one reader", found="none")
        self._readers = tuple(readers)
        self._schema = schema
        self._name = name

    def get_name(self) -> str:
        """Name the read operator."""
        return self._name

    def estimate_inmemory_data_size(self) -> int | None:
        """Tell nothing: to know would mean to read, and a guess would make Ray cut blocks by it."""
        return None

    def get_read_tasks(
        self,
        parallelism: int,
        per_task_row_limit: int | None = None,
        data_context: DataContext | None = None,  # noqa: ARG002
    ) -> list[ReadTask]:
        """Give one task a reader, or fewer tasks with several readers each where `parallelism` is less."""
        tasks = max(1, min(parallelism, len(self._readers)))
        unknown = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [
            ReadTask(
                partial(_read, self._readers[task::tasks], self._schema),
                unknown,
                schema=self._schema,
                per_task_row_limit=per_task_row_limit,
            )
            for task in range(tasks)
        ]


def read_tables(
    readers: Sequence[TableReader],
    *,
    schema: pa.Schema,
    name: str = "Tables",
    cpus: float | None = None,
) -> Dataset:
    """Make a Dataset of what readers give; blocks come while they read.

    Parameters
    ----------
    readers : sequence of TableReader
        What reads.
    schema : pa.Schema
        What every table has.
    name : str, default="Tables"
        Shown in Ray's progress and metrics.
    cpus : float or None, default=None
        That one reader takes; None leaves it to Ray. A stage that takes as much is fused with the reading.

    Returns
    -------
    Dataset
        Its blocks hold about `DataContext.target_max_block_size`: set that low before this is
        called, or a reader of thin rows hands nothing on before its end (Ray's default is 128 MiB).

    Raises
    ------
    DataError
        If there are no readers.

    Notes
    -----
    The number of blocks is set to the number of readers. Left to Ray 2.60, it would be 200 wherever there are fewer
    readers, and each block would be cut into as many slivers as it takes to get there.
    """
    return ray.data.read_datasource(
        TableSource(readers, schema, name=name),
        override_num_blocks=len(readers),
        num_cpus=cpus,
    )


def _read(readers: Sequence[TableReader], schema: pa.Schema) -> Iterator[pa.Table]:
    for reader in readers:
        for table in reader():
            if not table.schema.equals(schema):
                raise DataError("rows of a reader", expected=f"columns {schema}", found=str(table.schema))
            yield table
