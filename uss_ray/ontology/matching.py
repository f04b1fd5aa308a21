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
from uss_ray.ontology.words import stem, tokenise

PACKAGED_EVERYDAY_WORDS = "everyday_words.json"

# How much a query word counts by where it is found: in the label itself, in the label of a node above (or in
# brackets behind the label), or in the description only.
LABEL_WEIGHT = 1.0
CONTEXT_WEIGHT = 0.5
DESCRIPTION_WEIGHT = 0.35
# How much it counts by what it is found as: the same word (1), a word meaning nearly the same, or the start of a
# longer one.
EVERYDAY_WORD_WEIGHT = 0.8
PREFIX_WEIGHT = 0.6
# The last word of a text names the thing, those before it say which: a steam train is a train.
HEAD_WEIGHT = 1.3
MIN_PREFIX_LETTERS = 4
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
        In [0, 1]; 1 when text and label say the same.
    coverage : float
        Share of the text's words found anywhere in the node's names or description, in [0, 1].
    """

    node: Node
    score: float
    coverage: float


@dataclass(frozen=True, slots=True)
class _Entry:
    node: Node
    synonyms: tuple[tuple[str, ...], ...]
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

    Notes
    -----
    For each synonym of a label, score = (share of the query found) x (1 + share of the synonym found) / 2, each
    word weighted by its inverse document frequency, the last word of the query a little more, for it names the thing
    ("steam train" is a train); a node's score is that of its best synonym, less up to a tenth
    for the synonyms left unnamed.
    """

    def __init__(
        self, ontology: Ontology, *, candidates: Iterable[Node], everyday_words: Mapping[str, tuple[str, ...]]
    ) -> None:
        self._everyday_words = everyday_words
        self._entries = [_build_entry(node, ontology) for node in candidates]
        counts = Counter(word for entry in self._entries for word in entry.words)
        self._rarity = {word: math.log1p(len(self._entries) / count) for word, count in counts.items()}
        self._unknown_rarity = math.log1p(len(self._entries))

    def rank(self, text: str) -> list[ScoredNode]:
        """Score every candidate that shares a word with the text, best first; equals go from general to special."""
        query = tuple(dict.fromkeys(self._join_compounds(tokenise(text))))
        scored = [self._score(query, entry) for entry in self._entries] if query else []
        found = [candidate for candidate in scored if candidate.score > 0]
        return sorted(found, key=lambda candidate: (-candidate.score, candidate.node.level))

    def _join_compounds(self, words: tuple[str, ...]) -> list[str]:
        """Write two neighbours as one word where the labels do: "gun shots" is "gunshot"."""
        joined: list[str] = []
        for word in words:
            if joined and joined[-1] + word in self._rarity:
                joined[-1] += word
            else:
                joined.append(word)
        return joined

    def _score(self, query: tuple[str, ...], entry: _Entry) -> ScoredNode:
        elsewhere = [self._strength_elsewhere(word, entry) for word in query]
        best = ScoredNode(entry.node, 0.0, 0.0)
        whole_label = tuple(word for synonym in entry.synonyms for word in synonym)
        unnamed = 1 - self._share_named(whole_label, query)
        for synonym in entry.synonyms or ((),):
            in_label = [
                max((self._likeness(word, other) for other in synonym), default=0.0) for word in query
            ]
            strengths = [
                max(LABEL_WEIGHT * label, other) for label, other in zip(in_label, elsewhere, strict=True)
            ]
            of_query = self._weighted_mean(query, strengths, head=HEAD_WEIGHT)
            score = (
                of_query * (1 + self._share_named(synonym, query)) / 2 * (1 - UNNAMED_SYNONYMS_LOSS * unnamed)
            )
            if score > best.score:
                coverage = sum(strength > 0 for strength in strengths) / len(query)
                best = ScoredNode(entry.node, score, coverage)
        return best

    def _share_named(self, label_words: tuple[str, ...], query: tuple[str, ...]) -> float:
        named = [max(self._likeness(word, other) for word in query) for other in label_words]
        return self._weighted_mean(label_words, named)

    def _strength_elsewhere(self, word: str, entry: _Entry) -> float:
        in_context = max((self._likeness(word, other) for other in entry.context), default=0.0)
        return max(CONTEXT_WEIGHT * in_context, DESCRIPTION_WEIGHT * (word in entry.description))

    def _likeness(self, word: str, other: str) -> float:
        if word == other:
            return 1.0
        if other in self._everyday_words.get(word, ()):
            return EVERYDAY_WORD_WEIGHT
        shorter, longer = sorted((word, other), key=len)
        if len(shorter) >= MIN_PREFIX_LETTERS and longer.startswith(shorter):
            return PREFIX_WEIGHT
        return 0.0

    def _weighted_mean(self, words: tuple[str, ...], values: list[float], *, head: float = 1.0) -> float:
        weights = [self._rarity.get(word, self._unknown_rarity) for word in words]
        if weights:
            weights[-1] *= head
        total = sum(weights)
        return (
            sum(weight * value for weight, value in zip(weights, values, strict=True)) / total
            if total
            else 0.0
        )


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
    source = read_source(path, packaged=PACKAGED_EVERYDAY_WORDS)
    try:
        document = json.loads(source.text)
    except json.JSONDecodeError as error:
        raise DataError(
            source.name, expected="a JSON object", found=f"{error.msg} in line {error.lineno}"
        ) from error
    if not isinstance(document, dict):
        raise DataError(source.name, expected="a JSON object", found=f"a {type(document).__name__}")
    for word, others in document.items():
        if not isinstance(others, list) or not all(isinstance(other, str) for other in others):
            raise DataError(
                f"{source.name}, word {word}", expected="a list of words", found=json.dumps(others)
            )
    return {stem(word): tuple(stem(other) for other in others) for word, others in document.items()}


def split_synonyms(label: str) -> tuple[str, ...]:
    """Split a label at its commas, without what stands in brackets.

    Examples
    --------
    >>> split_synonyms("Fire engine, fire truck (siren)")
    ('Fire engine', 'fire truck')
    """
    parts = _BRACKETS.sub(" ", label).split(",")
    return tuple(part.strip() for part in parts if part.strip())


def _build_entry(node: Node, ontology: Ontology) -> _Entry:
    synonyms = tuple(tokens for part in split_synonyms(node.label) if (tokens := tokenise(part)))
    above = (ancestor.label for ancestor in ontology.ancestors(node.node_id))
    context = " ".join([*_BRACKETS.findall(node.label), *above])
    return _Entry(node, synonyms, frozenset(tokenise(context)), frozenset(tokenise(node.description)))
