"""The sounds that were found in a recording, by their names: arrays in memory, or files that are read on demand."""

from __future__ import annotations

import difflib
import html
import os
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from uss_ray.api.inputs import Input, StoredInput, named
from uss_ray.api.publisher import Publisher, index_name, refuse_existing, write_page
from uss_ray.api.queries import Plan
from uss_ray.api.request import SeparationRequest, SoundRequest, request_with, unknown_option
from uss_ray.api.staging import check_output
from uss_ray.audio.codec import AudioSpec
from uss_ray.errors import ConfigError, QueryError, UssRayError
from uss_ray.ontology.vocabulary import UNION_JOINT, TextMatch
from uss_ray.records import Recording
from uss_ray.results.events import events_table
from uss_ray.results.index.rows import RecordingRows
from uss_ray.results.index.table import IndexRow
from uss_ray.results.layout import recording_folder, report_path
from uss_ray.results.options import WriteOptions
from uss_ray.results.report.player import PLAYED_SECONDS, player_html
from uss_ray.results.stems.stem_run import StemRun
from uss_ray.results.stems.written import WrittenRecording
from uss_ray.separation.session import EstimateBlock
from uss_ray.sources.reading import open_stored_recording
from uss_ray.store.store import Location, Store, StoreOptions

Waveform = TypeVar("Waveform")
Floats = NDArray[np.float32]
Matches = tuple[tuple[str, TextMatch], ...]
Names = tuple[tuple[str, str], ...]

_BLOCK_FRAMES = 1 << 16
_PLAYED_SOUNDS = 16
_KEPT_WHEN_SAVED = ("overwrite", "storage", *WriteOptions.model_fields)


class NoSuchSoundError(QueryError, KeyError):
    """A sound that was not asked for."""

    def __str__(self) -> str:
        return str(self.args[0])


class FoundSounds(Mapping[str, Waveform]):
    """The sounds of a recording: iterating gives the labels of those that are there, each once.

    Where two are called the same, the later goes by its `node_id`, such as `query:speech`.

    `sounds[name]` takes a label, a node id, or a class or text as it was asked for, in any case. What was asked for and
    is not there is silence; what was not asked for is a `NoSuchSoundError`, which is a `KeyError`.
    """

    rows: Sequence[IndexRow]
    matches: Matches
    names: Names

    @abstractmethod
    def sound_of(self, row: IndexRow) -> Waveform:
        """Give the whole sound of one of the rows; silence if it is not there."""

    def row(self, name: str) -> IndexRow:
        """Tell what became of a sound that was asked for.

        Raises
        ------
        NoSuchSoundError
            If it was not asked for.
        """
        rows = [row for row in self.rows if row.kind != "residual"]
        # What an earlier version pickled has no names.
        names = self.names or tuple((text, match.node.node_id) for text, match in self.matches)
        wanted, spelt = dict(names).get(name, name), _spelt(name)
        asked = {_spelt(said): key for said, key in names}
        for fits in (
            lambda row: wanted in (row.node_id, row.label),
            lambda row: row.node_id == asked.get(spelt),
            lambda row: spelt in (_spelt(row.label), row.node_id),
        ):
            for row in filter(fits, rows):
                return row
        unions = [row.label for row in rows if row.kind == "union"]
        near = [label for label in unions if spelt in map(_spelt, label.split(UNION_JOINT))]
        near = near or difflib.get_close_matches(name, [row.label for row in rows], n=3)
        found = f"none of {len(rows)}" + (f"; near: {', '.join(near)}" if near else "")
        raise NoSuchSoundError(name, expected="the name of a sound that was asked for", found=found)

    @property
    def events(self) -> pa.Table:
        """When what was detected sounds, a line a stretch: see `results.events.EVENTS_SCHEMA`."""
        return events_table(self.rows)

    @property
    def residuals(self) -> dict[int | None, Waveform]:
        """What the sounds of each level leave of the recording; 0: the events; None: what was asked for by name."""
        return {row.level: self.sound_of(row) for row in self.rows if row.kind == "residual"}

    @property
    def residual(self) -> Waveform:
        """What the sounds leave of the recording.

        Raises
        ------
        NoSuchSoundError
            If several levels were asked for, which have one each, or none was to be made.
        """
        rows = [row for row in self.rows if row.kind == "residual"]
        if len(rows) == 1:
            return self.sound_of(rows[0])
        raise NoSuchSoundError(
            "residual",
            expected="sounds of one level",
            found=f"{len(rows)} residuals" + (", in `residuals` by level" if rows else ""),
        )

    def __getitem__(self, name: str) -> Waveform:
        """Give the whole sound, as long as the recording; silence if it is not there."""
        return self.sound_of(self.row(name))

    def __iter__(self) -> Iterator[str]:
        """Name the sounds that are there."""
        return iter(self._there)

    def __len__(self) -> int:
        """Count the sounds that are there."""
        return len(self._there)

    def __contains__(self, name: object) -> bool:
        """Tell whether a sound is there."""
        try:
            return isinstance(name, str) and self.row(name).is_kept
        except NoSuchSoundError:
            return False

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def _player(
        self,
        mixture: Floats,
        *,
        sample_rate: int,
        samples_of: Callable[[IndexRow], Floats],
        note: str = "",
    ) -> str:
        """Make a player of the mixture, its loudest sounds, each once, and what they leave."""
        kept = [row for row in self.rows if row.is_kept and row.kind != "residual"]
        kept = sorted(kept, key=lambda row: row.level_db or 0.0, reverse=True)
        names: dict[object, list[IndexRow]] = {}
        for row in kept:
            uris = (row.stem_uri, *(span.stem_uri for span in row.active_spans))
            names.setdefault(next((uri for uri in uris if uri is not None), None), []).append(row)
        shown = list(names.values())[:_PLAYED_SOUNDS]
        lanes = {" · ".join(map(self._name, rows)): rows[0] for rows in shown}
        rests = [row for row in self.rows if row.kind == "residual" and row.is_kept]
        groups = {row.group for rows in shown for row in rows}
        is_whole = len(rests) == len(groups) == 1 and len(shown) == len(names)
        return player_html(
            mixture,
            {label: samples_of(row) for label, row in lanes.items()},
            sample_rate=sample_rate,
            residual=samples_of(rests[0]) if is_whole else None,
            spans={
                label: tuple((span.start_seconds, span.end_seconds) for span in row.heard_spans)
                for label, row in lanes.items()
            },
            note=note,
        )

    @property
    def _there(self) -> tuple[str, ...]:
        return tuple(self._name(row) for row in self.rows if row.kind != "residual" and row.is_kept)

    def _name(self, row: IndexRow) -> str:
        """Call a row so that it, and no other, is found: an example may be called as a class that is asked for too."""
        return row.label if self.row(row.label) is row else row.node_id


