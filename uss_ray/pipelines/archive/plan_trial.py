"""What a recording costs: excerpts of a few are separated in earnest, on this machine, and thrown away.

Owns the measuring; what it is measured for is the plan's matter.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from uss_ray.api.request import SeparationRequest
from uss_ray.api.separator import RecordingSeparator
from uss_ray.audio.codec import StemWriter, stem_subtype
from uss_ray.errors import RecordingError
from uss_ray.records import Recording
from uss_ray.results.layout import REPORT_SOUND_NAME
from uss_ray.sources.reading import open_stored_recording
from uss_ray.store.faults import is_infrastructure
from uss_ray.store.store import Store

EXCERPT_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What one excerpt took and gave.

    Parameters
    ----------
    recording_id : str
    seconds : float
        Length of the excerpt: the beginning of the recording, at most `EXCERPT_SECONDS`.
    took_seconds : float
        From opening it to its rows in the index.
    stems : int
        That were written.
    stem_bytes : int
        All of them together, and the report's copy of the recording; they grow with the length of a recording.
    other_bytes : int
        Report and index rows; these hardly do.
    """

    recording_id: str
    seconds: float
    took_seconds: float
    stems: int
    stem_bytes: int
    other_bytes: int


def run_trials(recordings: Iterable[Recording], *, request: SeparationRequest, wanted: int) -> list[Trial]:
    """Separate excerpts as the request says, into a temporary folder.

    Parameters
    ----------
    recordings : iterable of Recording
        Taken in this order; those that cannot be read are passed over.
    request : SeparationRequest
        Of the job; its output is left alone.
    wanted : int
        Excerpts to measure.

    Returns
    -------
    list of Trial
        As many as wanted, or fewer where there are no more.

    Raises
    ------
    UssRayError
        If weights, query or settings are wrong, or the stems cannot be written in the wanted format.
    """
    trials: list[Trial] = []
    with tempfile.TemporaryDirectory(prefix="uss-ray-trial-") as folder:
        separator = RecordingSeparator(request.replace(output=Path(folder) / "out", overwrite=True))
        excerpt = Path(folder) / "excerpt.wav"
        for recording in recordings:
            if len(trials) >= wanted:
                break
            try:
                seconds = _cut(Store(recording.recording_uri, request.storage), path=excerpt)
                if not trials:  # the first forward of a network is slow, and happens once a worker
                    separator.separate(_at(excerpt, "warm-up"))
                trials.append(_trial(separator, excerpt=excerpt, recording=recording, seconds=seconds))
            except RecordingError as error:
                if is_infrastructure(error):
                    raise
    return trials


def _trial(separator: RecordingSeparator, *, excerpt: Path, recording: Recording, seconds: float) -> Trial:
    root = Path(separator.request.output)
    before = _tree_bytes(root)
    started = time.perf_counter()
    separated = separator.separate(_at(excerpt, recording.recording_id))
    took_seconds = time.perf_counter() - started
    # Stems of a row, or one for each of its spans: what is there tells, whatever the way of writing.
    # A stem that another format holds better is a WAV.
    suffixes = {f".{separator.request.write.stem_format}", ".wav"}
    files = [path for path in Path(separated.folder).rglob("*.*") if path.is_file()]
    copies = [path for path in files if path.name == REPORT_SOUND_NAME]
    stems = [path for path in files if path.suffix in suffixes and path not in copies]
    stem_bytes = sum(path.stat().st_size for path in (*stems, *copies))
    return Trial(
        recording_id=recording.recording_id,
        seconds=seconds,
        took_seconds=took_seconds,
        stems=len(stems),
        stem_bytes=stem_bytes,
        other_bytes=_tree_bytes(root) - before - stem_bytes,
    )


def _cut(place: Store, *, path: Path) -> float:
    """Copy the beginning of a recording, no coarser than it is; give its length in seconds."""
    with ExitStack() as stack:
        reader = stack.enter_context(open_stored_recording(place))
        writer = stack.enter_context(
            StemWriter(
                path,
                sample_rate=reader.sample_rate,
                channels=reader.channels,
                format="wav",
                subtype=stem_subtype(reader.spec.subtype, stem_format="wav"),
            )
        )
        missing = EXCERPT_SECONDS * reader.sample_rate
        for block in reader.blocks(reader.sample_rate):
            writer.write(block[:, :missing])
            missing -= min(missing, block.shape[1])
            if missing == 0:
                break
        return EXCERPT_SECONDS - missing / reader.sample_rate


def _at(path: Path, name: str) -> Recording:
    return Recording(recording_uri=str(path), recording_id=name)


def _tree_bytes(root: Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
