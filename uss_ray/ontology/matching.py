"""Free text compared with the names and descriptions of nodes.

Owns the score; what counts as an answer, and what as a tie, belongs to `vocabulary`.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from uss_ray.errors import DataError
from uss_ray.ontology.graph import Node, Ontology
from uss_ray.ontology.source import read_source
from uss_ray.ontology.words import LIGHT_WEIGHT, stem, tokenise, weigh

PACKAGED_EVERYDAY_WORDS = "everyday_words.json"
PACKAGED_OTHER_NAMES = "other_names.json"

# How much a query word counts by where it is found: in the label itself, in the label of a node above (or in
# brackets behind the label), or in the description only.
LABEL_WEIGHT = 1.0
CONTEXT_WEIGHT = 0.5
DESCRIPTION_WEIGHT = 0.35
# How much it counts by what it is found as: the same word (1), a word meaning nearly the same, or the start of a
# longer one.
EVERYDAY_WORD_WEIGHT = 0.8
PREFIX_WEIGHT = 0.6
MIN_PREFIX_LETTERS = 4
MAX_ENDING_LETTERS = 3  # laughter, gunfire; but a woodpecker is no wood
# A word that no node has is rarer than all that any has, but may be anything.
UNKNOWN_WORD_SHARE = 0.8
# What a label loses when the text names none of its other synonyms: "a dog" is Dog before "Canidae, dogs, wolves".
UNNAMED_SYNONYMS_LOSS = 0.1

_BRACKETS = re.compile(r"\(([^)]*)\)")


@dataclass(frozen=True, slots=True)
class ScoredNode:
    """A node and how well a text fits it.

    Attributes
    ----------
    node : Node
        The candidate.
    score : float
        In [0, 1]; 1 when text and a name say the same.
    named_by : frozenset of str
        Stems of the text that stand in the name, or in that of a node above.
    """

    node: Node
    score: float
    named_by: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Entry:
    node: Node
    synonyms: tuple[tuple[str, ...], ...]
    other_names: tuple[tuple[str, ...], ...]
    context: frozenset[str]
    description: frozenset[str]

    @property
    def words(self) -> frozenset[str]:
        return self.description.union(*self.synonyms)


class TextIndex:
    """Names and descriptions of nodes, ready to be compared with a text.

    Parameters
    ----------
    ontology : Ontology
        Gives the labels of the nodes above a candidate.
    candidates : iterable of Node
        The nodes that a text may stand for.
    everyday_words : mapping of str to tuple of str
        Stem -> stems of label words that mean nearly the same.
    other_names : mapping of str to tuple of str, optional
        Label -> what people call this sound as well.

    Notes
    -----
    For each synonym of a label and each other name, score = (share of the text found) x (1 + share of the name
    found) / 2, each word weighted by its inverse document frequency, and a word of the text by what it says too
    (`words.weigh`: "water running" is water, in either order); a node's score is that of its best name, less up to a
    tenth for the synonyms of the label left unnamed. Another name counts whole or not at all.
    """

    def __init__(
        self,
        ontology: Ontology,
        *,
        candidates: Iterable[Node],
        everyday_words: Mapping[str, tuple[str, ...]],
        other_names: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._everyday_words = everyday_words
        self._entries = [
            _build_entry(node, ontology, (other_names or {}).get(node.label, ())) for node in candidates
        ]
        counts = Counter(word for entry in self._entries for word in entry.words)
        self._rarity = {word: math.log1p(len(self._entries) / count) for word, count in counts.items()}
        self._unknown_rarity = UNKNOWN_WORD_SHARE * math.log1p(len(self._entries))

    def rank(self, text: str) -> list[ScoredNode]:
        """Score every candidate that shares a word with the text, best first; equals go from general to special."""
        query = self.weigh(text)
        scored = [self._score(query, entry) for entry in self._entries] if query else []
        found = [candidate for candidate in scored if candidate.score > 0]
        return sorted(found, key=lambda candidate: (-candidate.score, candidate.node.level))

    def weigh(self, text: str) -> dict[str, float]:
        """Weigh the words of a text, two neighbours as one where the labels write them so: "gun shots" is "gunshot"."""
        joined: dict[str, float] = {}
        for word, weight in weigh(text).items():
            last = next(reversed(joined), "")
            if last and last + word in self._rarity:
                joined[last + word] = max(weight, joined.pop(last))
            else:
                joined[word] = weight
        return joined

    def _score(self, query: Mapping[str, float], entry: _Entry) -> ScoredNode:
        weights = {
            word: weight * self._rarity.get(word, self._unknown_rarity) for word, weight in query.items()
        }
        in_context = {word: self._best(word, entry.context) for word in query}
        whole_label = tuple(word for synonym in entry.synonyms for word in synonym)
        unnamed = 1 - self._share_named(whole_label, query)
        best = ScoredNode(entry.node, 0.0, frozenset())
        for name in (*entry.synonyms, *entry.other_names) or ((),):
            in_name = {word: self._best(word, name) for word in query}
            share_named = self._share_named(name, query)
            if name in entry.other_names and share_named < 1:
                continue
            strengths = {
                word: max(
                    LABEL_WEIGHT * in_name[word],
                    CONTEXT_WEIGHT * in_context[word],
                    DESCRIPTION_WEIGHT * (word in entry.description and query[word] > LIGHT_WEIGHT),
                )
                for word in query
            }
            score = _mean(weights, strengths) * (1 + share_named) / 2
            if name not in entry.other_names:
                score *= 1 - UNNAMED_SYNONYMS_LOSS * unnamed
            if score > best.score:
                named_by = frozenset(word for word in query if max(in_name[word], in_context[word]) > 0)
                best = ScoredNode(entry.node, score, named_by)
        return best

    def _share_named(self, name: tuple[str, ...], query: Iterable[str]) -> float:
        weights = {word: self._rarity.get(word, self._unknown_rarity) for word in name}
        return _mean(weights, {word: max(self._likeness(other, word) for other in query) for word in name})

    def _best(self, word: str, others: Iterable[str]) -> float:
        return max((self._likeness(word, other) for other in others), default=0.0)

    def _likeness(self, word: str, other: str) -> float:
        if word == other:
            return 1.0
        if other in self._everyday_words.get(word, ()):
            return EVERYDAY_WORD_WEIGHT
        shorter, longer = sorted((word, other), key=len)
        if (
            len(shorter) >= MIN_PREFIX_LETTERS
            and longer.startswith(shorter)
            and len(longer) - len(shorter) <= MAX_ENDING_LETTERS
        ):
            return PREFIX_WEIGHT
        return 0.0


def load_everyday_words(path: str | Path | None = None) -> dict[str, tuple[str, ...]]:
    """Read the words people use for what labels call otherwise ("talk" for "speech").

    Parameters
    ----------
    path : str, Path or None, default=None
        A JSON object: word -> list of label words. None takes the list in the package.

    Returns
    -------
    dict of str to tuple of str
        Stem -> stems.

    Raises
    ------
    DataError
        If the file cannot be read or is not such an object.
    """
    lists = _read_lists(path, packaged=PACKAGED_EVERYDAY_WORDS)
    return {stem(word): tuple(stem(other) for other in others) for word, others in lists.items()}


def load_other_names() -> dict[str, tuple[str, ...]]:
    """Read what people call sounds as well ("ship horn" for Foghorn): label -> names."""
    lists = _read_lists(None, packaged=PACKAGED_OTHER_NAMES)
    return {label: tuple(names) for label, names in lists.items()}


def _read_lists(path: str | Path | None, *, packaged: str) -> dict[str, list[str]]:
    source = read_source(path, packaged=packaged)
    document = source.parsed(dict, expected="a JSON object")
    for word, others in document.items():
        if not isinstance(others, list) or not all(isinstance(other, str) for other in others):
            raise DataError(
                f"{source.name}, word {word}", expected="a list of words", found=json.dumps(others)
            )
    return document


def split_synonyms(label: str) -> tuple[str, ...]:
    """Split a label at its commas, without what stands in brackets.

    Examples
    --------
    >>> split_synonyms("Fire engine, fire truck (siren)")
    ('Fire engine', 'fire truck')
    """
    parts = _BRACKETS.sub(" ", label).split(",")
    return tuple(part.strip() for part in parts if part.strip())


def _build_entry(node: Node, ontology: Ontology, other_names: Iterable[str]) -> _Entry:
    synonyms = tuple(tokens for part in split_synonyms(node.label) if (tokens := tokenise(part)))
    above = (ancestor.label for ancestor in ontology.ancestors(node.node_id))
    context = " ".join([*_BRACKETS.findall(node.label), *above])
    return _Entry(
        node,
        synonyms,
        tuple(tokenise(name) for name in other_names),
        frozenset(tokenise(context)),
        frozenset(tokenise(node.description)),
    )


def _mean(weights: Mapping[str, float], values: Mapping[str, float]) -> float:
    total = sum(weights.values())
    return sum(weight * values[word] for word, weight in weights.items()) / total if total else 0.0