@dataclass(frozen=True, kw_only=True, eq=False)
class SeparatedRecording(FoundSounds[Floats]):
    """One recording, separated and committed; its sounds are read from their files as they are asked for.

    Parameters
    ----------
    recording : Recording
        What was separated.
    rows : sequence of IndexRow
        One for each stem asked for, then the residuals.
    output : str
        Output root; absolute, of this machine, so that it is found from any folder.
    folder : str
        Where its stems are.
    report : str or None
        Its HTML page, if one was asked for.
    seconds : float
        Length of the recording.
    processing_seconds : float
        Time it took.
    matches : tuple of (str, TextMatch)
        Each free text and what it was resolved to.
    names : tuple of (str, str)
        Each class and free text as it was asked for, and the node id of its rows.
    storage : StoreOptions
        How the store of the output is reached.
    source : str or None
        Where the recording lies, absolute too; None: nowhere, it was an array or an open file.
    """

    recording: Recording
    rows: Sequence[IndexRow]
    output: str
    folder: str
    report: str | None
    seconds: float
    processing_seconds: float
    matches: Matches = ()
    names: Names = ()
    storage: StoreOptions = field(default_factory=StoreOptions)
    source: str | None = None

    def paths(self, name: str) -> tuple[str, ...]:
        """Give the files of a sound, as they can be opened: one, one for each span, or none.

        Raises
        ------
        NoSuchSoundError
            If it was not asked for.
        """
        row = self.row(name)
        names = (row.stem_uri, *(span.stem_uri for span in row.active_spans))
        return tuple(str(self._place(name)) for name in names if name is not None)

    def _place(self, name: str) -> Store:
        return Store(self.output, self.storage) / name

    def _repr_html_(self) -> str:
        """Give a player for a notebook, of the first two minutes; the report, if there is one, plays all of it."""
        rate = next((row.sample_rate for row in self.rows if row.sample_rate), None)
        frames = max((row.frames or 0 for row in self.rows), default=0)
        if not rate or not frames:
            return f"<p>{html.escape(repr(self))}</p>"
        some = min(frames, round(PLAYED_SECONDS * rate))
        cut = f"The first {PLAYED_SECONDS:g} s of {frames / rate:.0f} s." if some < frames else ""
        whole = f" All of it: {self.report}" if cut and self.report else ""
        try:
            mixture = self._mixture(frames=some)
            if mixture is None:
                return f"<p>{html.escape(f'{self!r}: its sound was kept nowhere as a whole')}</p>"
            return self._player(
                mixture,
                sample_rate=rate,
                samples_of=lambda row: self._read(row, frames=some),
                note=cut + whole,
            )
        except UssRayError as error:
            return f"<p>{html.escape(f'{self!r}: {error.reason}')}</p>"

    def _mixture(self, *, frames: int) -> Floats | None:
        """Read the beginning of the recording; of one that lies nowhere, what its sounds and their residual add up to.

        None where no residual was made.
        """
        if self.source is not None:
            with open_stored_recording(Store(self.source, self.storage)) as reader:
                return _first(reader.blocks(_BLOCK_FRAMES), frames=frames)
        rest = next((row for row in self.rows if row.kind == "residual"), None)
        if rest is None:
            return None
        parts = {}  # rows of one sound point to one file
        for row in self.rows:
            if row.group == rest.group and row.is_kept:
                names = (row.stem_uri, *(span.stem_uri for span in row.active_spans))
                parts[names] = row
        return sum(
            (self._read(row, frames=frames) for row in parts.values()),
            start=np.zeros((rest.channels or 1, frames), np.float32),
        )

    def __repr__(self) -> str:
        names = ", ".join(self) or "nothing"
        return f"SeparatedRecording({self.recording.recording_id!r}, {self.seconds:.1f} s: {names})"

    def sound_of(self, row: IndexRow) -> Floats:
        """See `FoundSounds`."""
        return self._read(row, frames=row.frames or 0)

    def _read(self, row: IndexRow, *, frames: int) -> Floats:
        """Read the beginning of a sound; silence where it has no file."""
        whole = np.zeros((row.channels or 0, frames), np.float32)
        files = [
            (row.stem_uri, 0),
            *((span.stem_uri, span.stem_start_frame or 0) for span in row.active_spans),
        ]
        for name, start in files:
            if name is not None and start < frames:
                with open_stored_recording(self._place(name)) as reader:
                    first = _first(reader.blocks(_BLOCK_FRAMES), frames=frames - start)
                whole[:, start : start + first.shape[1]] = first
        return whole


