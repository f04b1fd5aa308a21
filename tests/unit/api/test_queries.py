from __future__ import annotations

import pytest
import soundfile

from tests.unit.separation.fakes import DOG, SPEECH, FakeWeights, LatentQueryNet, one_hot, snr_db, tone
from uss_ray.api.queries import plan_targets
from uss_ray.api.request import Query, SeparationRequest
from uss_ray.errors import QueryError, WeightsError
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.engine import build_engine
from uss_ray.separation.mixture import ArraySource
from uss_ray.separation.settings import SeparationSettings

RATE = 8000


@pytest.fixture(scope="module")
def engine():
    return build_engine(FakeWeights(), vocabulary=Vocabulary.load())


def plan_of(engine, settings=None, **query):
    request = SeparationRequest(
        output="unused", query=Query(**query), settings=settings or SeparationSettings()
    )
    return plan_targets(request, engine=engine)


def test_stems_stand_in_the_order_of_the_targets_and_each_once(engine):
    plan = plan_of(engine, levels=(1,), classes=("Dog", "Animal"), texts=("a dog",))
    assert plan.stems.keys == tuple(target.key for target in plan.separation.targets)
    kinds = {stem.label: stem.kind for stem in plan.stems}
    assert kinds["Animal"] == "node", "asked for first as a part of its level"
    assert kinds["Dog"] == "class"
    assert [text for text, _ in plan.matches] == ["a dog"]


def test_a_union_is_one_stem(engine):
    [stem] = plan_of(engine, classes=("Dog", "Speech"), union=True).stems
    assert (stem.kind, stem.level) == ("union", None)
    plan = plan_of(engine, classes=("speech", "SPEECH", "/m/09x0r", "0", " Speech "), union=True)
    [stem] = plan.stems
    assert (stem.kind, stem.key) == ("class", "/m/09x0r"), "one sound, however often it is named"
    assert dict(plan.names)["0"] == "/m/09x0r"
    assert plan_of(engine, classes=("Dog", "Speech"), union=True).names == ()


def test_an_exclusion_alone_asks_for_the_rest(engine):
    plan = plan_of(engine, exclude=("Dog",))
    assert [stem.kind for stem in plan.stems] == ["rest"]
    assert [target.label for target in plan.separation.exclude] == ["Dog"]


def test_what_is_excluded_whole_has_no_row_that_calls_it_absent(engine):
    for asked in ({"levels": (1, 3)}, {"events": True}):
        with_dog = plan_of(engine, **asked).stems.keys
        plan = plan_of(engine, exclude=("Animal",), **asked)
        left_out = set(with_dog) - set(plan.stems.keys)
        ontology = engine.vocabulary.ontology
        assert {"Animal" if "levels" in asked else "Bark", "Dog"} <= {
            ontology.node(key).label for key in left_out
        }
        assert "Speech" in {stem.label for stem in plan.stems}


@pytest.mark.parametrize(
    "query",
    [
        {"classes": ("Dog",), "exclude": ("Dog",)},
        {"classes": ("Speech", "Dog"), "exclude": ("Animal",)},
        {"texts": ("a dog",), "exclude": ("Animal",)},
        {"classes": ("Dog", "Domestic animals, pets"), "union": True, "exclude": ("Animal",)},
        {"levels": (1,), "classes": ("Animal",), "exclude": ("Animal",)},
    ],
)
def test_what_is_asked_for_and_excluded_is_refused(engine, query):
    with pytest.raises(QueryError, match="both asked for and excluded, by"):
        plan_of(engine, **query)


def test_an_exclusion_that_leaves_nothing_is_refused(engine):
    roots = tuple(stem.label for stem in plan_of(engine, levels=(1,)).stems)
    with pytest.raises(QueryError, match="expected something to be left"):
        plan_of(engine, levels=(1,), exclude=roots, allow_unknown=True)


@pytest.mark.parametrize("query", [{"levels": (1,)}, {"events": True}, {"classes": ("Animal", "Speech")}])
def test_of_what_an_exclusion_leaves_the_weights_may_know_nothing(engine, query):
    """They know no animal but the dog: without it nothing can be said of *Animal*, and nothing is called absent."""
    whole, left = (plan_of(engine, exclude=exclude, **query) for exclude in (("Music",), ("Dog",)))
    known = {stem.label: stem.is_known for stem in whole.stems}
    assert (known["Animal"], known["Speech" if "levels" not in query else "Human sounds"]) == (True, True)
    known = {stem.label: stem.is_known for stem in left.stems}
    assert (known["Animal"], known["Speech" if "levels" not in query else "Human sounds"]) == (False, True)
    assert known == {target.label: target.is_known for target in left.separation.targets}


def test_a_part_of_what_is_asked_for_may_be_excluded(engine):
    plan = plan_of(engine, classes=("Animal", "Speech"), exclude=("Dog",))
    assert [stem.label for stem in plan.stems] == ["Animal", "Speech"]


def test_examples_in_a_folder_that_is_called_as_a_union_are_not_passed_over(engine, tmp_path):
    folder = tmp_path / "dog speech"
    folder.mkdir()
    soundfile.write(folder / "a.wav", tone(DOG, 3.0, sample_rate=RATE), RATE)
    with pytest.raises(QueryError, match="query:dog-speech"):
        plan_of(engine, classes=("Dog", "Speech"), union=True, example_folder=str(folder))


def test_levels_are_those_of_the_settings_hierarchy(engine):
    graph = plan_of(engine, levels=(2,))
    published = plan_of(engine, SeparationSettings.published(), levels=(2,))
    assert graph.stems.keys != published.stems.keys


