from __future__ import annotations

import io
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from uss_ray.errors import DataError
from uss_ray.evaluation.items import EvaluationList, Item, ItemSource, read_list


def make_list(*, seed: int = 0, gain: float = 0.5) -> EvaluationList:
    items = tuple(
        Item(
            item_id=f"dog/{number}",
            label="dog",
            seconds=2.0,
            sample_rate=32_000,
            protocol="strict",
            seed=seed,
            sources=(
                ItemSource(role="target", path=f"{number}.wav", label="dog", size_bytes=100 + number),
                ItemSource(role="other", path="rain.wav", label="rain", gain=gain),
            ),
        )
        for number in range(3)
    )
    return EvaluationList(benchmark="test", split="test", protocol="strict", seed=seed, items=items)


def test_a_list_comes_back_whatever_the_order_it_was_drawn_in() -> None:
    listed = make_list()
    turned = EvaluationList(
        benchmark="test", split="test", protocol="strict", seed=0, items=listed.items[::-1]
    )
    assert turned.sha256 == listed.sha256
    assert turned.to_parquet() == listed.to_parquet()


def test_gains_and_seeds_change_the_name_of_a_list() -> None:
    assert len({make_list().sha256, make_list(seed=1).sha256, make_list(gain=0.6).sha256}) == 3


def test_a_list_is_read_back(tmp_path) -> None:
    (tmp_path / "list.parquet").write_bytes(make_list().to_parquet())
    assert read_list(tmp_path / "list.parquet") == make_list()
    assert make_list().paths == {"0.wav", "1.wav", "2.wav", "rain.wav"}


def test_a_list_that_was_written_before_sources_had_times_is_read(tmp_path) -> None:
    listed = make_list()
    assert listed.sha256 == "f6808507adeb0087a9bd730fd96259605a3373abdec2781c8c2d47be5a4e8669"
    table = pq.read_table(io.BytesIO(listed.to_parquet()))
    rows = table.to_pylist()
    for source in (source for row in rows for source in row["sources"]):
        del source["sounds"], source["channel"]
    old = pa.Table.from_pylist(rows).replace_schema_metadata(table.schema.metadata)
    pq.write_table(old, tmp_path / "list.parquet")
    assert read_list(tmp_path / "list.parquet") == listed


def test_items_of_some_classes_are_another_list() -> None:
    listed = make_list()
    items = tuple(
        replace(item, sources=(replace(item.sources[0], class_id=class_id), item.sources[1]))
        for item, class_id in zip(listed.items, ("/m/0bt9lr", None, "/m/06mb1"), strict=True)
    )
    listed = replace(listed, items=items)
    assert listed.only({"/m/0bt9lr"}).items == items[:1]
    assert listed.only({"/m/0bt9lr"}).sha256 != listed.sha256
    with pytest.raises(DataError, match="items of these classes, found none"):
        listed.only({"/m/09x0r"})


def test_what_is_no_list_is_refused(tmp_path) -> None:
    (tmp_path / "list.parquet").write_bytes(b"no")
    with pytest.raises(DataError, match="expected an evaluation list in Parquet"):
        read_list(tmp_path / "list.parquet")


def test_a_list_that_was_changed_is_refused(tmp_path) -> None:
    path = tmp_path / "list.parquet"
    path.write_bytes(make_list().to_parquet())
    table = pq.read_table(path)
    pq.write_table(table.slice(0, 2), path)
    with pytest.raises(DataError, match="expected a list with sha256"):
        read_list(path)
    for header, found in (
        (b"{", "Expecting"), (b"[]", "list"), (b"{}", "'sha256'"), (b'{"sha256": "a", "seeds": 1}', "seeds"),
    ):  # fmt: skip
        pq.write_table(table.replace_schema_metadata({b"uss_ray.evaluation_list": header}), path)
        with pytest.raises(
            DataError, match=f"list.parquet: expected the header of an evaluation list, .*{found}"
        ):
            read_list(path)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(DataError, match="found another table"):
        read_list(path)


def test_sources_of_one_label_are_one_target() -> None:
    item = Item(
        item_id="a", label="", seconds=1.0, sample_rate=0, protocol="strict", seed=0,
        sources=tuple(ItemSource(role="target", path=name, label=name[0]) for name in ("a1", "b1", "a2")),
    )  # fmt: skip
    assert [target.path for target in item.targets] == ["a1", "b1"]
