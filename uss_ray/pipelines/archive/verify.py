"""Whether an output is what its index says, found out without trusting it; and the mending of what can be mended.

Nothing is made good here that only separating again can: such recordings are taken out of the index, so that the next
run does them.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from uss_ray.api.owned import anything, is_of_form, remove_empty_folders, remove_folder
from uss_ray.api.publisher import write_page
from uss_ray.api.staging import STAGING_NAME, commit, left_staging, name_below, staging_folder
from uss_ray.audio.codec import open_recording
from uss_ray.errors import ConfigError, DataError, OutputError
from uss_ray.pipelines.archive.cleaning import forget_done_parts
from uss_ray.pipelines.archive.ledger import FAILED_LIST_NAME, is_in, settle_duplicates, settle_failures
from uss_ray.pipelines.runtime.identity import read_identity
from uss_ray.records import INDEX_FOLDER, recording_key
from uss_ray.results.index.table import (
    ActiveSpan,
    IndexRow,
    IndexVersionError,
    has_file,
    is_current_version,
    read_index_part,
    write_index_part,
)
from uss_ray.results.layout import (
    ARCHIVE_DATA_FOLDER,
    ARCHIVE_PAGE_NAME,
    LABEL_NAMES,
    OWN_FOLDERS,
    OWN_PAGE_DATA,
    PARTS_FOLDER,
    REPORT_NAME,
    REPORT_SOUND_NAME,
    RUN_NAME,
    folder_of_own,
    former_folder,
    index_path,
    is_recording_folder,
    label_path,
    recording_folder,
)
from uss_ray.results.options import WriteOptions
from uss_ray.results.report.archive import ArchivePage, is_cut_page, page_data
from uss_ray.results.stems.part_files import PART_NAME
from uss_ray.store.faults import is_missing
from uss_ray.store.lease import LEASE_FOLDER, hold_lease, holders_of
from uss_ray.store.store import HALF_WRITTEN, Store
from uss_ray.store.systems import S3_SCHEMES

Kind = Literal[
    "missing",
    "altered",
    "wrong length",
    "duplicate",
    "stray",
    "temporary",
    "open upload",
    "unjoined",
    "index",
    "mixed index",
    "identity",
    "missing page",
    "stale page",
    "missing report",
]
_OF_STEMS: tuple[Kind, ...] = ("missing", "altered", "wrong length")
_TAKEN_OUT_FOR: tuple[Kind, ...] = (*_OF_STEMS, "missing report")
_JOB = "verify"
_AT_A_TIME = 16
_TIMES = ["recording", "made", "failed"]
_BLOCK_BYTES = 1 << 20
_REPORT = (REPORT_NAME, REPORT_SOUND_NAME)
_UPLOADED = (ARCHIVE_PAGE_NAME, FAILED_LIST_NAME)
"""Of the files right below the root those that may be large enough to go up in parts."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is not as it should be.

    Parameters
    ----------
    kind : str
        `missing`, `altered`, `wrong length`: a stem that the index names. `duplicate`: a recording that stands in it
        twice. `stray`: a stem or report that it does not name, in a folder of a recording, and no input. `temporary`,
        `open upload`: what a killed process left.
        `unjoined`: spans of a long recording. `index`: a part that cannot be read. `mixed index`: one of an earlier
        version beside some of this, which other programs do not read as one table. `identity`: a `run.json` that cannot
        be read, without which no run goes on. `missing page`: a file of the page of the output, of which others are
        there. `stale page`: one of these that says something else than the index, such as what it said before.
        `missing report`: the page of a recording, or its sound, where the other is there.
    place : str
        Relative to the output root.
    recording_id : str or None, default=None
        Where it is about one.
    """

    kind: Kind
    place: str
    recording_id: str | None = None


@dataclass(kw_only=True)
class Verification:
    """What was found.

    Attributes
    ----------
    recordings, stems : int
        That the index names; without those that failed. Each file of sound counts as a stem, residuals too.
    residuals : int
        How many of the stems are residuals, which `summary.json` does not count.
    failed : int
        Recordings that failed and were not separated since, as the index says; stems of some are of what they were.
    findings : list of Finding
        After a repair: what is left.
    repaired : int
        Things that were mended, and files that went with recordings that were taken out of the index.
    mended : list of Finding
        What a repair found and mended.
    """

    recordings: int = 0
    stems: int = 0
    residuals: int = 0
    failed: int = 0
    findings: list[Finding] = field(default_factory=list)
    repaired: int = 0
    mended: list[Finding] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """Findings of each kind."""
        return _counts(self.findings)

    @property
    def mended_counts(self) -> dict[str, int]:
        """What was mended, of each kind."""
        return _counts(self.mended)

    @property
    def taken_out(self) -> dict[str, dict[str, int]]:
        """Recordings that a repair took out of the index, by id, and why: findings of each kind."""
        of: dict[str, list[Finding]] = {}
        for finding in self.mended:
            if finding.kind in _TAKEN_OUT_FOR and finding.recording_id is not None:
                of.setdefault(finding.recording_id, []).append(finding)
        return {name: _counts(found) for name, found in sorted(of.items())}

    def to_json(self) -> str:
        """Give it as a JSON object."""
        told = {"counts": self.counts, "mended_counts": self.mended_counts, "taken_out": self.taken_out}
        return json.dumps(asdict(self) | told, indent=2)


def _counts(findings: Iterable[Finding]) -> dict[str, int]:
    return dict(Counter(finding.kind for finding in findings))


@dataclass(frozen=True)
class _Stem:
    recording_id: str
    place: str
    byte_count: int
    sha256: str
    frames: int | None
    is_residual: bool


def verify_output(
    output: Store, *, quick: bool = False, repair: bool = False, lost_reports: bool = False
) -> Verification:
    """Check an output root.

    Parameters
    ----------
    output : Store
        Outputs below it, such as other versions, are left alone.
    quick : bool, default=False
        Compare sizes only, and read no stem.
    repair : bool, default=False
        Mend what can be: duplicates, strays, open uploads and temporary files go, and so do the rows of recordings
        whose stems are not as they were written, so that the next run separates these again; the page of the output,
        where it has one, is written anew. Reports that are missing stay so, for only separating again makes them: a
        report shows the recording and how sure each sound was at each moment, which no stem and no index holds. No run
        may be at work then.
    lost_reports : bool, default=False
        With `repair`, treat recordings of whose report half is missing as those whose stems are not as they were
        written.

    Returns
    -------
    Verification
        What is wrong; of a repair, what was, and what is left.

    Raises
    ------
    ConfigError
        If `lost_reports` is asked for without `repair`.
    OutputError
        If the root cannot be read or, to repair, written; or a run holds it.
    """
    if lost_reports and not repair:
        raise ConfigError("lost reports", expected="repair, which takes their recordings out", found="none")
    lost: tuple[Kind, ...] = (*_OF_STEMS, *(("missing report",) if lost_reports else ()))
    place = output.raising(OutputError)
    # Asked once: in a store the index is gone with the last part that a repair takes.
    _refuse_other_folders(place)
    with hold_lease(place, job=_JOB, on_lost=lambda _: None) if repair else nullcontext():
        claims = _Claims.of(place)
        found = _verify(place, quick=quick, claims=claims)
        first = found.findings
        repaired = 0
        # Stems of recordings that were taken out of the index are strays then. Those of a damaged part of it stay
        # for once: who has a copy of that part may put it back.
        for _ in range(1 if any(finding.kind == "index" for finding in found.findings) else 2):
            if repair and found.findings:
                repaired += _repair(place, found.findings, lost=lost)
                found = _verify(place, quick=quick, claims=claims)
        found.repaired = repaired
        left = set(found.findings)
        found.mended = [finding for finding in first if finding not in left]
        return found


def _verify(output: Store, *, quick: bool, claims: _Claims) -> Verification:
    found = Verification()
    seen: dict[int, set[tuple[str, int]]] = {}
    failed: dict[int, datetime] = {}
    done: dict[int, datetime] = {}
    named: set[str] = set()
    reports: dict[str, str] = {}
    there = _Files.of(output)
    page = _Page.of(there)
    older: list[str] = []
    parts = 0
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        for part in _index_parts(output):
            parts += 1
            try:
                content = io.BytesIO(part.read())
                table = read_index_part(content, name=str(part))
            except IndexVersionError:
                raise
            except OutputError as error:  # tells nothing of what is in the part
                if is_missing(error):  # a run at work has brought the index into order
                    continue
                raise
            except DataError:
                found.findings.append(Finding(kind="index", place=part.relative_to(output)))
                continue
            if not is_current_version(pq.read_schema(content)):
                older.append(part.relative_to(output))
            page.take(table)
            claims.take(table)
            times = _times(table)
            for name, made, has_failed in times:
                last, key = failed if has_failed else done, recording_key(name)
                last[key] = max(made, last.get(key, made))
            part_name = part.name
            well = {(name, part_name, made) for name, made, has_failed in times if not has_failed}
            for name, place, made in sorted(well, key=str):
                seen.setdefault(recording_key(name), set()).add((place, hash(made)))
                if len(seen[recording_key(name)]) == 2:
                    found.findings.append(
                        Finding(kind="duplicate", place=part.relative_to(output), recording_id=name)
                    )
            for name in {name for name, _, _ in well}:
                folders = (recording_folder(name), former_folder(name))
                claims.folders.update(folders)
                reports |= {f"{folder}/{file}": name for folder in folders for file in _REPORT}
            # Most rows are of what was not found. Rows of one sound point to one stem.
            has_stem = has_file(table) | pc.equal(table["status"], "written").to_numpy()
            rows = map(IndexRow.from_record, table.filter(pa.array(has_stem)).to_pylist())
            stems = list({stem.place: stem for row in rows for stem in _stems(row)}.values())
            named |= {stem.place for stem in stems}
            found.stems += len(stems)
            found.residuals += sum(stem.is_residual for stem in stems)
            wrong = pool.map(lambda stem: (stem, _fault(there, stem, quick=quick)), stems)
            found.findings += [
                Finding(kind=kind, place=stem.place, recording_id=stem.recording_id)
                for stem, kind in wrong
                if kind is not None
            ]
    found.recordings = len(seen)
    found.failed = sum(key not in done or made > done[key] for key, made in failed.items())
    found.findings += _of_identity(output)
    if len(older) < parts:
        found.findings += [Finding(kind="mixed index", place=place) for place in older]
    found.findings += _left(there, named=named | reports.keys(), claims=claims)
    is_index_whole = all(finding.kind != "index" for finding in found.findings)
    found.findings += page.findings(there, is_index_whole=is_index_whole)
    found.findings += _of_reports(there, reports=reports, quick=quick)
    return found


def _times(table: pa.Table) -> list[tuple[str, datetime, bool]]:
    """Give each recording of a part, when rows of it were made, and whether these say that it failed."""
    told = pa.table([table["recording_id"], table["created_at"], pc.equal(table["status"], "failed")], _TIMES)
    distinct = told.group_by(_TIMES, use_threads=False).aggregate([])
    return list(zip(*(distinct[name].to_pylist() for name in _TIMES), strict=True))


def _of_identity(output: Store) -> Iterator[Finding]:
    """Find a `run.json` that no run could go on with."""
    place = output / RUN_NAME
    if place.exists():
        try:
            read_identity(place)
        except DataError:
            yield Finding(kind="identity", place=RUN_NAME)


def _of_reports(there: _Files, *, reports: Mapping[str, str], quick: bool) -> Iterator[Finding]:
    """Find reports of which half is there; one of which nothing is there may never have been asked for."""
    for name in sorted(there.sizes.keys() & reports.keys()):
        folder, _, file = name.rpartition("/")
        (other,) = {*_REPORT} - {file}
        if there.size(f"{folder}/{other}") is not None:
            continue
        # Pages of before hold their sound themselves.
        if file == REPORT_SOUND_NAME or (not quick and other.encode() in (there.output / name).read()):
            yield Finding(kind="missing report", place=f"{folder}/{other}", recording_id=reports[name])


@dataclass(frozen=True)
class _Files:
    """What lies below an output root, listed once; other outputs below it and what lies there are left out."""

    output: Store
    sizes: dict[str, int | None]
    others: tuple[str, ...]

    @classmethod
    def of(cls, output: Store) -> _Files:
        found = output.files(follow_links=False, with_hidden=True, tell=lambda _name, _why: None)
        sizes = {file.place.relative_to(output): file.size_bytes for file in found}
        others = tuple({root + "/" for root in map(_root_of, sizes) if root})
        return cls(
            output, {name: size for name, size in sizes.items() if not name.startswith(others)}, others
        )

    def size(self, name: str) -> int | None:
        """Give the size of a file in bytes; None if it is not there."""
        if name not in self.sizes:
            place = self.output / name  # behind a link that leads out
            return place.size() if place.exists() else None
        size = self.sizes[name]
        return (self.output / name).size() if size is None else size


@dataclass
class _Page:
    """The page of an output as it is, and what the index says that it should hold.

    One of which nothing is there may never have been asked for.
    """

    content: bytes | None
    names: tuple[str, ...]
    wanted: ArchivePage | None

    @classmethod
    def of(cls, there: _Files) -> _Page:
        if ARCHIVE_PAGE_NAME not in there.sizes:
            above = f"{ARCHIVE_DATA_FOLDER}/"
            below = (name.removeprefix(above) for name in there.sizes if name.startswith(above))
            has_data = any(map(OWN_PAGE_DATA.fullmatch, below))
            return cls(None, (ARCHIVE_PAGE_NAME,) if has_data else (), None)
        content = (there.output / ARCHIVE_PAGE_NAME).read()
        # Of one that was cut nobody knows what it reads.
        names = page_data(content) or (ARCHIVE_PAGE_NAME,) * is_cut_page(content)
        return cls(content, names, ArchivePage() if names else None)

    def take(self, table: pa.Table) -> None:
        if self.wanted is not None:
            self.wanted.take(table)

    def findings(self, there: _Files, *, is_index_whole: bool) -> Iterator[Finding]:
        """Find what is missing of the page, and what of it says something else than the whole index."""
        missing = [name for name in self.names if there.size(name) is None]
        yield from (Finding(kind="missing page", place=name) for name in missing)
        if self.wanted is None or not is_index_whole or _is_at_work(there.output):
            return
        if (there.output / ARCHIVE_PAGE_NAME).read() != self.content:  # a run has written it meanwhile
            return
        if self.content is not None and not self.wanted.is_told_by(self.content):
            yield Finding(kind="stale page", place=ARCHIVE_PAGE_NAME)
        for name, content in self.wanted.files():
            if name in self.names and name not in missing and (there.output / name).read() != content:
                yield Finding(kind="stale page", place=name)


def _is_at_work(output: Store) -> bool:
    """Tell whether a run, which writes the page last, holds an output; a repair in this process is none."""
    return any(holder.job != _JOB for holder in holders_of(output))


def _root_of(name: str) -> str:
    """Name the output root that a file gives away, relative to the one that is verified, or nothing."""
    folder, _, file = name.rpartition("/")
    above, _, last = folder.rpartition("/")
    is_of_index = last == INDEX_FOLDER and file.endswith(".parquet")
    if is_of_index or last == LEASE_FOLDER:
        return above
    return folder if file == RUN_NAME else ""


def _stems(row: IndexRow) -> Iterator[_Stem]:
    files: list[IndexRow | ActiveSpan] = [row, *row.active_spans]
    for file in files:
        if file.stem_uri is not None:
            frames = row.frames if file is row else None
            yield _Stem(
                row.recording_id,
                file.stem_uri,
                file.stem_bytes or 0,
                file.stem_sha256 or "",
                frames,
                row.kind == "residual",
            )


def _fault(there: _Files, stem: _Stem, *, quick: bool) -> Kind | None:
    size = there.size(stem.place)
    if size is None:
        return "missing"
    if size != stem.byte_count:
        return "altered"
    if quick:
        return None
    place = there.output / stem.place
    digest = hashlib.sha256()
    with place.open() as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
        if digest.hexdigest() != stem.sha256:
            return "altered"
        file.seek(0)
        with open_recording(file, name=stem.place) as reader:
            frames = reader.spec.frames
    return "wrong length" if None not in (frames, stem.frames) and frames != stem.frames else None


def _left(there: _Files, *, named: set[str], claims: _Claims) -> Iterator[Finding]:
    """Find what lies about, nobody names, and this program has written."""
    tops = {name.split("/")[0] for name in there.sizes}
    staging = {top for top in tops if STAGING_NAME.fullmatch(top)}
    if not there.output.is_remote:  # there a live process may be at work in one
        staging = {folder.name for folder in left_staging(there.output)}
    yield from (Finding(kind="temporary", place=name) for name in sorted(staging))
    whole = {name.removesuffix(f"/{PART_NAME}") for name in there.sizes if name.endswith(f"/{PART_NAME}")}
    whole = {folder for folder in whole if folder.startswith(f"{PARTS_FOLDER}/")}
    yield from (Finding(kind="unjoined", place=folder) for folder in sorted(whole))
    for name in there.sizes:
        top = name.partition("/")[0]
        is_half = HALF_WRITTEN.fullmatch(name.rpartition("/")[2]) is not None
        if STAGING_NAME.fullmatch(top) or name in named or not (is_half or _may_lie_about(name, whole=whole)):
            continue
        if claims.may_go(name):
            yield Finding(kind="temporary" if is_half or top == PARTS_FOLDER else "stray", place=name)
    for key, _ in _uploads(there.output):
        # An upload is nothing yet; whoever wants files of these names there has them still.
        if not key.startswith(there.others) and (key in _UPLOADED or claims.may_go(key)):
            yield Finding(kind="open upload", place=key)


def _may_lie_about(name: str, *, whole: Collection[str]) -> bool:
    """Tell whether a file is one that has to be named or is left over, unlike an index, a page and labels."""
    folder, _, last = name.rpartition("/")
    top = name.partition("/")[0]
    return (
        folder not in whole
        and top not in (INDEX_FOLDER, ARCHIVE_DATA_FOLDER)
        and last not in LABEL_NAMES.values()
    )


@dataclass
class _Claims:
    """Whose what lies below an output root is: only what is called as this program calls it, and is no input, may go.

    Attributes
    ----------
    folders : set of str
        That are of recordings, as the index says or has said: those of outputs of before may be called anyhow.
    recordings : set of str
        What was separated, as far as it lies below the output root.
    source : str or None
        Where the run found it, as far as that lies there.
    """

    output: Store
    folders: set[str] = field(default_factory=set)
    recordings: set[str] = field(default_factory=set)
    source: str | None = None
    _above: dict[str, str | None] = field(default_factory=dict)

    @classmethod
    def of(cls, output: Store) -> _Claims:
        claims, place = cls(output), output / RUN_NAME
        if place.exists():
            with suppress(DataError):  # a finding of its own
                claims.source = name_below(Store(read_identity(place).archive), output)
        return claims

    def take(self, table: pa.Table) -> None:
        """Note which recordings the rows of a part of the index are about."""
        for location in pc.unique(table["recording_uri"]).to_pylist():
            above, _, last = location.rpartition("/")
            if above not in self._above:  # recordings are many, and lie beside each other
                self._above[above] = name_below(Store(above or "."), self.output)
            folder = self._above[above]
            if folder is not None:
                self.recordings.add(last if folder == "." else f"{folder}/{last}")

    def may_go(self, name: str) -> bool:
        """Tell whether a file that nobody needs may be taken away; `name` is relative to the output root."""
        if not self._is_ours(name):
            return False
        place = name_below(self.output / name, self.output)
        if place is None or place in self.recordings or self.source == ".":  # by a link, too
            return False
        return self.source is None or not f"{place}/".startswith(f"{self.source}/")

    def _is_ours(self, name: str) -> bool:
        top, _, rest = name.partition("/")
        if top in OWN_FOLDERS:
            return is_of_form(rest, OWN_FOLDERS[top].fullmatch)
        if HALF_WRITTEN.fullmatch(name.rpartition("/")[2]):
            return True
        if top == ARCHIVE_DATA_FOLDER:
            return OWN_PAGE_DATA.fullmatch(rest) is not None
        folder = folder_of_own(name)
        return folder is not None and (is_recording_folder(folder) or folder in self.folders)


def _uploads(output: Store) -> Iterator[tuple[str, dict[str, Any]]]:
    """List multipart uploads that were begun below a prefix and neither completed nor aborted."""
    if output.scheme not in S3_SCHEMES:
        return
    system, path = output.file_system()
    bucket, _, prefix = f"{path.rstrip('/')}/".partition("/")
    request: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
    while True:
        page = system.call_s3("list_multipart_uploads", **request)
        for upload in page.get("Uploads", ()):
            told = {"Bucket": bucket, "Key": upload["Key"], "UploadId": upload["UploadId"]}
            yield upload["Key"].removeprefix(prefix), told
        if not page.get("IsTruncated"):
            return
        request |= {
            "KeyMarker": page["NextKeyMarker"],
            "UploadIdMarker": page["NextUploadIdMarker"],
        }


def _repair(output: Store, findings: Iterable[Finding], *, lost: Sequence[Kind]) -> int:
    """Mend what can be, what tells of results first; give how many things that were.

    Recordings with findings of the kinds `lost` are taken out.
    """
    of: dict[str, list[Finding]] = {}
    for finding in findings:
        of.setdefault(finding.kind, []).append(finding)
    repaired = 0
    for finding in of.get("index", ()):
        if OWN_FOLDERS[INDEX_FOLDER].fullmatch(
            finding.place.partition("/")[2]
        ):  # others may have put a table of theirs there
            (output / finding.place).remove()
            repaired += 1
    if "duplicate" in of:
        repaired += settle_duplicates(output)
    if "mixed index" in of:
        settle_duplicates(output)
        settle_failures(output)
        repaired += len(of["mixed index"])
    broken = [finding for kind in lost for finding in of.get(kind, ())]
    if broken:
        names = {finding.recording_id for finding in broken if finding.recording_id is not None}
        _forget(output, np.unique(np.array([recording_key(name) for name in names], np.int64)))
        # Labels are never strays; the next run takes them for results.
        for name in sorted(names):
            for label_format in LABEL_NAMES:
                (output / label_path(name, label_format=label_format)).remove()
        repaired += len(broken)
    gone = [finding.place for finding in broken]
    strays = () if "index" in of else of.get("stray", ())  # the part that goes may have named them
    for finding in (*strays, *of.get("temporary", ())):
        if STAGING_NAME.fullmatch(finding.place):
            remove_folder(output, finding.place, is_own=anything)
        else:
            (output / finding.place).remove()
            gone.append(finding.place)
        repaired += 1
    remove_empty_folders(output, (name for name in gone if not name.startswith(f"{INDEX_FOLDER}/")))
    if "unjoined" in of:
        forget_done_parts(output)
    open_ones = {finding.place for finding in of.get("open upload", ())}
    for key, upload in list(_uploads(output)):
        if key in open_ones:
            output.file_system()[0].call_s3("abort_multipart_upload", **upload)
            repaired += 1
    pages = [*of.get("missing page", ()), *of.get("stale page", ())]
    if of.keys() & {*lost, "index", "duplicate", "mixed index"} or pages:
        _renew_page(output, has_page=bool(pages))
        repaired += len(pages)
    return repaired


def _renew_page(output: Store, *, has_page: bool) -> None:
    """Let the page of an output, where it has one, show what the index says now; another's `index.html` stays."""
    page = output / ARCHIVE_PAGE_NAME
    if not (has_page or (page.exists() and page_data(page.read()))):
        return
    if _index_parts(output):
        write_page(output, write=WriteOptions())
    else:
        page.remove()
        remove_folder(output, ARCHIVE_DATA_FOLDER, is_own=OWN_PAGE_DATA.fullmatch)


def _forget(output: Store, keys: Any) -> None:
    """Take recordings out of the index."""
    for part in list(_index_parts(output)):
        table = read_index_part(io.BytesIO(part.read()), name=str(part))
        found = np.array([recording_key(name) for name in table["recording_id"].to_pylist()], np.int64)
        stays = ~is_in(found, keys)
        if stays.all():
            continue
        if not stays.any():
            part.remove()
            continue
        name = index_path(part.name.removesuffix(".parquet"))
        with staging_folder(output) as staging:
            write_index_part(table.filter(pa.array(stays)), path=staging / name)
            commit(staging, output=output, name=name)


def _index_parts(output: Store) -> list[Store]:
    folder = output / INDEX_FOLDER
    if not folder.exists():
        return []
    return [part for part in folder.list() if part.name.endswith(".parquet")]


def _refuse_other_folders(output: Store) -> None:
    """Refuse what is no output; a run that was killed before anything was done has left one."""
    if not ((output / INDEX_FOLDER).exists() or (output / RUN_NAME).exists()):
        raise OutputError(str(output), expected=f"an output with an {INDEX_FOLDER}/", found="none")
