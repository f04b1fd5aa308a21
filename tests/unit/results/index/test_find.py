"""Asking the index: what fits is found, whatever wrote it and wherever it lies, without reading it all at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.memory import least_peak_bytes
from uss_ray.errors import ConfigError, DataError, QueryError
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.results.index import find as find_module
from uss_ray.results.index import table as table_module
from uss_ray.results.index.find import (
    HEARD,
    FoundSpan,
    Wanted,
    find,
    find_page,
    nodes_named,
    weights_of,
)
from uss_ray.results.index.table import (
    ActiveSpan,
    IndexRow,
    RecordingFacts,
    RunFacts,
    Span,
    failed_row,
    read_index_part,
    to_table,
    write_index,
)
from uss_ray.results.labels import LabelledRecording
from uss_ray.store import store as store_module
from uss_ray.store.store import Store

DOG, BARK, CAT = "/m/0bt9lr", "/m/05tny_", "/m/01yrx"
SPANS = (ActiveSpan(start_seconds=0.0, end_seconds=2.0), ActiveSpan(start_seconds=4.0, end_seconds=5.5))
RUN = RunFacts(run_id="run", weights_name="starter", weights_sha256="cd" * 32)


def a_row(recording: str, node_id: str, label: str, probability: float | None, **changes: Any) -> IndexRow:
    stem = f"{recording}/level-3/{label.lower()}.flac"
    values: dict[str, Any] = {
        "run_id": RUN.run_id,
        "recording_id": recording,
        "recording_uri": f"s3://archive/{recording}",
        "node_id": node_id,
        "label": label,
        "level": 3,
        "kind": "node",
        "status": "written",
        "probability": probability,
        "active_spans": SPANS,
        "stem_uri": stem,
        "stem_sha256": "ab" * 32,
        "stem_bytes": 1234,
        "weights_name": RUN.weights_name,
        "weights_sha256": RUN.weights_sha256,
    }
    return IndexRow(**(values | changes))


def without_stem(recording: str, node_id: str, label: str, probability: float, **changes: Any) -> IndexRow:
    none = dict.fromkeys(("stem_uri", "stem_sha256", "stem_bytes"))
    return a_row(recording, node_id, label, probability, **(none | changes))


def put(rows: list[IndexRow], *, root: str, name: str, folder: Path) -> None:
    write_index(rows, path=folder / f"{name}.parquet")
    (Store(root) / "index" / f"{name}.parquet").put(folder / f"{name}.parquet")


def fill(root: str, folder: Path) -> None:
    put(
        [
            a_row("a.wav", DOG, "Dog", 0.9),
            without_stem("a.wav", CAT, "Cat", 0.05, status="absent", active_spans=()),
            a_row("a.wav", "residual", "Residual", None, kind="residual", active_spans=()),
        ],
        root=root,
        name="0",
        folder=folder,
    )
    put(
        [
            a_row("b.wav", BARK, "Bark", 0.5, active_spans=SPANS[:1]),
            without_stem("b.wav", DOG, "Dog", 0.6, status="silent"),
            a_row("b.wav", "query:my cat", "my cat", None, kind="text", level=None),
        ],
        root=root,
        name="1",
        folder=folder,
    )
    facts = RecordingFacts(recording_id="c.wav", recording_uri="s3://archive/c.wav")
    put([failed_row(facts, run=RUN, reason="c.wav: broken")], root=root, name="2", folder=folder)
    (Store(root) / "index" / "3.parquet").put(b"")
    (Store(root) / "index" / "_SUCCESS").put(b"not an index")


@pytest.fixture
def filled(tmp_path: Path) -> str:
    root = str(tmp_path / "out")
    fill(root, tmp_path)
    return root


def found(root: str, **wanted: Any) -> list[tuple[str, str]]:
    return [(finding.recording_id, finding.label) for finding in find(root, wanted=Wanted(**wanted))]


def test_what_was_heard_is_found_with_spans_and_the_place_of_its_stem(
    storage_root: str, tmp_path: Path
) -> None:
    fill(storage_root, tmp_path)
    first, *others = find(storage_root, wanted=Wanted())
    assert (first.recording_id, first.recording_uri, first.label) == ("a.wav", "s3://archive/a.wav", "Dog")
    assert first.probability == pytest.approx(0.9)
    assert first.active_seconds == 3.5
    assert first.spans == (
        FoundSpan(start_seconds=0.0, end_seconds=2.0),
        FoundSpan(start_seconds=4.0, end_seconds=5.5),
    )
    assert first.stem == str(Store(storage_root) / "a.wav/level-3/dog.flac")
    assert [(other.recording_id, other.label) for other in others] == [("b.wav", "Bark"), ("b.wav", "my cat")]


def test_a_store_in_memory_is_asked_the_same_way(tmp_path: Path) -> None:
    fill("memory://find-test", tmp_path)
    assert found("memory://find-test", node_ids=frozenset([DOG])) == [("a.wav", "Dog")]


@pytest.mark.parametrize(
    ("wanted", "rows"),
    [
        ({"node_ids": frozenset([DOG, BARK])}, [("a.wav", "Dog"), ("b.wav", "Bark")]),
        ({"node_ids": frozenset(["query:my cat"])}, [("b.wav", "my cat")]),
        ({"node_ids": frozenset(["/m/none"])}, []),
        ({"min_probability": 0.5}, [("a.wav", "Dog"), ("b.wav", "Bark")]),
        ({"min_probability": 0.51}, [("a.wav", "Dog")]),
        ({"min_probability": 0.9}, [("a.wav", "Dog")]),
        ({"min_seconds": 2.5}, [("a.wav", "Dog"), ("b.wav", "my cat")]),
        ({"statuses": ("silent",)}, [("b.wav", "Dog")]),
        ({"statuses": ("absent", "failed")}, [("a.wav", "Cat"), ("c.wav", "")]),
    ],
)
def test_only_what_fits_is_found(filled: str, wanted: dict[str, Any], rows: list[tuple[str, str]]) -> None:
    assert found(filled, **wanted) == rows


def test_a_failed_recording_brings_its_reason(filled: str) -> None:
    (finding,) = find(filled, wanted=Wanted(statuses=("failed",)))
    assert (finding.reason, finding.stem, finding.spans) == ("c.wav: broken", None, ())


def many_parts(root: Path, count: int) -> list[tuple[str, str]]:
    """Write parts of two rows each; of a dog and a cat, but the last of a bark."""
    for part in range(count):
        first = (DOG, "Dog") if part < count - 1 else (BARK, "Bark")
        rows = [a_row(f"{part}.wav", *first, 0.9), a_row(f"{part}.wav", CAT, "Cat", 0.8)]
        write_index(rows, path=root / "index" / f"{part:04}.parquet")
    return found(str(root))


def pages(root: Path, **asked: Any) -> Iterator[list[tuple[str, str]]]:
    cursor: str | None = ""
    while cursor is not None:
        page = find_page(Store(root), cursor=cursor, **asked)
        yield [(finding.recording_id, finding.label) for _, finding in page.rows]
        cursor = page.next


def test_pages_hold_every_row_once_and_the_last_costs_what_the_first_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = many_parts(tmp_path, 60)
    reads, asked = [0], [0]
    read, facts = find_module._read_matching, store_module._local_facts

    def reading(part: Any, *, expression: Any) -> Any:
        reads[-1] += 1
        return read(part, expression=expression)

    def asking(path: str) -> Any:
        asked[-1] += 1
        return facts(path)

    monkeypatch.setattr(find_module, "_read_matching", reading)
    monkeypatch.setattr(store_module, "_local_facts", asking)
    told = []
    for page in pages(tmp_path, wanted=Wanted(), most_rows=7):
        told.append(page)
        reads.append(0)
        asked.append(0)
    assert [row for page in told for row in page] == rows
    assert [len(page) for page in told] == [7] * 17 + [1]
    most = (
        5 + 2 * find_module.PARTS_AT_ONCE
    )  # five parts have seven rows and the next; so many are read ahead
    assert max(reads) <= most
    assert max(asked) <= most


def test_what_is_rare_is_looked_for_in_so_many_parts_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many_parts(tmp_path, 25)
    monkeypatch.setattr(find_module, "_PARTS_OF_A_PAGE", 10)
    bark = Wanted(node_ids=frozenset([BARK]))
    assert list(pages(tmp_path, wanted=bark)) == [[], [], [("24.wav", "Bark")]]


def test_pages_go_on_where_a_part_has_gone(tmp_path: Path) -> None:
    rows = many_parts(tmp_path, 3)
    first = find_page(Store(tmp_path), wanted=Wanted(), most_rows=3)
    assert first.next == "0001:1"
    (tmp_path / "index" / "0001.parquet").unlink()
    after = find_page(Store(tmp_path), wanted=Wanted(), cursor=first.next)
    assert [(finding.recording_id, finding.label) for _, finding in after.rows] == rows[4:]
    assert after.next is None
    (tmp_path / "index" / "0002.parquet").unlink()
    assert find_page(Store(tmp_path), wanted=Wanted(), cursor=first.next).rows == ()


@pytest.mark.parametrize("cursor", ["7", ":7", "0001:", "0001:-1", "0001:²"])
def test_a_cursor_of_no_page_is_refused(tmp_path: Path, cursor: str) -> None:
    with pytest.raises(ConfigError, match="cursor"):
        find_page(Store(tmp_path), wanted=Wanted(), cursor=cursor)


def test_an_index_without_stems_is_heard_as_well_and_a_span_may_have_its_own_stem(tmp_path: Path) -> None:
    span = ActiveSpan(
        start_seconds=1.0, end_seconds=2.0, stem_uri="d.wav/dog/1.flac", stem_sha256="ab" * 32, stem_bytes=9
    )
    rows = [
        without_stem("d.wav", DOG, "Dog", 0.7, status="detected"),
        without_stem("d.wav", BARK, "Bark", 0.7, active_spans=(span,)),
    ]
    put(rows, root=str(tmp_path), name="0", folder=tmp_path / "made")
    detected, cut = find(tmp_path, wanted=Wanted())
    assert (detected.status, detected.stem) == ("detected", None)
    assert cut.stem is None
    assert [part.stem for part in cut.spans] == [str(tmp_path / "d.wav/dog/1.flac")]


def of_stretches(*stretches: tuple[float, float], detected: Sequence[tuple[float, float]]) -> IndexRow:
    """A sound with a file for each stretch that was separated, but for the last."""
    files = [
        ActiveSpan(
            start_seconds=start,
            end_seconds=end,
            **{}
            if (start, end) == stretches[-1]
            else {"stem_uri": f"d.wav/dog/{start}.flac", "stem_sha256": "ab" * 32, "stem_bytes": 9},
        )
        for start, end in stretches
    ]
    heard = tuple(Span(start_seconds=start, end_seconds=end) for start, end in detected)
    return without_stem("d.wav", DOG, "Dog", 0.7, active_spans=tuple(files), detected_spans=heard)


def test_what_was_separated_and_where_it_was_detected_are_told_apart(tmp_path: Path) -> None:
    rows = [
        of_stretches((0.0, 4.0), (6.0, 9.0), (10.0, 12.0), detected=[(6.5, 7.0), (8.0, 9.0), (10.0, 11.0)]),
        of_stretches((0.0, 4.0), (6.0, 7.0), detected=[]),
    ]
    put(rows, root=str(tmp_path), name="0", folder=tmp_path / "made")
    heard, unheard = find(tmp_path, wanted=Wanted())
    second = str(tmp_path / "d.wav/dog/6.0.flac")
    assert [(span.start_seconds, span.end_seconds, span.stem) for span in heard.spans] == [
        (6.5, 7.0, second),
        (8.0, 9.0, second),
        (10.0, 11.0, None),
    ]
    assert (heard.active_seconds, heard.stem) == (2.5, None)
    assert (unheard.active_seconds, unheard.spans) == (0.0, ())
    assert unheard.stem == str(tmp_path / "d.wav/dog/0.0.flac"), "its sound is found all the same"
    assert [one.active_seconds for one in find(tmp_path, wanted=Wanted(min_seconds=2.0))] == [2.5]
    assert LabelledRecording.of_findings([unheard]).events == ()


def test_an_index_of_version_1_is_read(tmp_path: Path) -> None:
    table = to_table([a_row("a.wav", DOG, "Dog", 0.9)])
    span = pa.struct(
        [pa.field("start_seconds", pa.float64(), False), pa.field("end_seconds", pa.float64(), False)]
    )
    spans = pa.array([[{"start_seconds": 0.0, "end_seconds": 2.0}]], pa.list_(span))
    position = table.schema.get_field_index("active_spans")
    old = table.set_column(position, pa.field("active_spans", spans.type, False), spans)
    (tmp_path / "index").mkdir()
    pq.write_table(
        old.replace_schema_metadata({"uss_ray.index_version": "1"}), tmp_path / "index" / "0.parquet"
    )
    (finding,) = find(tmp_path, wanted=Wanted())
    assert finding.spans == (FoundSpan(start_seconds=0.0, end_seconds=2.0),)


def test_a_large_part_is_read_in_pieces_and_gives_the_same(
    filled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = found(filled)
    monkeypatch.setattr(table_module, "_SMALL_PART_BYTES", 0)
    monkeypatch.delattr(Store, "read")
    assert found(filled) == whole != []


def test_row_groups_that_cannot_fit_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [a_row(f"{number:05}.wav", DOG, "Dog", number / 4000) for number in range(4000)]
    (tmp_path / "index").mkdir()
    pq.write_table(to_table(rows), tmp_path / "index" / "all.parquet", row_group_size=500)
    monkeypatch.setattr(table_module, "_SMALL_PART_BYTES", 0)
    read = 0
    opened = Store.open

    def counting(place: Store) -> Any:
        file = opened(place)

        class Counting:
            closed = False

            def __getattr__(self, name: str) -> Any:
                return getattr(file, name)

            def __enter__(self) -> Counting:
                return self

            def __exit__(self, *_: object) -> None:
                file.close()

            def read(self, count: int = -1) -> bytes:
                nonlocal read
                data: bytes = file.read(count)
                read += len(data)
                return data

        return Counting()

    monkeypatch.setattr(Store, "open", counting)
    assert len(found(str(tmp_path), min_probability=0.9)) == 400
    few, read = read, 0
    assert len(found(str(tmp_path))) == 4000
    assert few < read / 2


@pytest.mark.slow
def test_memory_does_not_grow_with_the_index_and_reading_stops_where_nobody_asks(tmp_path: Path) -> None:
    rows = [
        a_row(f"{number}.wav", DOG, "Dog", 0.5, reason=None, settings="x" * 10_000) for number in range(50)
    ]
    write_index(rows, path=tmp_path / "index" / "00000.parquet")
    part = (tmp_path / "index" / "00000.parquet").read_bytes()
    for number in range(1, 200):
        (tmp_path / "index" / f"{number:05}.parquet").write_bytes(part)
    (tmp_path / "index" / "99999.parquet").write_bytes(b"damaged, and never read")
    findings = find(tmp_path, wanted=Wanted(node_ids=frozenset([DOG])))

    def read_on() -> None:
        for _ in range(2000):
            next(findings)

    peak = least_peak_bytes(read_on)
    findings.close()
    assert peak < 2000 * 10_000 / 2  # of half of what it has read


def test_no_index_is_an_error_that_names_the_place(storage_root: str) -> None:
    with pytest.raises(DataError, match=r"expected an index \(index/\*\.parquet\), found none") as error:
        list(find(storage_root, wanted=Wanted()))
    assert error.value.item == storage_root


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.replace_schema_metadata({}), "version none"),
        (lambda table: table.replace_schema_metadata({"uss_ray.index_version": "99"}), "version 99"),
        (lambda table: table.drop_columns(["probability"]), r"missing \['probability'\]"),
    ],
)
def test_a_part_of_another_kind_is_an_error_that_names_it(filled: str, change: Any, message: str) -> None:
    table = to_table([a_row("z.wav", DOG, "Dog", 0.9)])
    pq.write_table(change(table), Path(filled) / "index" / "9.parquet")
    with pytest.raises(DataError, match=rf"9\.parquet.*{message}"):
        found(filled)


def test_a_damaged_part_is_an_error_that_names_it(filled: str) -> None:
    (Path(filled) / "index" / "1.parquet").write_bytes(b"PAR1, or so it says")
    with pytest.raises(DataError, match=r"1\.parquet: expected a Parquet file"):
        found(filled)


def test_a_part_with_a_bit_turned_is_read_or_named(filled: str) -> None:
    part = Path(filled) / "index" / "1.parquet"
    whole = part.read_bytes()
    named = 0
    for place in range(0, 8 * len(whole), 8 * len(whole) // 150):
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        part.write_bytes(changed)
        for use in (found, whole_part, lambda root: weights_of(Store(root))):
            try:
                use(filled)
            except DataError as error:
                named += "1.parquet" in str(error)
    assert named > 50


def whole_part(root: str) -> None:
    path = Path(root) / "index" / "1.parquet"
    with path.open("rb") as file:
        read_index_part(file, name=str(path))


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_probability": 1.5},
        {"min_probability": float("nan")},
        {"min_seconds": -1.0},
        {"statuses": ("lost",)},
        {"statuses": ()},
    ],
)
def test_a_wish_out_of_its_range_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong)).removesuffix("es")):
        Wanted(**wrong)


def test_a_name_stands_for_all_below_it_unless_it_is_meant_exactly() -> None:
    vocabulary = Vocabulary.load()
    dogs = nodes_named(["dog"], vocabulary=vocabulary)
    assert {DOG, BARK} < dogs
    assert CAT not in dogs
    assert nodes_named(["Dog", CAT, "query:mine"], vocabulary=vocabulary, exact=True) == {
        DOG,
        CAT,
        "query:mine",
    }
    with pytest.raises(QueryError, match=r"near: Dog"):
        nodes_named(["dgo"], vocabulary=vocabulary)


def test_heard_are_the_statuses_with_a_sound() -> None:
    assert HEARD == ("written", "detected")