class SeparatedSound(FoundSounds[Waveform]):
    """One recording, separated in memory: arrays of the kind that was handed over, float32, as long as the recording.

    Parameters
    ----------
    given : Input
        What was separated.
    recording : Recording
        The same, with what it held then.
    sounds : SoundRequest
        What was asked for.
    wanted : StemRun
        The same, resolved.
    blocks : sequence of EstimateBlock
        All that the engine gave.
    made : WrittenRecording
        What came of them, held in memory.
    plan : Plan
        How that was understood.

    Notes
    -----
    Each array is put together when it is asked for, and is the caller's own.
    """

    def __init__(
        self,
        given: Input,
        *,
        recording: Recording,
        sounds: SoundRequest,
        wanted: StemRun,
        spec: AudioSpec,
        blocks: Sequence[EstimateBlock],
        made: WrittenRecording,
        plan: Plan,
    ) -> None:
        self.recording = recording
        self.rows: RecordingRows = made.rows
        self.matches = plan.matches
        self.names = plan.names
        self._given = given.read_out()
        self._sounds = sounds
        self._wanted = wanted
        self._spec = spec
        self._blocks = blocks
        self._held = made.held

    @property
    def sample_rate(self) -> int:
        """In Hz, of the recording and of all sounds."""
        return self._spec.sample_rate

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return (self.rows.common.frames or 0) / self.sample_rate

    @property
    def processing_seconds(self) -> float:
        """Time it took."""
        return self.rows.common.processing_seconds or 0.0

    @property
    def mixture(self) -> Waveform:
        """The recording itself, as it was separated."""
        whole: Waveform = self._given.given_back(
            np.concatenate([block.mixture for block in self._blocks], axis=1)
        )
        return whole

    def save(self, folder: Location, *, name: str | None = None, **options: Any) -> SeparatedRecording:
        """Write stems, index and report, the same files as of a recording that is separated to files.

        Parameters
        ----------
        folder : path
            Output root, a folder or URI.
        name : str, optional
            What the recording is called there; None: as it was called when it was separated.
        **options
            `overwrite`, `storage`, and what is written: `stem_format`, `residual`, `report`, `write`.

        Raises
        ------
        ConfigError
            If an option is unknown, or only an index is asked for.
        OutputError
            If results of an earlier run are in the way, or the results cannot be written.
        RecordingError
            If the format cannot hold the recording.
        """
        for option in options:
            if option not in _KEPT_WHEN_SAVED:
                raise unknown_option(option, known=_KEPT_WHEN_SAVED)
        request = request_with(SeparationRequest.of(self._sounds, output=folder), **options)
        if request.write.write == "index-only" and self._sounds.write.write != "index-only":
            expected = "'stems' or 'active-spans': the sounds are separated"
            raise ConfigError("option write", expected=expected, found="'index-only'")
        recording = self.recording if name is None else named(self.recording, name)
        check_output(request.output_store)
        if not request.overwrite:
            refuse_existing(request.output_store, recording=recording)
        facts = replace(
            self._wanted.facts,
            run_id=request.run_id(weights_sha256=self._wanted.facts.weights_sha256),
            settings=request.described(),
        )
        publisher = Publisher(request.output_store, replace(self._wanted, facts=facts, options=request.write))
        rows = publisher.publish(
            self._blocks,
            recording=recording,
            spec=self._spec,
            started=time.monotonic() - self.processing_seconds,
        ).with_recording_sha256(self.rows.common.recording_sha256)
        publisher.commit_recordings([rows], name=index_name(recording))
        write_page(request.output_store, write=request.write)
        return separated_recording(
            recording,
            rows=rows,
            request=request,
            matches=self.matches,
            names=self.names,
            is_stored=isinstance(self._given, StoredInput),
        )

    def _repr_html_(self) -> str:
        """Give a player for a notebook: the recording, its loudest sounds, and what they leave."""
        return self._player(
            np.concatenate([block.mixture for block in self._blocks], axis=1),
            sample_rate=self.sample_rate,
            samples_of=lambda row: self._held[row.stem_uri or ""].samples(),
        )

    def __repr__(self) -> str:
        return f"SeparatedSound({self.recording.recording_id!r}, {self.seconds:.1f} s: {', '.join(self) or 'nothing'})"

    def sound_of(self, row: IndexRow) -> Waveform:
        """See `FoundSounds`."""
        held = self._held.get(row.stem_uri or "")
        samples = (
            np.zeros((row.channels or 0, row.frames or 0), np.float32) if held is None else held.samples()
        )
        given_back: Waveform = self._given.given_back(samples)
        return given_back


