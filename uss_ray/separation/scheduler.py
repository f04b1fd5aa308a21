"""The networks' part of a separation: rows of many segments, targets and recordings go through in full batches.

Sessions ask, this module answers. It knows nothing of time, targets or rates.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from uss_ray.models.inference import inference
from uss_ray.models.precision import Precision
from uss_ray.models.protocols import MaskingSeparator, Tagger


@dataclass(frozen=True)
class TagRequest:
    """Tag waveforms of shape (samples,): answered by one (classes,) tensor of probabilities each."""

    rows: list[Tensor]


@dataclass(frozen=True)
class MaskRow:
    """One mask to make: of a mixture spectrogram (frames, bins), complex, under a condition (condition_size,)."""

    spectrogram: Tensor
    condition: Tensor


@dataclass(frozen=True)
class MaskRequest:
    """Make masks: answered by one (frames, bins) complex tensor each."""

    rows: list[MaskRow]


@dataclass(frozen=True)
class SessionFailed:
    """What a session gives last when it cannot go on, and why."""

    error: Exception


Request = TagRequest | MaskRequest
Row = TypeVar("Row")
Result = TypeVar("Result")
Session = Generator[Request | Result, list[Tensor] | None, None]
"""What asks: yields requests, to be sent their answers, and results, to be sent None."""


def rows_in_a_forward(batch_size: int, *, device: torch.device) -> int:
    """Tell how many rows go through a network at once, so that a row's bits do not depend on the others.

    Parameters
    ----------
    batch_size : int
        What an accelerator takes.
    device : torch.device

    Returns
    -------
    int
        1 on a CPU: its vector kernels finish the end of a batch with scalar code, whose last bit differs, and more
        rows at once are no faster there (docs/adr/0015).
    """
    return 1 if device.type == "cpu" else batch_size


class Networks:
    """Answer requests in batches of one size; what the rows at hand do not fill is padded with zeros.

    In a batch of another size a row's answer has other bits: kernels are chosen by shape (docs/adr/0015).

    Parameters
    ----------
    tagger : Tagger
    separator : MaskingSeparator
    batch_size : int
        Rows in one forward.
    precision : {"float32", "tfloat32", "bfloat16"}
        Of the separator; the tagger has float32, for its probabilities are compared with a threshold.
    device : torch.device
        Where the networks are.
    """

    def __init__(
        self,
        *,
        tagger: Tagger,
        separator: MaskingSeparator,
        batch_size: int,
        precision: Precision,
        device: torch.device,
    ) -> None:
        self._tagger = tagger
        self._separator = separator
        self._batch_size = batch_size
        self._device = device
        self._precision = precision

    def answer(self, requests: dict[int, Request]) -> dict[int, list[Tensor] | None]:
        """Answer the requests of several sessions together; keys are kept, rows stay in order."""
        tags = {key: request.rows for key, request in requests.items() if isinstance(request, TagRequest)}
        masks = {key: request.rows for key, request in requests.items() if isinstance(request, MaskRequest)}
        with inference(device=self._device):
            answers = self._answer_rows(tags, forward=self._tag, shape_of=len)
        with inference(self._precision, device=self._device):
            answers |= self._answer_rows(masks, forward=self._mask, shape_of=lambda row: len(row.spectrogram))
        return answers

    def _answer_rows(
        self,
        rows_by_session: dict[int, list[Row]],
        *,
        forward: Callable[[list[Row]], Tensor],
        shape_of: Callable[[Row], Hashable],
    ) -> dict[int, list[Tensor] | None]:
        rows = [row for session_rows in rows_by_session.values() for row in session_rows]
        # Rows of one shape share a batch; only the windows at the end of a recording have another.
        places_by_shape: dict[Hashable, list[int]] = {}
        for place, row in enumerate(rows):
            places_by_shape.setdefault(shape_of(row), []).append(place)
        answers: dict[int, Tensor] = {}
        for places in places_by_shape.values():
            for start in range(0, len(places), self._batch_size):
                batch = places[start : start + self._batch_size]
                made = forward([rows[place] for place in batch])[: len(batch)]
                answers.update(zip(batch, made, strict=True))
        in_order = iter([answers[place] for place in range(len(rows))])
        return {key: [next(in_order) for _ in session_rows] for key, session_rows in rows_by_session.items()}

    def _tag(self, rows: list[Tensor]) -> Tensor:
        return self._tagger(self._full_batch(rows)).clipwise_probs

    def _mask(self, rows: list[MaskRow]) -> Tensor:
        spectrograms = self._full_batch([row.spectrogram for row in rows]).unsqueeze(1)
        conditions = self._full_batch([row.condition for row in rows])
        return self._separator.masks(spectrograms, conditions).squeeze(1)

    def _full_batch(self, rows: Sequence[Tensor]) -> Tensor:
        padding = [torch.zeros_like(rows[0])] * (self._batch_size - len(rows))
        return torch.stack([*rows, *padding])


def run(
    sessions: Sequence[Session[Result]], *, networks: Networks
) -> Iterator[tuple[int, Result | SessionFailed]]:
    """Drive sessions side by side and give their results as they come.

    Parameters
    ----------
    sessions : sequence of Session
        All are open at once, so each costs its span of memory.
    networks : Networks

    Yields
    ------
    index : int
        Of the session.
    result : Result or SessionFailed
        In the session's order. A session that raises ends alone, and gives its error last; a fault of the networks
        is one of all sessions and is raised.
    """
    answers: dict[int, list[Tensor] | None] = dict.fromkeys(range(len(sessions)))
    while answers:
        requests: dict[int, Request] = {}
        for index, answer in answers.items():
            while (step := _advance(sessions[index], answer)) is not None:
                answer = None
                if isinstance(step, TagRequest | MaskRequest):
                    requests[index] = step
                    break
                yield index, step
        answers = networks.answer(requests)


def _advance(
    session: Session[Result], answer: list[Tensor] | None
) -> Request | Result | SessionFailed | None:
    # Inference mode is entered for each step: held across a yield, it would reach into the caller's code.
    with torch.inference_mode():
        try:
            return session.send(answer)
        except StopIteration:
            return None
        except Exception as error:  # noqa: BLE001 - whatever a source raises, the other sessions go on
            return SessionFailed(error)
