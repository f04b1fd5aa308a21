from __future__ import annotations

from types import SimpleNamespace

import pytest

from uss_ray.errors import DataError
from uss_ray.mining.settings import MiningSettings
from uss_ray.models.specifications import ClassListId
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.pipelines.mining.facts import check_labels, load_labels, manifest_maker, run_facts
from uss_ray.pipelines.mining.request import MiningRequest

DOG, RAIN = "/m/0bt9lr", "/m/06mb1"
WEIGHTS = SimpleNamespace(name="small", sha256="ab", specifications=SimpleNamespace(sample_rate=32_000))


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.load()


@pytest.fixture
def make_request(tmp_path):
    (tmp_path / "a.csv").write_text(f'one, 0, 10, "{DOG}"\ntwo, 0, 10, "{DOG},{RAIN}"\n')

    def make(**changes) -> MiningRequest:
        values = {
            "segments": (str(tmp_path / "a.csv"),),
            "audio": "audio",
            "output": str(tmp_path / "out"),
            "weights": "w",
        }
        return MiningRequest(**(values | changes))

    return make


def facts(request: MiningRequest, vocabulary: Vocabulary, *, sha256: str = "1"):
    return run_facts(request, weights=WEIGHTS, vocabulary=vocabulary, segments_sha256=sha256)  # type: ignore[arg-type]


def test_labels_that_are_missing_are_named_before_any_work(make_request, tmp_path) -> None:
    check_labels(make_request())
    with pytest.raises(DataError, match=r"none\.csv: expected a segment CSV, found no such file"):
        check_labels(make_request(segments=(str(tmp_path / "a.csv"), str(tmp_path / "none.csv"))))


def test_excerpts_that_share_a_name_are_told_of(make_request, vocabulary, tmp_path, caplog) -> None:
    (tmp_path / "b.csv").write_text(f'one, 5, 10, "{DOG}"\none, 5.0001, 11, "{RAIN}"\n')
    load_labels(make_request(), vocabulary)
    assert not caplog.records
    load_labels(make_request(segments=(str(tmp_path / "a.csv"), str(tmp_path / "b.csv"))), vocabulary)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["one_5.000"]


def test_the_digest_of_labels_is_of_what_they_say_not_of_how(make_request, vocabulary, tmp_path) -> None:
    table, sha256 = load_labels(make_request(), vocabulary)
    assert len(table) == 2
    (tmp_path / "b.csv").write_text(f'# comment\ntwo, 0, 10, "{RAIN},{DOG}"\none, 0.0, 10.0, "{DOG}"\n')
    assert load_labels(make_request(segments=(str(tmp_path / "b.csv"),)), vocabulary)[1] == sha256
    (tmp_path / "c.csv").write_text(f'two, 0, 10, "{RAIN}"\none, 0, 10, "{DOG}"\n')
    assert load_labels(make_request(segments=(str(tmp_path / "c.csv"),)), vocabulary)[1] != sha256


def test_a_run_is_known_by_what_shapes_its_anchors(make_request, vocabulary, tmp_path) -> None:
    first = facts(make_request(), vocabulary)
    assert (first.weights_name, first.weights_sha256, len(first.run_id)) == ("small", "ab", 16)
    assert facts(make_request(output=str(tmp_path / "elsewhere")), vocabulary).run_id == first.run_id
    others = [
        facts(make_request(settings=MiningSettings(min_purity=0.5)), vocabulary),
        facts(make_request(), vocabulary, sha256="2"),
    ]
    assert len({each.run_id for each in (first, *others)}) == 3


def test_a_manifest_names_weights_and_classes(make_request, vocabulary) -> None:
    request = make_request()
    make = manifest_maker(request, weights=WEIGHTS, vocabulary=vocabulary)  # type: ignore[arg-type]
    manifest = make([], rejects={"missing": 2}, clips=2)
    assert (manifest.weights_sha256, manifest.sample_rate, manifest.clips) == ("ab", 32_000, 2)
    assert manifest.class_list_sha256 == ClassListId.of(vocabulary.classes.ids).sha256
    assert manifest.settings == request.settings.model_dump(mode="json")
