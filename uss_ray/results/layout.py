"""Where results lie under an output root.

Owns every name of a folder or file that USS-Ray writes, but for that of a recording (`records`); opens and writes
nothing itself. All names are relative to the root, with forward slashes, so that they hold on a disk and in an object
store alike::

    <recording>/level-2/dog__m_0bt9lr.flac        one stem a node of an ontology level
    <recording>/level-2/dog__m_0bt9lr/000012.000.flac   one file for each active span, named by its first second
    <recording>/level-2/residual.flac             the mixture minus the stems of that level
    <recording>/events/bark__m_05tny_.flac        one stem an event, whatever its level
    <recording>/events/residual.flac              the mixture minus the stems of all events
    <recording>/query/my-query.flac               one stem a query (class, union, text, example)
    <recording>/query/residual.flac               the mixture minus the stems of the queries
    <recording>/report.html                       its page, and what the page plays of the recording itself
    <recording>/report.mp3
    <recording>/labels.rttm                       what was heard where, a file for each format asked for
    index.html, index-pages/<name>.js             the page of the whole output, and its data
    index/<name>.parquet
    long-names/<checksum>/<recording>/            what has a name too long for an object store
    run.json                                      which run of a job the results are of
    index.json                                    rows of one recording, of a call to a service: its stems lie beside it
    .parts/<key>/000003/                          a part of a long recording that waits for the others

`<recording>` is `recording_folder` of its id. None lies in that of another, whatever their ids.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import re
from collections.abc import Collection, Iterator
from pathlib import PurePosixPath
from typing import Final

from uss_ray.records import INDEX_FOLDER, RECORDING_SUFFIXES, encoded, safe_name
from uss_ray.results.options import LabelFormat

REPORT_NAME = "report.html"
REPORT_SOUND_NAME = "report.mp3"
ARCHIVE_PAGE_NAME = "index.html"
ARCHIVE_DATA_FOLDER = "index-pages"
CALL_INDEX_NAME = "index.json"
RUN_NAME = "run.json"
LABEL_NAMES: Final[dict[LabelFormat, str]] = {
    "audacity": "labels.txt",
    "raven": "labels.selections.txt",
    "csv": "labels.csv",
    "rttm": "labels.rttm",
    "jams": "labels.jams",
    "vtt": "labels.vtt",
}
PARTS_FOLDER = ".parts"
QUERY_FOLDER = "query"
EVENTS_FOLDER = "events"
RESIDUAL_SLUG = "residual"
FOLDER_SUFFIX = ".stems"
"""How the folder of a recording ends whose id has no ending of its own; no folder that holds recordings ends so."""

_SLUG_CHARS = 60
# An object store takes keys of 1024 bytes: below the folder come a level, a stem and a span, above it the output's own.
_FOLDER_BYTES = 600
_LONG_FOLDER = "long-names"
_FOLDER_SUFFIXES = RECORDING_SUFFIXES | {FOLDER_SUFFIX}
_OWN_NAME = re.compile(
    rf"(?i)level-\d+|{QUERY_FOLDER}|{EVENTS_FOLDER}|report\.(html|mp3)|"
    + "|".join(map(re.escape, LABEL_NAMES.values()))
)
_OWN_FILE = re.compile(
    rf"(level-\d+|{QUERY_FOLDER}|{EVENTS_FOLDER})/[\w%~-]+(__[^/]+)?(/\d{{6,}}\.\d{{3}})?\.(flac|wav|ogg|opus|mp3)|"
    rf"{re.escape(REPORT_NAME)}|{re.escape(REPORT_SOUND_NAME)}|"
    + "|".join(map(re.escape, LABEL_NAMES.values()))
)
_OWN_DEPTH = 3
OWN_PART_FILE: Final = re.compile(r"part\.json|segments\.npz|\d{5,}\.f32")
"""The form of the names in a part of a long recording."""
OWN_PARTS: Final = re.compile(rf"\d{{6,}}/({OWN_PART_FILE.pattern})")
"""The form of the names in the folder of all parts of one."""
OWN_FOLDERS: Final[dict[str, re.Pattern[str]]] = {
    INDEX_FOLDER: re.compile(r"((failed-)?[0-9a-f]{16}|failed-settled)\.parquet"),
    PARTS_FOLDER: re.compile(rf"[0-9a-f]{{16}}/{OWN_PARTS.pattern}"),
}
"""Folders of a run's own below the output root, and the form of the names in each; files of other names are others'."""
OUTPUT_FOLDERS: Final = (*OWN_FOLDERS, ARCHIVE_DATA_FOLDER, _LONG_FOLDER)
"""Folders below the output root that are not of the id of a recording."""
OWN_PAGE_DATA: Final = re.compile(r"(recordings|sound-[\w%~-]*)\.js")
"""The form of the names in `ARCHIVE_DATA_FOLDER`."""
_ROOT_NAME = re.compile(
    rf"(?i){INDEX_FOLDER}|{ARCHIVE_PAGE_NAME}|{ARCHIVE_DATA_FOLDER}|{_LONG_FOLDER}|run\.json|summary(-\d+-of-\d+)?\.json|failed\.jsonl"
)


@functools.lru_cache(maxsize=1024)
def recording_folder(recording: str) -> str:
    """Place the folder of a recording, by its id alone.

    Parameters
    ----------
    recording : str
        A `records.recording_id`.

    Returns
    -------
    str
        The id. One that does not end like a recording gets `FOLDER_SUFFIX`, and a part before the last that ends like
        either is percent-encoded: so a folder of a recording and one that holds recordings are never the same. A letter
        is encoded in parts that would be hidden, are names of the root's own files, or, below another part, of a
        recording's own. Of a name of more than 600 bytes the last part stays, below a checksum of the id.

    Examples
    --------
    >>> recording_folder("tapes/a.wav"), recording_folder("a.wav/b.wav"), recording_folder("run.json")
    ('tapes/a.wav', 'a%2Ewav/b.wav', '%72un.json.stems')
    >>> recording_folder("s1"), recording_folder("s1/mic1"), recording_folder(".parts/x")
    ('s1.stems', 's1/mic1.stems', '%2Eparts/x.stems')
    """
    parts = _encoded_parts(recording, taken_suffixes=_FOLDER_SUFFIXES)
    if PurePosixPath(parts[-1]).suffix.casefold() not in RECORDING_SUFFIXES:
        parts[-1] += FOLDER_SUFFIX
    folder = "/".join(parts)
    if len(folder.encode()) > _FOLDER_BYTES:
        return f"{_LONG_FOLDER}/{hashlib.sha256(recording.encode()).hexdigest()[:32]}/{parts[-1]}"
    return folder


def former_folder(recording: str) -> str:
    """Place the folder of a recording as outputs of before have it: it may be that of another one today."""
    return "/".join(_encoded_parts(recording, taken_suffixes=RECORDING_SUFFIXES))


def recordings_in(folder: str) -> tuple[str, ...]:
    """Say which recordings can have their results in a folder, the other way round.

    Parameters
    ----------
    folder : str
        Relative to the output root.

    Returns
    -------
    tuple of str
        Ids whose folder it is, as outputs of now or of before have it, and patterns (``*``) of ids below it.

    Examples
    --------
    >>> recordings_in("tapes/10%3A00.wav"), recordings_in("s1.stems")
    (('tapes/10%3A00.wav', 'tapes/10%3A00.wav/*'), ('s1', 's1.stems', 's1.stems/*'))
    """
    parts = folder.split("/")
    names = ["/".join(name) for name in itertools.product(*map(_decoded, parts))]
    unended = [name.removesuffix(FOLDER_SUFFIX) for name in names if name.endswith(FOLDER_SUFFIX)]
    own = [
        name for of in (recording_folder, former_folder) for name in (*unended, *names) if of(name) == folder
    ]
    return tuple(dict.fromkeys((*own, *(f"{name}/*" for name in names))))


def _decoded(part: str) -> Iterator[str]:
    """Give a part of a folder's name as it is, and as it was if its first letter or its last dot was encoded."""
    begun = [part]
    if re.match(r"%[2-7][0-9A-F]", part):
        begun.append(chr(int(part[1:3], 16)) + part[3:])
    for name in begun:
        yield name
        stem, _, suffix = name.rpartition(encoded("."))
        if stem:
            yield f"{stem}.{suffix}"


