from __future__ import annotations

import pytest

from uss_ray.ontology.words import stem, tokenise


@pytest.mark.parametrize(
    "forms",
    [
        "bark barks barking barked",
        "type types typing typed",
        "whistle whistles whistling",
        "purr purrs purring",
        "hum humming hums",
        "cry cries crying cried",
        "dish dishes",
        "glass glasses",
        "smoke smoking",
        "yell yelling yells",
        "child children",
        "woman women",
        "saw sawing",
    ],
)
def test_the_forms_of_a_word_share_a_stem(forms: str) -> None:
    assert len({stem(form) for form in forms.split()}) == 1


@pytest.mark.parametrize(
    "pair", ["bus bu", "bass bas", "sing s", "ring r", "tap tape", "bee be", "speed spe"]
)
def test_words_that_only_look_like_forms_keep_their_own_stem(pair: str) -> None:
    first, second = pair.split()
    assert stem(first) != stem(second)


def test_text_is_split_at_anything_but_letters_and_digits_without_filler_words() -> None:
    assert tokenise("The DOG's bark, on 2 hi-hats!") == ("dog", "bark", "2", "hi", "hat")
    assert tokenise("some sounds of the") == ()
    assert tokenise("Vögel, птица") == ("vögel", "птица")