def _spelt(name: str) -> str:
    return " ".join(name.split()).casefold()


def _first(blocks: Iterable[Floats], *, frames: int) -> Floats:
    """Put together the beginning of a sound."""
    read: list[Floats] = []
    left = frames
    for block in blocks:
        read.append(block[:, :left])
        left -= read[-1].shape[1]
        if left <= 0:
            break
    return np.concatenate(read, axis=1) if read else np.zeros((1, 0), np.float32)


def separated_recording(
    recording: Recording,
    *,
    rows: RecordingRows,
    request: SeparationRequest,
    matches: Matches,
    names: Names,
    is_stored: bool,
) -> SeparatedRecording:
    """Tell what came of a recording whose results are committed; `is_stored` tells whether it lies at its URI."""
    root, facts = _from_anywhere(request.output), rows.common
    output = Store(root, request.storage)
    return SeparatedRecording(
        recording=recording,
        rows=rows,
        output=root,
        folder=str(output / recording_folder(recording.recording_id)),
        report=str(output / report_path(recording.recording_id)) if request.write.report else None,
        seconds=(facts.frames or 0) / (facts.sample_rate or 1),
        processing_seconds=facts.processing_seconds or 0.0,
        matches=matches,
        names=names,
        storage=request.storage,
        source=_from_anywhere(recording.recording_uri) if is_stored else None,
    )


def _from_anywhere(root: str) -> str:
    """Give a place of this machine by its absolute path."""
    place = Store(root)
    return root if place.is_remote else os.path.abspath(place.local_path())
