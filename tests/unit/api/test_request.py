from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch

from uss_ray.api.request import Query, SeparationRequest, request_with
from uss_ray.config import load, to_yaml
from uss_ray.errors import ConfigError
from uss_ray.results.options import WriteOptions
from uss_ray.separation.settings import NetworkSettings, SeparationSettings
from uss_ray.silence import SeparationSilence


def test_asking_for_nothing_asks_for_the_events():
    assert (Query().events, Query().levels) == (True, ())
    assert not Query(texts=("a dog",)).events
    assert not Query(exclude=("Dog",)).events
    assert Query(exclude=("Dog",), events=True).events


def test_events_that_are_off_ask_for_nothing_alone():
    with pytest.raises(ConfigError, match="expected something to separate, found events off"):
        Query(events=False)
    assert Query(events=False, levels=(1,)).levels == (1,)


def test_a_span_has_room_for_long_segments_unless_it_is_asked_for():
    settings = SeparationSettings(segment_seconds=40)
    request = SeparationRequest(output="here", settings=settings)
    assert request.span_seconds == 400
    assert SeparationRequest(**request.model_dump()) == request
    assert SeparationRequest(output="here").span_seconds == 300
    with pytest.raises(ConfigError, match="span_seconds: expected at least 400, found 300"):
        SeparationRequest(output="here", settings=settings, span_seconds=300)


def test_what_is_asked_travels_as_it_is():
    for query in (Query(), Query(levels=(2,)), Query(events=True, classes=("Dog",))):
        assert Query(**query.model_dump()) == query


def test_events_and_levels_are_two_ways_to_share_a_recording_out():
    with pytest.raises(ConfigError, match="events or levels"):
        Query(events=True, levels=(1,))


def test_the_published_profile_has_the_levels_of_its_program_if_nothing_is_asked_for():
    published = SeparationSettings.published()
    request = SeparationRequest(output="here", settings=published)
    assert (request.sought.events, request.sought.levels) == (False, (1, 2, 3))
    again = SeparationRequest(**request.model_dump())
    assert (again, again.sought, again.described()) == (request, request.sought, request.described())
    assert json.loads(request.described())["query"]["levels"] == [1, 2, 3]
    assert json.loads(request.described())["query"]["events"] is False
    asked = SeparationRequest(output="here", settings=published, query=Query(events=True))
    assert (asked.sought.events, asked.sought.levels) == (True, ())
    assert SeparationRequest(**asked.model_dump()).sought == asked.sought
    named = SeparationRequest(output="here", settings=published, query=Query(classes=("Dog",)))
    assert (named.sought.events, named.sought.levels) == (False, ())


@pytest.mark.parametrize(
    "asked",
    [
        {"classes": ("Dog",)},
        {"events": True},
        {"levels": 2},
        {"exclude": ("Dog",)},
        {"hierarchy": "graph"},
        {"allow_unknown": True, "hierarchy": "graph"},
        {},
    ],
)
def test_options_over_the_published_profile_ask_as_they_do_beside_it(asked):
    below = request_with(output="here", hierarchy="published", allow_unknown=False)
    at_once = request_with(**{"output": "here", "hierarchy": "published", **asked})
    assert request_with(below, **asked).sought == at_once.sought
    assert request_with(below, **asked).described() == at_once.described()


ASKED = [
    {"events": True},
    {"levels": (1, 2)},
    {"classes": ("Dog", "Cat")},
    {"classes": ("Dog", "Cat"), "union": True},
    {"texts": ("a dog",)},
    {"example_folder": "barks"},
]


@pytest.mark.parametrize("below", ASKED)
@pytest.mark.parametrize("above", ASKED)
def test_who_asks_for_something_asks_for_that_alone(below, above, tmp_path):
    kept = {"exclude": ("Music",), "allow_unknown": True}
    request = request_with(request_with(output="here", **below, **kept), **above)
    assert request.query == Query(**above, **kept)
    (tmp_path / "below.yaml").write_text(to_yaml(request_with(output="here", **below, **kept)))
    assert load(tmp_path / "below.yaml", SeparationRequest, changes={"query": above}) == request


@pytest.mark.parametrize(
    "above", [{"events": False}, {"exclude": ("Music",)}, {"classes": ()}, {"texts": []}]
)
def test_who_asks_for_nothing_leaves_what_was_asked_for(above):
    request = request_with(request_with(output="here", levels=(1,)), **above)
    assert request.query == Query(levels=(1,), **above)


def test_a_union_needs_classes():
    with pytest.raises(ConfigError, match="union"):
        Query(levels=(1,), union=True)


def test_the_run_is_named_by_what_shapes_the_samples_and_not_by_places():
    request = SeparationRequest(output="here")
    name = request.run_id(weights_sha256="abc")
    assert name == SeparationRequest(output="there", weights="x", write=WriteOptions(report=False)).run_id(
        weights_sha256="abc"
    )
    others = [
        SeparationRequest(output="here", query=Query(levels=(1,))),
        SeparationRequest(output="here", settings=SeparationSettings(threshold=0.3)),
        SeparationRequest(output="here", write=WriteOptions(stem_format="wav")),
    ]
    assert (
        len({name, request.run_id(weights_sha256="abd"), *(o.run_id(weights_sha256="abc") for o in others)})
        == 5
    )


