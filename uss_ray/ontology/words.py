"""Words of English text brought to a common form: lower case, no filler words, light stemming.

Owns tokens only; what they are compared with belongs to `matching`.
"""

from __future__ import annotations

import re

_FILLERS = """
a an and are as at be being by etc for from her his in into is it its my of on or our over some somebody someone
something sound sounding sounds that the their them these this those to typically usually was were which with
"""
FILLER_WORDS = frozenset(_FILLERS.split())

IRREGULAR_PLURALS = {
    "children": "child",
    "geese": "goose",
    "knives": "knife",
    "leaves": "leaf",
    "men": "man",
    "mice": "mouse",
    "wolves": "wolf",
    "women": "woman",
}

# Who does it, how and where: words that say little of what sounds; any form of them.
_LIGHT = """
adult angry away background big blow boy busy by calm child close come day deep distant drop evening far fast fill
flow fly forest garden gentle girl go guy happy hear heavy high hit house huge kid lady large little long loud low
man morning move near nearby nice night noise noisy off old open outdoor outside park pass people person play quiet
recording ring room run sad scared scary short slow small soft solo start stop strong take tiny turn up way weak
woman young
"""

LIGHT_WEIGHT = 0.25
ACTION_WEIGHT = 0.7

_WORD = re.compile(r"[^\W_]+")
_POSSESSIVE = re.compile(r"['’]s\b")
_VOWELS = frozenset("aeiouy")
_KEPT_DOUBLES = frozenset("lsz")


def tokenise(text: str) -> tuple[str, ...]:
    """Split text into stems, in order, without filler words.

    Parameters
    ----------
    text : str
        Any text; words are runs of letters and digits.

    Returns
    -------
    tuple of str
        Stems; empty when the text has filler words only.

    Examples
    --------
    >>> tokenise("Someone's dogs barking in the rain")
    ('dog', 'bark', 'rain')
    """
    words = _WORD.findall(_POSSESSIVE.sub("", text.casefold()))
    return tuple(stem(word) for word in words if word not in FILLER_WORDS)


def weigh(text: str) -> dict[str, float]:
    """Tell how much each word of a text says about what sounds, whatever their order.

    Parameters
    ----------
    text : str
        As of `tokenise`.

    Returns
    -------
    dict of str to float
        Stem -> weight in (0, 1]: 1 for what names a thing, less for what it does ("barking"), least for how or where
        it sounds ("distant", "passing").

    Examples
    --------
    >>> weigh("water running")
    {'water': 1.0, 'run': 0.25}
    """
    words = _WORD.findall(_POSSESSIVE.sub("", text.casefold()))
    return {stem(word): _weight(word) for word in words if word not in FILLER_WORDS}


def _weight(word: str) -> float:
    if stem(word) in LIGHT_STEMS:
        return LIGHT_WEIGHT
    return ACTION_WEIGHT if word.endswith("ing") and stem(word) != word else 1.0


def stem(word: str) -> str:
    """Strip plural, -ing and -ed from a lower-case word, so that its forms meet; the stem need not be a word.

    Examples
    --------
    >>> [stem(word) for word in ("bells", "typing", "running", "whistle", "whistling", "sing")]
    ['bell', 'type', 'run', 'whistl', 'whistl', 'sing']
    """
    base = IRREGULAR_PLURALS.get(word) or _without_final_s(word)
    return _without_final_e(_without_verb_ending(base))


def _without_final_s(word: str) -> str:
    if len(word) > 4 and word.endswith(("ies", "ied")):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _without_verb_ending(word: str) -> str:
    bare = word
    if word.endswith("ing"):
        bare = word[:-3]
    elif word.endswith("ed") and not word.endswith("eed"):
        bare = word[:-2]
    if not _VOWELS & set(bare):
        return word
    if len(bare) > 3 and bare[-1] == bare[-2] and bare[-1] not in _VOWELS | _KEPT_DOUBLES:
        return bare[:-1]
    if bare != word and _is_short_syllable(bare):
        return bare + "e"
    return bare


def _is_short_syllable(word: str) -> bool:
    """Tell consonant-vowel-consonant, the shape that lost an e: typ(e), bit(e), fil(e); but not saw or cry."""
    return (
        len(word) == 3
        and word[0] not in _VOWELS
        and word[1] in _VOWELS
        and word[2] not in _VOWELS
        and word[2] not in "wx"
    )


def _without_final_e(word: str) -> str:
    return word[:-1] if len(word) > 4 and word.endswith("e") else word


LIGHT_STEMS = frozenset(stem(word) for word in _LIGHT.split())
