from __future__ import annotations

import json

import pytest

from uss_ray.api.request import DEFAULT_LEVELS, Query, SeparationRequest
from uss_ray.errors import ConfigError
from uss_ray.separation.settings import SeparationSettings


def test_asking_for_nothing_asks_for_the_default_levels():
    assert Query().levels == DEFAULT_LEVELS
    assert Query(texts=("a dog",)).levels == ()
    assert Query(exclude=("Dog",)).levels == ()


def test_a_union_needs_classes():
    with pytest.raises(ConfigError, match="union"):
        Query(levels=(1,), union=True)


def test_the_run_is_named_by_what_shapes_the_samples_and_not_by_places():
    request = SeparationRequest(output="here")
    name = request.run_id(weights_sha256="abc")
    assert name == SeparationRequest(output="there", weights="x", report=False).run_id(weights_sha256="abc")
    others = [
        SeparationRequest(output="here", query=Query(levels=(1,))),
        SeparationRequest(output="here", settings=SeparationSettings(threshold=0.3)),
        SeparationRequest(output="here", stem_format="wav"),
    ]
    assert (
        len({name, request.run_id(weights_sha256="abd"), *(o.run_id(weights_sha256="abc") for o in others)})
        == 5
    )


def test_the_description_is_json_that_names_every_setting():
    described = json.loads(SeparationRequest(output="here").described())
    assert described["settings"]["threshold"] == SeparationSettings().threshold
    assert described["query"]["levels"] == list(DEFAULT_LEVELS)


@pytest.mark.parametrize("wrong", [{"stem_format": "mp3"}, {"device": "abacus"}])
def test_an_unknown_format_or_device_is_refused(wrong):
    with pytest.raises(ConfigError):
        SeparationRequest(output="here", **wrong)
