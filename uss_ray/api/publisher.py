"""The results of a recording come to their place: stems and report as they are finished, index rows last.

The same for a recording that is separated alone, among others, and in spans.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from uss_ray.api.owned import remove_folder
from uss_ray.api.staging import commit, staging_folder
from uss_ray.audio.capacity import stem_encoding
from uss_ray.audio.spec import AudioSpec, StemSubtype
from uss_ray.errors import OutputError, RecordingError, reason_of
from uss_ray.records import Recording
from uss_ray.results.blocks import EstimateBlock
from uss_ray.results.index.rows import RecordingRows, rows_table
from uss_ray.results.index.table import (
    IndexRow,
    RecordingFacts,
    failed_row,
    to_table,
    write_index_part,
)
from uss_ray.results.labels import LabelledRecording, label_files
from uss_ray.results.layout import (
    OWN_PART_FILE,
    OWN_PARTS,
    PARTS_FOLDER,
    index_path,
    is_own_file,
    is_own_name,
    part_folder,
    recording_folder,
)
from uss_ray.results.options import WriteOptions
from uss_ray.results.report.archive import write_archive_page
from uss_ray.results.report.recording import write_report
from uss_ray.results.stems.part_files import read_part_facts
from uss_ray.results.stems.parts import PART_NAME, join_parts, write_part
from uss_ray.results.stems.stem_run import StemRun
from uss_ray.results.stems.writer import write_estimates
from uss_ray.results.stems.written import WrittenRecording
from uss_ray.sources.reading import open_digested_recording, open_stored_recording
from uss_ray.store.store import Store

logger = logging.getLogger(__name__)

_BLOCK_SECONDS = 1


class Publisher:
    """Writes and commits what is separated from recordings.

    Parameters
    ----------
    output : Store
        Where the results go; recordings are read again with its options.
    wanted : StemRun
        What is written of each recording.
    scratch : Path or None, default=None
        Staging folder of the job this is a part of; see `staging.staging_folder`.
    """

    def __init__(self, output: Store, wanted: StemRun, *, scratch: Path | None = None) -> None:
        self._output = output
        self._wanted = wanted
        self._scratch = scratch

    def publish(
        self, blocks: Iterable[EstimateBlock], *, recording: Recording, spec: AudioSpec, started: float
    ) -> RecordingRows:
        """Write what the engine gives for a recording, and commit stems and report.

        Parameters
        ----------
        blocks : iterable of EstimateBlock
            All of them.
        recording : Recording
        spec : AudioSpec
            Of its file.
        started : float
            When the work on it began, on the monotonic clock.

        Returns
        -------
        RecordingRows
            For `commit_recordings`; until then the recording counts as not separated.

        Raises
        ------
        RecordingError
            If the blocks are not those of a whole recording.
        OutputError
            If the results cannot be written.
        """
        with staging_folder(self._output, within=self._scratch) as staging:
            folder = recording_folder(recording.recording_id)
            (staging / folder).mkdir(parents=True)
            wanted, subtype = self._encoded(spec, item=recording.recording_uri)
            written = write_estimates(
                blocks,
                wanted,
                root=staging,
                recording=facts_of(recording, spec=spec),
                subtype=subtype,
                started=started,
            )
            return self._commit(written, folder=folder, staging=staging)

    def publish_part(
        self, blocks: Iterable[EstimateBlock], *, recording: Recording, spec: AudioSpec, part: int
    ) -> None:
        """Write what the engine gives for one span of a long recording, and commit it for `join`.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        name = part_name(recording, part)
        with staging_folder(self._output, within=self._scratch) as staging:
            (staging / name).mkdir(parents=True)
            write_part(blocks, self._wanted, folder=staging / name, recording=facts_of(recording, spec=spec))
            commit(staging, output=self._output, name=name, last=PART_NAME, is_own=OWN_PART_FILE.fullmatch)

    def join(self, recording: Recording, *, parts: int) -> RecordingRows:
        """Make the results of a long recording from its spans, commit all of them, and remove the spans.

        Parameters
        ----------
        recording : Recording
        parts : int
            Number of spans, all committed.

        Returns
        -------
        RecordingRows
            They are committed.

        Raises
        ------
        RecordingError
            If the recording cannot be read again.
        OutputError
            If a span cannot be read, the results cannot be written, or the recording is not what it was when its
            spans were separated.
        """
        started = time.monotonic()
        source = Store(recording.recording_uri, self._output.options)
        places = [self._output / part_name(recording, part) for part in range(parts)]
        recording = replace(recording, sha256=_unchanged_sha256(source, recording=recording, parts=places))
        with _fault_of_a_change(source, recording=recording):
            with open_stored_recording(source) as reader:
                spec = reader.tagged_spec()
            rows = self._joined(recording, source=source, spec=spec, places=places, started=started)
        self.commit_recordings([rows], name=index_name(recording))
        self.forget_parts(recording)
        return rows

    def _joined(
        self, recording: Recording, *, source: Store, spec: AudioSpec, places: Sequence[Store], started: float
    ) -> RecordingRows:
        output = self._output
        with staging_folder(output, within=self._scratch) as staging:
            uploaded: list[str] = []

            def upload(file: Path) -> None:
                if output.is_remote:  # a long stem need not wait here for the others
                    uploaded.append(file.relative_to(staging).as_posix())
                    commit(staging, output=output, name=uploaded[-1])
                    file.unlink()

            folder = recording_folder(recording.recording_id)
            (staging / folder).mkdir(parents=True)
            wanted, subtype = self._encoded(spec, item=recording.recording_uri)
            written = join_parts(
                places,
                wanted,
                mixture_blocks=lambda: _mixture(source, sha256=recording.sha256),
                root=staging,
                recording=facts_of(recording, spec=spec),
                subtype=subtype,
                started=started,
                on_file=upload,
            )
            _unchanged_sha256(source, recording=recording, parts=())
            return self._commit(written, folder=folder, staging=staging, uploaded=uploaded)

    def commit_recordings(self, recordings: Sequence[RecordingRows], *, name: str) -> None:
        """Put recordings into the index, as one part of it that replaces one of the same name.

        Raises
        ------
        OutputError
            If the index cannot be written.
        """
        self._commit_index(rows_table(recordings), name=name)

    def commit_failed(self, rows: Sequence[IndexRow], *, name: str) -> None:
        """Put the rows of recordings that failed into the index, as `commit_recordings` does."""
        self._commit_index(to_table(rows), name=name)

    def _commit_index(self, table: pa.Table, *, name: str) -> None:
        index = index_path(name)
        with staging_folder(self._output, within=self._scratch) as staging:
            write_index_part(table, path=staging / index)
            commit(staging, output=self._output, name=index)

    def failed(self, recording: Recording, *, reason: str) -> IndexRow:
        """Make the row of a recording that cannot be separated."""
        facts = RecordingFacts(
            recording_id=recording.recording_id,
            recording_uri=recording.recording_uri,
            recording_content=recording.content_tag,
        )
        return failed_row(facts, run=self._wanted.facts, reason=reason)

    def forget_parts(self, recording: Recording) -> None:
        """Remove the spans of a recording; what is not there is no fault.

        Raises
        ------
        OutputError
            If they cannot be removed.
        """
        remove_folder(self._output, parts_folder(recording), is_own=OWN_PARTS.fullmatch)

    def _encoded(self, spec: AudioSpec, *, item: str) -> tuple[StemRun, StemSubtype]:
        """Give what is written in a format that holds the recording, and the coding."""
        asked = self._wanted.options
        stem_format, subtype = stem_encoding(spec, stem_format=asked.stem_format, item=item)
        if stem_format == asked.stem_format:
            return self._wanted, subtype
        return replace(self._wanted, options=asked.replace(stem_format=stem_format)), subtype

    def _commit(
        self,
        written: WrittenRecording,
        *,
        folder: str,
        staging: Path,
        uploaded: Sequence[str] = (),
    ) -> RecordingRows:
        if self._wanted.options.report:
            write_report(written, root=staging)
        if self._wanted.options.labels:
            rows = (written.rows.common, *written.rows.own.values())
            for name, content in label_files(LabelledRecording.of_rows(rows), self._wanted.options.labels):
                (staging / name).write_bytes(content)
        commit(
            staging,
            output=self._output,
            name=folder,
            keep=uploaded,
            is_own=is_own_file,
        )
        return written.rows