def test_examples_are_listened_to(engine, tmp_path):
    folder = tmp_path / "my dog"
    folder.mkdir()
    soundfile.write(folder / "a.wav", tone(DOG, 3.0, sample_rate=RATE), RATE)
    (folder / "notes.txt").write_text("no recording")
    plan = plan_of(engine, example_folder=folder)
    assert [(stem.key, stem.kind) for stem in plan.stems] == [("query:my-dog", "example")]
    dog, speech = (tone(index, 4.0, sample_rate=RATE) for index in (DOG, SPEECH))
    source = ArraySource(dog + speech, sample_rate=RATE)
    [block] = engine.stream(source, plan.separation)
    assert snr_db(block.estimates["query:my-dog"][0], dog) > 20


def test_an_empty_folder_of_examples_is_refused(engine, tmp_path):
    with pytest.raises(QueryError, match="example recordings"):
        plan_of(engine, example_folder=tmp_path)


@pytest.mark.parametrize("query", [{"classes": ("Nothing of the kind",)}, {"levels": (99,)}])
def test_what_there_is_not_is_refused(engine, query):
    with pytest.raises(QueryError):
        plan_of(engine, **query)


def test_what_the_weights_cannot_do_is_refused_with_the_plan():
    weights = FakeWeights(class_means=None)
    engine = build_engine(weights, vocabulary=Vocabulary.load())
    with pytest.raises(WeightsError, match="class means"):
        plan_of(engine, SeparationSettings(condition="class-mean"), classes=("Dog",))


def test_names_and_words_are_not_gated_and_levels_are(engine):
    plan = plan_of(engine, levels=(1,), classes=("Speech",), texts=("a dog",), exclude=("Music",))
    gated = {target.label: target.is_gated for target in plan.separation.targets}
    assert gated.pop("Speech") is gated.pop("Dog") is False
    assert all(gated.values())
    assert not plan.separation.exclude[0].is_gated


def test_a_node_of_a_level_that_is_named_as_well_stays_there_without_a_gate(engine):
    plan = plan_of(engine, levels=(1,), classes=("Animal",))
    [animal] = [target for target in plan.separation.targets if target.label == "Animal"]
    assert (animal.level, animal.is_gated) == (1, False)


def test_only_detected_gates_names_and_so_does_the_published_profile(engine):
    for settings in (SeparationSettings(only_detected=True), SeparationSettings.published()):
        settings = settings.replace(condition="auto")
        plan = plan_of(engine, settings, classes=("Speech", "Dog"), union=True, exclude=("Music",))
        assert all(target.is_gated for target in (*plan.separation.targets, *plan.separation.exclude))


@pytest.mark.parametrize("query", [{"classes": ("Siren",)}, {"texts": ("siren",)}, {"exclude": ("Siren",)}])
def test_what_the_weights_do_not_know_is_refused_by_name(engine, query):
    with pytest.raises(QueryError, match="Siren: expected a sound that the weights were trained on"):
        plan_of(engine, **query)
    plan = plan_of(engine, allow_unknown=True, **query)
    targets = (*plan.separation.targets, *plan.separation.exclude)
    assert any(not target.is_known and not target.is_gated for target in targets)


def test_a_union_with_something_unknown_is_refused_and_allowed_is_known_by_the_rest(engine):
    with pytest.raises(QueryError, match="Siren"):
        plan_of(engine, classes=("Dog", "Siren"), union=True)
    plan = plan_of(engine, classes=("Dog", "Siren"), union=True, allow_unknown=True)
    assert plan.separation.targets[0].is_known


def test_a_level_keeps_what_the_weights_do_not_know(engine):
    plan = plan_of(engine, levels=(1,))
    known = {stem.label: stem.is_known for stem in plan.stems}
    assert known["Animal"]
    assert not known["Source-ambiguous sounds"]
    assert [target.is_known for target in plan.separation.targets] == list(known.values())


def test_stems_say_what_nothing_steers_to():
    weights = FakeWeights(class_means={SPEECH: one_hot(SPEECH)})
    weights.query_net = LatentQueryNet()
    weights.specifications = weights.specifications.model_copy(update={"known_classes": (SPEECH, DOG)})
    plan = plan_of(build_engine(weights, vocabulary=Vocabulary.load()), levels=(1,))
    said = {stem.label: (stem.is_known, stem.is_separable) for stem in plan.stems}
    assert said["Human sounds"] == (True, True)
    assert said["Animal"] == (True, False)


def test_weights_without_class_means_know_everything():
    weights = FakeWeights(class_means=None)
    plan = plan_of(build_engine(weights, vocabulary=Vocabulary.load()), levels=(1, 2, 3))
    assert all(stem.is_known for stem in plan.stems)


def test_events_are_stems_of_one_group_and_one_that_is_named_stays_there(engine):
    plan = plan_of(engine, events=True, classes=("Dog",))
    kinds = {stem.label: (stem.kind, stem.group) for stem in plan.stems}
    assert kinds["Dog"] == kinds["Animal"] == ("event", 0)
    gated = {target.label: target.is_gated for target in plan.separation.targets}
    assert (gated["Dog"], gated["Animal"]) == (False, True)
    known = {stem.label: stem.is_known for stem in plan.stems}
    assert (known["Dog"], known["Siren"]) == (True, False)
    assert [(rest.level, rest.group) for rest in plan.stems.residuals] == [(0, 0)]
