"""Two runs on one list, item by item: who is better, and whether that is more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from uss_ray.errors import DataError
from uss_ray.evaluation.averages import (
    Average,
    average_of_draws,
    class_median_mean,
    median,
    paired_difference,
    plain_mean,
)
from uss_ray.evaluation.measures import LESS_IS_BETTER, OF_TAGS, is_by_class
from uss_ray.evaluation.result import EvaluationResult, by_system, values_of
from uss_ray.evaluation.rows import RANDOM_CLASS, TAGS, ScoreRow
from uss_ray.evaluation.tag_scores import score_tags


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One system and query in both runs.

    Parameters
    ----------
    system, query : str
    one, other : Average
        On the targets for which both are defined.
    difference : Average
        The other minus the one, drawn in pairs.
    only_one, only_other : int
        Targets that the other run, or the one, has no such score of; in none of the averages. Of tags: classes, also
        such as both know and one alone has a figure of.
    is_less_better : bool or None, default=False
        Of shares of energy in what is wrong, and of the level of what is not there; None: neither more nor less is, as
        of the level of a target.
    """

    system: str
    query: str
    one: Average
    other: Average
    difference: Average
    only_one: int
    only_other: int
    is_less_better: bool | None = False

    @property
    def verdict(self) -> str:
        """Say what the interval of the difference allows to say."""
        low, high = self.difference.low, self.difference.high
        if low is None or high is None or low <= 0 <= high:
            return "undecided"
        if self.is_less_better is None:
            return "different"
        return "better" if (low > 0) != self.is_less_better else "worse"


def compare_runs(
    results: tuple[EvaluationResult, EvaluationResult],
    rows: tuple[Sequence[ScoreRow], Sequence[ScoreRow]],
    *,
    measure: str,
) -> list[Comparison]:
    """Compare what both runs have.

    Parameters
    ----------
    results : tuple of (EvaluationResult, EvaluationResult)
    rows : tuple of (sequence of ScoreRow, sequence of ScoreRow)
    measure : str

    Raises
    ------
    DataError
        If they are of different lists, or have nothing in common.
    """
    one, other = results
    if one.list_sha256 != other.list_sha256:
        raise DataError(
            "runs", expected=f"one list, {one.list_sha256[:12]}", found=f"another, {other.list_sha256[:12]}"
        )
    first, second = (by_system(own) for own in rows)
    found = []
    for key in first.keys() & second.keys():
        if measure in OF_TAGS and key[1] == TAGS:
            found.append(_compare_tags(key, first[key], second[key], measure=measure))
            continue
        own, theirs = (
            {(row.item_id, row.label): row for row in rows_of[key] if measure in row.scores}
            for rows_of in (first, second)
        )
        pairs = [(row, theirs[target]) for target, row in own.items() if target in theirs]
        if pairs:
            mine, yours = (values_of((pair[place] for pair in pairs), measure) for place in (0, 1))
            by_class = is_by_class(measure)
            averages = [
                class_median_mean(scores)
                if by_class
                else plain_mean([value for values in scores.values() for value in values])
                for scores in (mine, yours)
            ]
            found.append(
                Comparison(
                    system=key[0],
                    query=key[1],
                    one=averages[0],
                    other=averages[1],
                    difference=paired_difference(mine, yours, statistic=median if by_class else np.mean),
                    only_one=len(own) - len(pairs),
                    only_other=len(theirs) - len(pairs),
                    is_less_better=_is_less_better(measure, query=key[1]),
                )
            )
    if not found:
        raise DataError("runs", expected=f"a system with {measure} in both", found="none")
    order = list(first)
    return sorted(found, key=lambda comparison: order.index((comparison.system, comparison.query)))


def _is_less_better(measure: str, *, query: str) -> bool | None:
    if measure == "level":
        return True if query == RANDOM_CLASS else None
    return measure in LESS_IS_BETTER


def _compare_tags(
    key: tuple[str, str], one: Sequence[ScoreRow], other: Sequence[ScoreRow], *, measure: str
) -> Comparison:
    """Compare taggers on clips that both heard, by classes that both have a figure of; the same clips are drawn."""
    mine, yours = ({row.item_id: row for row in rows if row.reason is None} for rows in (one, other))
    clips = [item for item in mine if item in yours]
    first, second = (
        score_tags([own[item].probs for item in clips], [own[item].true for item in clips])
        for own in (mine, yours)
    )
    tables = [dict(zip(scores.classes, scores.drawn[measure], strict=True)) for scores in (first, second)]
    shared = [node for node in tables[0] if node in tables[1]]
    drawn = np.array([[table[node] for node in shared] for table in tables]).reshape(
        2, -1, first.drawn[measure].shape[1]
    )
    # A class that one run separates without a fault has no d′ there, in a draw or at all: it is in no average then.
    drawn[:, ~np.isfinite(drawn).all(axis=0)] = np.nan
    defined = [{node for node, own in scores.classes.items() if measure in own} for scores in (first, second)]
    return Comparison(
        system=key[0],
        query=key[1],
        one=average_of_draws(drawn[0]),
        other=average_of_draws(drawn[1]),
        difference=average_of_draws(drawn[1] - drawn[0]),
        only_one=len(defined[0] - defined[1]),
        only_other=len(defined[1] - defined[0]),
    )