def write_page(output: Store, *, write: WriteOptions, tell: Callable[[str], None] = logger.warning) -> None:
    """Write the page of an output, to which those of its recordings lead, if there are any.

    The stems are there without it: what goes wrong is only told.
    """
    if not write.report:
        return
    try:
        write_archive_page(output)
    except Exception as error:  # noqa: BLE001 - such as too little memory
        tell(f"no page of the output: {reason_of(error)}")


def check_before_work(spec: AudioSpec, *, name: str, write: WriteOptions) -> None:
    """Find out before any work whether stems of a recording can be written, and tell what its header says wrongly.

    Raises
    ------
    RecordingError
        If a lossy format cannot hold them; it names the recording, and the formats that can.
    """
    if spec.note is not None:
        logger.warning("%s: %s", name, spec.note)
    if write.write != "index-only":
        stem_encoding(spec, stem_format=write.stem_format, item=name)


def refuse_existing(output: Store, *, recording: Recording) -> None:
    """Refuse to mix results with those of an earlier run.

    Raises
    ------
    OutputError
        If there are results of this recording below the output root.
    """
    folder = output / recording_folder(recording.recording_id)
    if (output / index_path(index_name(recording))).exists() or holds_own(folder):
        raise OutputError(
            str(folder), expected="no results yet, or overwrite=True", found="results of an earlier run"
        )


