from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from tests.unit.separation.fakes import BandSeparator, BandTagger, one_hot
from uss_ray.separation.batching import MaskRequest, MaskRow, Networks, Session, TagRequest, run


def networks(batch_size: int) -> tuple[Networks, BandTagger, BandSeparator]:
    tagger, separator = BandTagger(8000), BandSeparator(8000)
    made = Networks(
        tagger=tagger,
        separator=separator,
        batch_size=batch_size,
        precision="float32",
        device=torch.device("cpu"),
    )
    return made, tagger, separator


def rows(count: int, *, frames: int) -> list[MaskRow]:
    bins = BandSeparator(8000).stft.bins
    return [
        MaskRow(torch.zeros(frames, bins, dtype=torch.complex64), 0.1 * place * one_hot(0))
        for place in range(1, count + 1)
    ]


def strength(mask: Tensor) -> float:
    return round(float(mask.abs().max()), 3)


def test_rows_of_several_sessions_fill_batches_together_and_return_in_order() -> None:
    made, _, separator = networks(4)
    answers = made.answer({7: MaskRequest(rows(3, frames=5)), 2: MaskRequest(rows(6, frames=5))})
    assert separator.batches == [4, 4, 1]
    assert [strength(mask) for mask in answers[7] or []] == [0.1, 0.2, 0.3]
    assert [strength(mask) for mask in answers[2] or []] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]


def test_rows_of_another_length_have_their_own_batch() -> None:
    made, _, separator = networks(4)
    mixed = [*rows(2, frames=5), *rows(1, frames=3), *rows(2, frames=5)]
    answers = made.answer({0: MaskRequest(mixed)})[0] or []
    assert separator.batches == [4, 1]
    assert [len(mask) for mask in answers] == [5, 5, 3, 5, 5]
    assert [strength(mask) for mask in answers] == [0.1, 0.2, 0.1, 0.1, 0.2]


def test_tags_and_masks_are_answered_in_the_same_turn() -> None:
    made, tagger, separator = networks(2)
    answers = made.answer({0: TagRequest([torch.rand(800)] * 3), 1: MaskRequest(rows(1, frames=2))})
    assert (tagger.batches, separator.batches) == ([2, 1], [1])
    assert [len(probs) for probs in answers[0] or []] == [527] * 3


def test_results_keep_the_order_of_their_session_and_inference_mode_stays_inside() -> None:
    def session(name: str, turns: int) -> Session[str]:
        for turn in range(turns):
            answers = yield TagRequest([torch.rand(80)])
            assert torch.is_inference_mode_enabled()
            yield f"{name}{turn}:{len(answers or [])}"

    made, tagger, _ = networks(8)
    results: Iterator[tuple[int, str]] = run([session("a", 1), session("b", 3)], networks=made)
    seen = []
    for result in results:
        assert not torch.is_inference_mode_enabled()
        seen.append(result)
    assert [name for index, name in seen if index == 0] == ["a0:1"]
    assert [name for index, name in seen if index == 1] == ["b0:1", "b1:1", "b2:1"]
    assert tagger.batches == [2, 1, 1]
