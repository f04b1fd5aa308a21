"""A recording, or a span of one, on its way through the separation: tag, choose, separate, join, give out; and again.

Owns the order of the work and the memory it takes. Networks are asked through requests, never called.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uss_ray.audio.level import dbfs, peak, rms
from uss_ray.audio.resample import BlockResampler
from uss_ray.errors import RecordingError
from uss_ray.models.protocols import Separator, hears_activity
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.activity import Activity, find_activity
from uss_ray.separation.calibration import Calibration
from uss_ray.separation.conditions import Conditioner
from uss_ray.separation.estimation import WindowJob, estimator_for, to_device
from uss_ray.separation.masking import reference_weights
from uss_ray.separation.mixture import MixtureReader, Source
from uss_ray.separation.networks import TagRow, rows_in_a_forward
from uss_ray.separation.overlap import OverlapAdd
from uss_ray.separation.parts import Composer, Parts
from uss_ray.separation.scheduler import Request, Session
from uss_ray.separation.settings import NetworkSettings, SeparationSettings
from uss_ray.separation.targets import SeparationPlan, Target
from uss_ray.separation.windows import Span, Window, WindowGrid, segment_weights

# Estimates are asked for in so many forwards at a time: few batches are partly filled, and few answers held.
_FORWARDS_ASKED = 8
# Places in a window at which a separator that follows the detector is told whether its target is heard.
_HEARD_FRAMES = 256


@dataclass(frozen=True)
class EstimateBlock:
    """Consecutive whole segments of a recording and what was separated in them, at the native rate.

    Attributes
    ----------
    start_frame : int
        Position of the block in the recording.
    sample_rate : int
        In Hz.
    mixture : ndarray of shape (channels, frames), dtype=float32
        The sound as it came in.
    estimates : dict of str to ndarray of shape (channels, frames), dtype=float32
        Target key -> estimate. Only targets that are separated in the block: active in one of its segments, or in the
        neighbouring one, whose fade reaches half its length into this block. Empty where only tags were asked for.
    segment_probs : ndarray of shape (segments, targets), dtype=float32
        Probability of each target, as `activity.Activity` says.
    detected, sure, active : ndarray of shape (segments, targets), dtype=bool
        Where it is detected, surely so, and where it is separated, as `activity.Activity` says. Where only tags were
        asked for, nothing is separated, and active is what would be, and is detected.
    tagged : ndarray of shape (segments,), dtype=bool
        False where the mixture is too quiet to be tagged.
    held_by : ndarray of shape (segments, targets), dtype=int16
        Where it is separated, the column of the target whose estimate holds it: mostly its own. -1 elsewhere.
    segment_seconds : int
        Length of a segment; the last of a recording may be shorter.
    detected_spans : tuple of ndarray of shape (n, 3), dtype=float64
        For each segment: target, and start and end in the recording in seconds, of what is detected in it; by target,
        then by start.
    stem_probs : ndarray of shape (segments, targets), dtype=float32
        Probability of a target in its own estimate, where it was tagged again; NaN elsewhere.
    """

    start_frame: int
    sample_rate: int
    mixture: NDArray[np.float32]
    estimates: dict[str, NDArray[np.float32]]
    segment_probs: NDArray[np.float32]
    detected: NDArray[np.bool_]
    sure: NDArray[np.bool_]
    active: NDArray[np.bool_]
    tagged: NDArray[np.bool_]
    held_by: NDArray[np.int16]
    segment_seconds: int
    detected_spans: tuple[NDArray[np.float64], ...]
    stem_probs: NDArray[np.float32]

    @property
    def segment_spans_seconds(self) -> NDArray[np.float64]:
        """Start and end of each segment in the recording, of shape (segments, 2)."""
        start = self.start_frame / self.sample_rate
        stop = (self.start_frame + self.mixture.shape[1]) / self.sample_rate
        starts = start + self.segment_seconds * np.arange(len(self.active), dtype=np.float64)
        return np.stack([starts, np.minimum(starts + self.segment_seconds, stop)], axis=1)


@dataclass(frozen=True)
class SessionNetworks:
    """What a session uses of an engine beside the forwards that it asks for.

    Attributes
    ----------
    separator : Separator
        For its transform and geometry.
    conditioner : Conditioner
        Of the kind that the session's settings ask for.
    calibration : Calibration
        Under the session's settings.
    vocabulary : Vocabulary
        Of the tagger's classes.
    settings : NetworkSettings
    device : torch.device
        Where the networks are.
    """

    separator: Separator
    conditioner: Conditioner
    calibration: Calibration
    vocabulary: Vocabulary
    settings: NetworkSettings
    device: torch.device


class RecordingSession:
    """Separate one recording or a span of it; `steps` does the work, driven by a `Scheduler`.

    What a segment gives depends on the sound around it in the recording and on nothing else, neither on the span that
    it is made in nor on how far the source is read; so spans join to the bits of the undivided recording.

    Parameters
    ----------
    source : Source
    plan : SeparationPlan
    settings : SeparationSettings
    networks : SessionNetworks
    span : Span
        The segments to give out.
    estimates : bool
        Whether to separate; otherwise blocks say which targets sound, and no mask is made.
    on_seconds : callable, optional
        Called as segments are done, with where in the recording the next begins.

    Raises
    ------
    ConfigError
        If a part of a recording does not hold the sound around the span that is needed.
    """

    def __init__(
        self,
        source: Source,
        plan: SeparationPlan,
        *,
        settings: SeparationSettings,
        networks: SessionNetworks,
        span: Span,
        estimates: bool,
        on_seconds: Callable[[float], None] | None = None,
    ) -> None:
        separator = networks.separator
        self._plan = plan
        self._columns = {target.key: column for column, target in enumerate(plan.targets)}
        self._model_rate = separator.sample_rate
        self._estimator = estimator_for(
            separator,
            settings=settings,
            batch_size=networks.settings.batch_size,
            device=networks.device,
        )
        self._follows = hears_activity(separator)
        self._conditioner = networks.conditioner
        self._calibration = networks.calibration
        self._composer = Composer(
            plan.targets,
            vocabulary=networks.vocabulary,
            sums=settings.composition == "sums",
            steers=networks.conditioner.steers,
        )
        self._held_by: dict[int, NDArray[np.int16]] = {}
        self._settings = settings
        self._networks = networks.settings
        self._forward_rows = rows_in_a_forward(networks.settings.batch_size, device=networks.device)
        self._device = networks.device
        self._native_rate = source.sample_rate
        self._name = str(getattr(source, "name", "recording"))
        self._segment_frames = settings.segment_seconds * source.sample_rate
        self._fade_frames = settings.fade_seconds * source.sample_rate
        self._estimates = estimates
        self._on_seconds = on_seconds
        self._told = 0
        # Forwards of one row are never partly filled: who watches need not wait for several.
        is_watched_row_by_row = on_seconds is not None and self._forward_rows == 1
        self._rows_asked = (1 if is_watched_row_by_row else _FORWARDS_ASKED) * self._forward_rows
        self._span = span
        # Tags are made of segments alone, as hard joins are.
        joins = (
            settings if estimates else settings.replace(joins="hard", context_seconds=0.0, fade_seconds=0.0)
        )
        self._grid = WindowGrid(joins, separator=separator)
        is_named = any(target.is_event for target in plan.targets)
        self._names_reach = settings.names_reach_segments if is_named else 0
        self._tags: dict[int, Tensor | None] = {}
        self._first = max(0, span.first_segment - self._grid.halo_segments)
        self._stop = None if span.last_segment is None else span.last_segment + self._grid.halo_segments
        self._reader = MixtureReader(
            source,
            model_rate=separator.sample_rate,
            step_seconds=settings.segment_seconds,
            first_step=min(
                self._grid.history(self._first),
                max(0, self._grid.tagged_from(self._first - self._names_reach)),
            )
            // self._grid.segment_samples,
        )
        self._reader.require_until(None if self._stop is None else self._reach(self._stop - 1))
        self._to_native = BlockResampler(separator.sample_rate, source.sample_rate)
        self._joined = OverlapAdd(source.channels, start_frame=span.first_segment * self._segment_frames)

    def steps(self) -> Session[EstimateBlock]:
        """Yield requests and, in order, the blocks of the recording.

        Yields
        ------
        Request or EstimateBlock
        """
        done, given = self._first, self._span.first_segment
        activity = Activity.none(len(self._plan.targets))
        while True:
            segments = self._next_segments(done)
            if segments:
                found = yield from self._separate_segments(segments)
                # What lies before the span is separated for its fade alone.
                activity = activity.then(found.cut(slice(max(0, given - done), None)))
                done = segments.stop
                self._tell(done)
            complete = self._complete(done)
            if complete > given:
                yield self._block(given, complete, activity)
                activity = activity.cut(slice(complete - given, None))
                given = complete
            if done == self._stop or self._has_ended(done):
                return
            self._reader.forget(
                native_frame=given * self._segment_frames, model_sample=self._grid.history(done)
            )

    def _tell(self, segment: int) -> None:
        """Say that the segments before this one are done."""
        if self._on_seconds is not None and segment > self._told:
            self._told = segment
            frame = min(segment * self._segment_frames, self._reader.native.stop)
            self._on_seconds(frame / self._native_rate)

    def _reach(self, segment: int) -> int:
        """Tell up to which sample the recording must be known, or have ended, to tag and separate a segment."""
        return max(self._grid.reach(segment), self._grid.tagged_until(segment + self._names_reach))

    def _next_segments(self, first: int) -> range:
        stop = first + self._networks.span_segments
        stop = stop if self._stop is None else min(stop, self._stop)
        self._reader.read_until(self._reach(stop - 1))
        return range(first, min(stop, self._segments_read()))

    def _complete(self, done: int) -> int:
        """Count the segments that nothing is added to any more, up to the end of the span."""
        # The next segment still fades into the last one: that one waits, unless the recording ends with it.
        complete = done if self._has_ended(done) else done - self._grid.halo_segments
        return complete if self._span.last_segment is None else min(complete, self._span.last_segment)

    def _segments_read(self) -> int:
        """Count the segments that have begun; of an ended recording, all it has."""
        return -(-self._reader.model.stop // self._grid.segment_samples)

    def _has_ended(self, done: int) -> bool:
        return self._reader.ended and done >= self._segments_read()

    def _total_samples(self, segment: int) -> int | None:
        """Tell the length of the recording, if the window of a segment may see its end."""
        known = self._reader.ended and self._reader.model.stop < self._grid.reach(segment)
        return self._reader.model.stop if known else None

    def _separate_segments(self, segments: range) -> Generator[Request, list[Tensor] | None, Activity]:
        around = range(
            max(0, segments.start - self._names_reach),
            min(segments.stop + self._names_reach, self._segments_read()),
        )
        audible, tags = yield from self._tags_of(around)
        inside = slice(segments.start - around.start, segments.stop - around.start)
        found = self._find_activity(tags, audible=audible, first=around.start)
        wanted, unwanted = (activity.cut(inside) for activity in found)
        if not self._estimates:
            return wanted.without_estimates()
        class_probs = tags[inside, 0]
        sounds = self._sounding(class_probs, wanted)
        held: list[WindowJob] = []
        for position, segment in enumerate(segments):
            if wanted.active[position].any():
                parts = self._composer.choose(wanted.active[position], sounds=sounds[position])
                self._held_by[segment] = parts.held_by
                held.append(
                    self._job(
                        segment,
                        class_probs=class_probs[position : position + 1],
                        parts=parts,
                        exclude=_chosen(self._plan.exclude, unwanted.active[position]),
                    )
                )
            if sum(map(self._estimator.rows, held)) >= self._rows_asked:
                yield from self._separate(held, wanted, first=segments.start)
                held = []
                self._tell(segment + 1)
        yield from self._separate(held, wanted, first=segments.start)
        return wanted

    def _separate(
        self, jobs: Sequence[WindowJob], wanted: Activity, *, first: int
    ) -> Generator[Request, list[Tensor] | None, None]:
        """Separate some segments, and tag the estimates of what is doubtful in them; `first` is that of `wanted`."""
        again: list[tuple[int, int, TagRow]] = []

        def join(job: WindowJob, targets: Sequence[Target], estimates: NDArray[np.float32]) -> None:
            self._join(job, targets, estimates)
            row = job.segment - first
            doubtful = wanted.detected[row] & wanted.active[row] & ~wanted.sure[row]
            for target, estimate in zip(targets, estimates, strict=True):
                column = self._columns[target.key]
                if doubtful[column] and self._can_be_tagged(target):
                    again.append((row, column, self._stem_row(job, estimate)))

        yield from self._estimator.separate(jobs, join)
        if again:
            answers = (yield Request([row for _, _, row in again])) or []
            for (row, column, _), answer in zip(again, answers, strict=True):
                probs = self._calibration.probs(answer[0].float().cpu().numpy())
                classes = set(self._plan.targets[column].class_indexes).difference(
                    self._plan.excluded_indexes
                )
                wanted.stem_probs[row, column] = probs[sorted(classes)].max()

    def _can_be_tagged(self, target: Target) -> bool:
        return self._settings.retag_doubtful and target.condition is None and bool(target.class_indexes)

    def _stem_row(self, job: WindowJob, estimate: NDArray[np.float32]) -> TagRow:
        """Cut the segment out of the estimate of its window, as long as it was tagged."""
        length = self._grid.segment_samples
        start, stop = job.segment * length, (job.segment + 1) * length
        total = self._total_samples(job.segment)
        kept = stop if total is None else min(stop, total)
        piece = _cut(estimate, origin=job.window.origin_sample, start=start, stop=kept)
        piece = np.pad(piece, ((0, 0), (0, stop - kept)))
        return TagRow(to_device(reference_weights(piece) @ piece, self._device))

    def _tags_of(
        self, segments: range
    ) -> Generator[Request, list[Tensor] | None, tuple[NDArray[np.bool_], Tensor]]:
        """Tag segments, each once: which are audible, and their tags; those before them are forgotten."""
        self._tags = {segment: tags for segment, tags in self._tags.items() if segment >= segments.start}
        yield from self._tag(range(max([segments.start, *(one + 1 for one in self._tags)]), segments.stop))
        answers = [self._tags[segment] for segment in segments]
        audible = np.array([answer is not None for answer in answers])
        heard = [answer for answer in answers if answer is not None]
        if not heard:
            return audible, torch.zeros((len(segments), 1, self._class_count()), device=self._device)
        tags = heard[0].new_zeros((len(segments), *heard[0].shape))
        tags[torch.from_numpy(audible).to(self._device)] = torch.stack(heard)
        return audible, tags

    def _tag(self, segments: range) -> Generator[Request, list[Tensor] | None, None]:
        """Ask for the tags of segments, but for those that are silent."""
        length = self._grid.segment_samples
        known = self._reader.model.stop
        floor = self._settings.silence.untagged_below_rms_dbfs
        rows: dict[int, TagRow] = {}
        for segment in segments:
            waveform = self._reader.model.view(segment * length, (segment + 1) * length)
            if floor is None or dbfs(rms(waveform[:, : known - segment * length])) >= floor:
                rows[segment] = self._tag_row(segment)
        answers = ((yield Request(list(rows.values()))) or []) if rows else []
        self._tags |= dict.fromkeys(segments) | dict(zip(rows, answers, strict=True))

    def _tag_row(self, segment: int) -> TagRow:
        """Cut a segment with the sound around it, silence where the recording has not begun or has ended."""
        start, stop = self._grid.tagged_from(segment), self._grid.tagged_until(segment)
        heard = self._reader.model.view(max(0, start), stop)
        waveform = np.pad(heard, ((0, 0), (max(0, -start), 0)))
        return TagRow(
            to_device(reference_weights(waveform) @ waveform, self._device), self._grid.tag_context_samples
        )

    def _class_count(self) -> int:
        """Count enough classes for silence, which is not tagged."""
        everything = (*self._plan.targets, *self._plan.exclude)
        indexes = (index for target in everything for index in target.class_indexes)
        return 1 + max(indexes, default=0)

    def _find_activity(
        self, tags: Tensor, *, audible: NDArray[np.bool_], first: int
    ) -> tuple[Activity, Activity]:
        probs = tags.float().cpu().numpy()
        overflown = np.flatnonzero(~np.isfinite(probs).all(axis=(1, 2)))
        if overflown.size:
            # NaN reaches no threshold: what sounds there would be called absent.
            raise self._overflow(first + int(overflown[0]), of="tagger")
        has_frames = probs.shape[1] > 1 and self._settings.times == "frames"
        find = functools.partial(
            find_activity,
            probs[:, 0],
            audible=audible,
            calibration=self._calibration,
            segment_seconds=self._settings.segment_seconds,
        )
        wanted = find(
            targets=self._plan.targets,
            frame_probs=probs[:, 1:] if has_frames else None,
            excluded_indexes=self._plan.excluded_indexes,
            names_reach=self._names_reach,
        )
        return wanted, find(targets=self._plan.exclude)

    def _sounding(self, class_probs: Tensor, wanted: Activity) -> NDArray[np.bool_]:
        """Tell which classes are detected in which segments, or keep their name there, but for what is excluded."""
        probs = self._calibration.probs(class_probs.float().cpu().numpy())
        events = [target for target in self._plan.targets if target.is_event]
        least = self._calibration.events_from if events else self._calibration.detected_from
        sounds = probs >= least[: probs.shape[1]]
        if self._names_reach:
            for target in events:
                detected = wanted.detected[:, self._columns[target.key]]
                sounds[:, list(target.own_indexes)] |= detected[:, np.newaxis]
        sounds[:, [index for index in self._plan.excluded_indexes if index < sounds.shape[1]]] = False
        return np.asarray(sounds)

    def _job(self, segment: int, *, class_probs: Tensor, parts: Parts, exclude: list[Target]) -> WindowJob:
        window = self._grid.window(segment, total_samples=self._total_samples(segment))
        waveform = self._reader.model.view(window.start_sample, window.stop_sample)
        excluded_indexes = self._plan.excluded_indexes
        return WindowJob(
            segment=segment,
            window=window,
            waveform=waveform,
            targets=parts.stems,
            of_target=parts.of_stem,
            sharing=parts.sharing,
            conditions=[
                self._conditioner.conditions(
                    target, class_probs=class_probs, excluded_indexes=excluded_indexes
                ).squeeze(0)
                for target in parts.separated
            ],
            excluded=[
                self._conditioner.conditions(target, class_probs=class_probs).squeeze(0) for target in exclude
            ],
            heard=[self._heard(target, segment, window=window) for target in (*parts.separated, *exclude)]
            if self._follows
            else [],
        )

    def _heard(self, target: Target, segment: int, *, window: Window) -> Tensor:
        """Tell when a target is heard in the window of a segment, whose first and last values hold around it.

        All the time, where nobody can say it: of a query by example, and in what is too quiet to be tagged.
        """
        tags = self._tags.get(segment)
        if tags is None or len(tags) == 1 or not target.class_indexes:
            return torch.ones(_HEARD_FRAMES, device=self._device)
        probs = tags[1:, list(target.class_indexes)].amax(dim=1)
        length = self._grid.segment_samples
        places = np.linspace(window.origin_sample, window.origin_sample + window.samples, _HEARD_FRAMES)
        frames = np.linspace(segment * length, (segment + 1) * length, len(probs))
        heard = np.interp(places, frames, probs.float().cpu().numpy())
        return torch.from_numpy(heard.astype(np.float32)).to(self._device)

    def _overflow(self, segment: int, *, of: str) -> RecordingError:
        """Say that a network gives no numbers for a segment, and how loud that is."""
        length, seconds = self._grid.segment_samples, self._settings.segment_seconds
        loudest = peak(self._reader.model.view(segment * length, (segment + 1) * length))
        return RecordingError(
            self._name,
            expected=f"samples near full scale (1), of which the {of} can make numbers",
            found=f"samples of up to {loudest:.4g} from {segment * seconds} s to {(segment + 1) * seconds} s",
        )

    def _join(self, job: WindowJob, targets: Sequence[Target], estimates: NDArray[np.float32]) -> None:
        """Bring estimates (targets, channels, samples) of a window to the native rate and add them with their fades."""
        if not np.isfinite(estimates).all():
            raise self._overflow(job.segment, of="separator")
        flat = estimates.reshape(-1, estimates.shape[-1])
        pieces, start_frame = self._native_pieces(job, flat)
        first_frame, last_frame = job.segment * self._segment_frames, (job.segment + 1) * self._segment_frames
        weights = segment_weights(
            start_frame,
            pieces.shape[1],
            segment_start_frame=first_frame,
            segment_stop_frame=last_frame,
            fade_frames=self._fade_frames,
            first=job.segment == 0,
            last=self._has_ended(job.segment + 1),
        )
        sounding = np.flatnonzero(weights)
        kept = slice(int(sounding[0]), int(sounding[-1]) + 1)
        faded = (pieces[:, kept] * weights[kept]).reshape(*estimates.shape[:2], -1)
        for target, piece in zip(targets, faded, strict=True):
            self._joined.add(target.key, start_frame=start_frame + kept.start, piece=piece)

    def _native_pieces(
        self, job: WindowJob, waveforms: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], int]:
        """Resample the segment and its fades; give them and the position of their first frame."""
        step = self._to_native.grid_frames
        fade_samples = self._settings.fade_seconds / 2 * self._model_rate
        lead = -(-int(np.ceil(fade_samples)) // step) * step
        length = self._grid.segment_samples
        start = max(0, job.segment * length - lead)
        stop = (job.segment + 1) * length + lead
        total = self._total_samples(job.segment)
        if total is not None:
            stop = min(stop, total)
        context = self._to_native.context_frames
        outer_start = max(0, start - context)
        pieces = self._to_native.resample(
            _cut(waveforms, origin=job.window.origin_sample, start=outer_start, stop=stop + context),
            left_context=start - outer_start,
            right_context=context,
        )
        start_frame = self._to_native.output_frames(start)
        if self._reader.ended:
            pieces = pieces[:, : self._reader.native.stop - start_frame]
        return pieces, start_frame

    def _block(self, first: int, last: int, activity: Activity) -> EstimateBlock:
        start_frame = first * self._segment_frames
        stop_frame = min(last * self._segment_frames, self._reader.native.stop)
        nobody = np.full(len(self._plan.targets), -1, np.int16)
        return EstimateBlock(
            start_frame=start_frame,
            sample_rate=self._native_rate,
            mixture=self._reader.native.view(start_frame, stop_frame),
            estimates=self._joined.take(stop_frame),
            segment_probs=activity.probs[: last - first],
            detected=activity.detected[: last - first],
            sure=activity.sure[: last - first],
            active=activity.active[: last - first],
            tagged=activity.tagged[: last - first],
            held_by=np.stack([self._held_by.pop(segment, nobody) for segment in range(first, last)]),
            segment_seconds=self._settings.segment_seconds,
            detected_spans=self._placed(activity.spans[: last - first], first=first, stop_frame=stop_frame),
            stem_probs=activity.stem_probs[: last - first],
        )

    def _placed(
        self, spans: Sequence[NDArray[np.float64]], *, first: int, stop_frame: int
    ) -> tuple[NDArray[np.float64], ...]:
        """Bring spans of segments to their place in the recording, and cut them at its end."""
        seconds, stop_seconds = self._settings.segment_seconds, stop_frame / self._native_rate
        placed = []
        for segment, of_segment in enumerate(spans, start=first):
            moved = of_segment.copy()
            moved[:, 1:] = np.minimum(moved[:, 1:] + segment * seconds, stop_seconds)
            placed.append(moved[moved[:, 1] < moved[:, 2]])
        return tuple(placed)


def _chosen(targets: Sequence[Target], active: NDArray[np.bool_]) -> list[Target]:
    return [target for target, sounds in zip(targets, active, strict=True) if sounds]


def _cut(waveform: NDArray[np.float32], *, origin: int, start: int, stop: int) -> NDArray[np.float32]:
    """Cut [start, stop) from a waveform that begins at `origin`; silence where it does not reach."""
    kept = waveform[:, max(0, start - origin) : max(0, stop - origin)]
    before = max(0, origin - start)
    after = stop - start - before - kept.shape[1]
    return np.pad(kept, ((0, 0), (before, after)))