def _encoded_parts(recording: str, *, taken_suffixes: Collection[str]) -> list[str]:
    parts = recording.split("/")
    for place, part in enumerate(parts):
        is_taken = (_OWN_NAME if place else _ROOT_NAME).fullmatch(part) is not None
        if is_taken or part.startswith("."):
            parts[place] = encoded(part[0]) + part[1:]
        suffix = PurePosixPath(part).suffix
        if place < len(parts) - 1 and suffix.casefold() in taken_suffixes:
            parts[place] = f"{parts[place][: -len(suffix)]}{encoded('.')}{suffix[1:]}"
    return parts


def is_own_name(name: str) -> bool:
    """Tell whether a file lies where those of a recording do; `name` is relative to its folder."""
    return _OWN_NAME.fullmatch(name.partition("/")[0]) is not None


def is_own_file(name: str) -> bool:
    """Tell whether a file is called as one that is written of a recording; `name` is relative to its folder.

    Only such a file may be taken away: whoever keeps notes, or a project of an editor, beside stems has them still.

    Examples
    --------
    >>> is_own_file("level-2/dog__m_0bt9lr.flac"), is_own_file("level-2/my mix.flac"), is_own_file("level-2/dog.txt")
    (True, False, False)
    """
    return _OWN_FILE.fullmatch(name) is not None