def test_what_was_begun_before_bands_were_a_choice_goes_on():
    request = SeparationRequest(output="here")
    assert "in_bands" not in request.described()
    in_bands = SeparationRequest(output="here", networks=NetworkSettings(in_bands=True))
    assert '"in_bands":true' in in_bands.described().replace(" ", "")
    assert in_bands.run_id(weights_sha256="abc") != request.run_id(weights_sha256="abc")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (name, value)
            for name in SeparationSilence.model_fields
            if name.endswith("_dbfs")
            for value in (None, -42.0)
        ),
        *((name, 0.3) for name in SeparationSilence.model_fields if not name.endswith("_dbfs")),
    ],
)
def test_every_threshold_of_silence_names_the_run(name, value):
    silence = SeparationSilence().replace(**{name: value})
    changed = SeparationRequest(output="here", settings=SeparationSettings(silence=silence))
    assert changed.run_id(weights_sha256="abc") != SeparationRequest(output="here").run_id(
        weights_sha256="abc"
    )


def test_the_description_is_json_that_names_every_setting():
    described = json.loads(SeparationRequest(output="here").described())
    assert described["settings"]["threshold"] == SeparationSettings().threshold
    assert described["query"]["events"] is True


@pytest.mark.parametrize("wrong", [{"write": {"stem_format": "aac"}}, {"device": "abacus"}])
def test_an_unknown_format_or_device_is_refused(wrong):
    with pytest.raises(ConfigError):
        SeparationRequest(output="here", **wrong)


def test_options_are_laid_over_a_request_by_their_names_alone():
    request = request_with(
        output="here", classes=["Dog"], write="index-only", residual=False, texts=("a dog",)
    )
    assert request.query == Query(classes=("Dog",), texts=("a dog",))
    assert request.write == WriteOptions(write="index-only", residual=False)
    other = request_with(request, exclude=["Music"], stem_format="wav")
    assert other.query.exclude == ("Music",)
    assert other.query.classes == ("Dog",)
    assert other.write == WriteOptions(write="index-only", residual=False, stem_format="wav")


def test_options_may_be_what_iterates_and_paths(tmp_path):
    request = request_with(
        output=tmp_path, levels=range(1, 3), classes=(name for name in ["Dog"]), weights=tmp_path
    )
    assert (request.output, request.weights) == (str(tmp_path), str(tmp_path))
    assert (request.query.levels, request.query.classes) == ((1, 2), ("Dog",))


def test_classes_are_named_by_index_in_whatever_holds_them():
    for classes in ([np.int64(3), "Dog"], (np.uint8(3), "Dog"), {"Dog", 3}, (one for one in (3, "Dog"))):
        assert Query(classes=classes).classes == ("3", "Dog")
    assert Query(classes=np.int64(3), levels=np.int64(2)) == Query(classes=3, levels=2)


@pytest.mark.parametrize("scalar", [np.array(3), torch.tensor(3)])
@pytest.mark.parametrize("option", ["classes", "exclude", "texts"])
def test_an_array_without_a_dimension_is_refused_in_words(option, scalar):
    with pytest.raises(ConfigError, match=f"query {option}"):
        request_with(output="here", **{option: scalar})


def test_a_part_that_is_null_is_the_default_and_one_of_another_kind_is_refused():
    assert request_with(output="here", query=None, classes="Dog").query == Query(classes="Dog")
    with pytest.raises(ConfigError, match="query"):
        request_with(output="here", query=SeparationSettings(), classes="Dog")


def test_a_set_is_taken_in_an_order_that_names_the_run():
    names = {"Dog", "Cat", "Speech", "Music", "Siren"}
    assert Query(classes=names, exclude=names, texts=names).classes == tuple(sorted(names))
    assert Query(texts=names).texts == Query(exclude=names).exclude == tuple(sorted(names))


@pytest.mark.parametrize(
    ("option", "value"),
    [("threshold", False), ("threshold", True), ("levels", True), ("classes", [False]), ("classes", True),
     ("exclude", [True]), ("span_seconds", True)],
)  # fmt: skip
def test_a_truth_value_asks_for_nothing(option, value):
    with pytest.raises(ConfigError, match=f"{option}.*found (true|false) "):
        request_with(output="here", **{option: value})


def test_a_request_travels_to_a_worker_as_it_is():
    request = request_with(output="here", settings=SeparationSettings.published(), residual=False)
    assert pickle.loads(pickle.dumps(request)) == request  # noqa: S301


def test_default_levels_do_not_stay_beside_what_is_asked_for():
    assert request_with(SeparationRequest(output="here"), classes=["Dog"]).query.levels == ()


@pytest.mark.parametrize(
    "asked",
    [
        {"settings": {"hierarchy": "published"}, "threshold": 0.2},
        {"query": {"classes": ["Dog"]}, "exclude": ["Music"]},
        {"write": {"stem_format": "wav"}, "residual": False},
        {"networks": {"precision": "bfloat16"}, "batch_size": 2},
    ],
)
def test_a_part_as_a_mapping_stands_beside_options_of_it(asked):
    (part, said), (name, value) = asked.items()
    for below in (None, request_with(output="here", classes=["Cat"])):
        whole = request_with(below, output="here", **asked)
        assert whole == request_with(below, output="here", **{part: {**said, name: value}})
        assert getattr(getattr(whole, part), name) in (value, tuple(value) if name == "exclude" else value)


def test_a_part_that_is_no_settings_is_refused_beside_options_of_it():
    with pytest.raises(ConfigError, match="request settings: expected settings by their names, found 5"):
        request_with(output="here", settings=5, threshold=0.2)


def test_an_unknown_option_names_the_nearest():
    with pytest.raises(ConfigError, match=r"option levls: expected a known one, 'levels'\?"):
        request_with(output="here", levls=(1,))


def test_the_published_profile_is_strict_json():
    request = SeparationRequest(output="here", settings=SeparationSettings.published())
    json.loads(request.described(), parse_constant=lambda name: pytest.fail(name))