def holds_own(folder: Store) -> bool:
    """Tell whether anything below a folder is of its own recording, and not of one further below."""
    return folder.exists() and any(
        file != folder and is_own_name(file.relative_to(folder)) for file in folder.list()
    )


def parts_folder(recording: Recording) -> str:
    """Place the spans of a recording, relative to the output root."""
    return f"{PARTS_FOLDER}/{index_name(recording)}"


def part_name(recording: Recording, part: int) -> str:
    """Place one span of a recording, relative to the output root."""
    return part_folder(index_name(recording), part)


def index_name(recording: Recording) -> str:
    """Name the index part of a recording that is separated alone, so that a repetition replaces it."""
    return f"{recording.recording_key:016x}"


def facts_of(recording: Recording, *, spec: AudioSpec) -> RecordingFacts:
    """Tell what is known of a recording that is open."""
    return RecordingFacts(
        recording_id=recording.recording_id,
        recording_uri=recording.recording_uri,
        recording_content=recording.content_tag,
        recording_sha256=recording.sha256,
        sample_rate=spec.sample_rate,
        channels=spec.channels,
        frames=spec.frames,
        format=f"{spec.format}/{spec.subtype}",
        decoder=spec.decoder,
        note=spec.note,
        tags=spec.tags,
    )


def _unchanged_sha256(source: Store, *, recording: Recording, parts: Sequence[Store]) -> str | None:
    """Refuse to join spans of two contents that stood under one name; give the checksum that the last span knows."""
    facts = [read_part_facts(part) for part in parts]
    told = {part.recording_content for part in facts} | {recording.content_tag, source.content_tag()}
    checksums = {part.recording_sha256 for part in facts} - {None}
    if len(told - {None}) > 1 or len(checksums) > 1:
        raise _changed_meanwhile(recording.recording_uri)
    return next(iter(checksums), None)


@contextmanager
def _fault_of_a_change(source: Store, *, recording: Recording) -> Iterator[None]:
    """Blame a recording for nothing that comes of its having been changed, or taken away, since it was decoded."""
    try:
        yield
    except RecordingError as error:
        if source.is_gone():
            raise _changed_meanwhile(recording.recording_uri, found="none any more") from error
        if source.has_changed(recording.content_tag):
            raise _changed_meanwhile(recording.recording_uri) from error
        raise


def _mixture(source: Store, *, sha256: str | None) -> Iterator[NDArray[np.float32]]:
    """Read the recording again; the checksum tells whether it is the one whose spans were separated."""
    with open_digested_recording(source) as (reader, file):
        yield from reader.blocks(_BLOCK_SECONDS * reader.sample_rate)
        if sha256 is not None and file.sha256() not in (sha256, None):
            raise _changed_meanwhile(str(source))


def _changed_meanwhile(item: str, *, found: str = "one that was changed meanwhile") -> OutputError:
    return OutputError(
        item,
        expected="a recording that stays as it is until all its spans are separated",
        found=found,
    )