def folder_of_own(name: str) -> str | None:
    """Name the folder of the recording of which a file may have been written, by the names alone.

    Parameters
    ----------
    name : str
        Of the file, relative to the output root.

    Returns
    -------
    str or None
        None if no recording has a file so called. Whether a recording has that folder, `is_recording_folder` tells.

    Examples
    --------
    >>> folder_of_own("tapes/a.wav/events/bark.flac"), folder_of_own("tapes/events/bell tower.wav")
    ('tapes/a.wav', None)
    """
    parts = name.split("/")
    for depth in range(1, min(_OWN_DEPTH, len(parts) - 1) + 1):
        if is_own_file("/".join(parts[-depth:])):
            return "/".join(parts[:-depth])
    return None


def is_recording_folder(folder: str) -> bool:
    """Tell whether a folder below the output root is called as `recording_folder` calls those of recordings.

    Examples
    --------
    >>> is_recording_folder("tapes/a.wav"), is_recording_folder("s1.stems"), is_recording_folder("tapes")
    (True, True, False)
    """
    parts = folder.split("/")
    is_hidden = any(part.startswith(".") for part in parts)
    return not is_hidden and PurePosixPath(parts[-1]).suffix.casefold() in _FOLDER_SUFFIXES


def stem_slug(label: str, *, node_id: str | None = None) -> str:
    """Make the file name (without extension) of a stem.

    Parameters
    ----------
    label : str
        Display name of the node or text of the query, in any script.
    node_id : str or None, default=None
        Id of the ontology node, such as `/m/0bt9lr`; None for a query.

    Returns
    -------
    str
        Lower-case words joined by hyphens, followed by `__` and the id where there is one.

    Examples
    --------
    >>> stem_slug("Child speech, kid speaking", node_id="/m/0ytgt")
    'child-speech-kid-speaking__m_0ytgt'
    >>> stem_slug("perro ladrando")
    'perro-ladrando'
    """
    words = re.findall(r"\w+", label.casefold())
    slug = "-".join(words)[:_SLUG_CHARS].strip("-_") or "stem"
    if node_id is None:
        return safe_name(slug)
    return safe_name(f"{slug}__{node_id.strip('/').replace('/', '_')}")


def stem_path(recording: str, *, level: int | None, slug: str, extension: str) -> str:
    """Place one stem.

    Parameters
    ----------
    recording : str
        A `records.recording_id`.
    level : int or None
        Ontology level (roots are 1), 0 for the events, or None for a query.
    slug : str
        From `stem_slug`, or `RESIDUAL_SLUG`.
    extension : str
        Such as `flac`, without the dot.

    Returns
    -------
    str
        Path relative to the output root.

    Examples
    --------
    >>> stem_path("a.wav", level=2, slug="dog__m_0bt9lr", extension="flac")
    'a.wav/level-2/dog__m_0bt9lr.flac'
    """
    folder = QUERY_FOLDER if level is None else f"level-{level}" if level else EVENTS_FOLDER
    return f"{recording_folder(recording)}/{folder}/{slug}.{extension}"


def span_stem_path(
    recording: str, start_seconds: float, *, level: int | None, slug: str, extension: str
) -> str:
    """Place the file of one active span, in the folder that has the name of the stem.

    Parameters
    ----------
    recording, level, slug, extension
        As in `stem_path`.
    start_seconds : float
        Where in the recording the file begins; the names of a stem sort by it up to 11 days.

    Returns
    -------
    str
        Path relative to the output root.

    Examples
    --------
    >>> span_stem_path("a.wav", 11.875, level=2, slug="dog__m_0bt9lr", extension="flac")
    'a.wav/level-2/dog__m_0bt9lr/000011.875.flac'
    """
    return stem_path(recording, level=level, slug=f"{slug}/{start_seconds:010.3f}", extension=extension)


def part_folder(key: str, number: int) -> str:
    """Place one part of a long recording, relative to the output root; `key` names the recording."""
    return f"{PARTS_FOLDER}/{safe_name(key)}/{number:06d}"


def free_slug(slug: str, *, taken: Collection[str]) -> str:
    """Tell apart two stems of one folder whose names come out the same.

    Parameters
    ----------
    slug : str
        The wanted name.
    taken : collection of str
        Case-folded names that are in use in this folder.

    Returns
    -------
    str
        `slug`, or `slug` with the first free number from 2 appended.

    Examples
    --------
    >>> free_slug("dog", taken={"dog", "residual"})
    'dog-2'
    """
    candidate, number = slug, 1
    while candidate.casefold() in taken:
        number += 1
        candidate = f"{slug}-{number}"
    return candidate


def report_path(recording: str) -> str:
    """Place the report of a recording, relative to the output root."""
    return f"{recording_folder(recording)}/{REPORT_NAME}"


def report_sound_path(recording: str) -> str:
    """Place what the report plays of the recording itself, relative to the output root."""
    return f"{recording_folder(recording)}/{REPORT_SOUND_NAME}"


def label_path(recording: str, *, label_format: LabelFormat) -> str:
    """Place the labels of a recording in one format, relative to the output root."""
    return f"{recording_folder(recording)}/{LABEL_NAMES[label_format]}"


def index_path(name: str) -> str:
    """Place one part of the index, relative to the output root; `name` has no extension."""
    return f"{INDEX_FOLDER}/{safe_name(name)}.parquet"
