"""From what a user asks for to the engine's targets and the writer's stems, resolved once for all recordings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from uss_ray.api.request import SoundRequest
from uss_ray.audio.codec import RecordingReader
from uss_ray.errors import QueryError
from uss_ray.ontology.known import KnownNodes
from uss_ray.ontology.vocabulary import TextMatch
from uss_ray.results.blocks import StemRequest
from uss_ray.results.index.table import Kind
from uss_ray.results.stem_plan import StemPlan
from uss_ray.separation.engine import SeparationEngine
from uss_ray.separation.settings import SeparationSettings
from uss_ray.separation.targets import (
    Asking,
    SeparationPlan,
    Target,
    target_for_condition,
    target_for_text,
    targets_for_classes,
    targets_for_events,
    targets_for_levels,
)
from uss_ray.sources.names import has_recording_suffix
from uss_ray.sources.reading import open_stored_recording
from uss_ray.store.store import Store


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is separated from every recording of a run.

    Parameters
    ----------
    separation : SeparationPlan
        For the engine.
    stems : StemPlan
        For the writer, in the order of its targets.
    matches : tuple of (str, TextMatch)
        Each free text and what it was resolved to.
    names : tuple of (str, str)
        Each class and free text as it was asked for, and the key of its target.
    """

    separation: SeparationPlan
    stems: StemPlan
    matches: tuple[tuple[str, TextMatch], ...] = ()
    names: tuple[tuple[str, str], ...] = ()


def plan_targets(request: SoundRequest, *, engine: SeparationEngine) -> Plan:
    """Turn the query of a request into targets.

    Parameters
    ----------
    request : SoundRequest
    engine : SeparationEngine
        Brings the vocabulary, and listens to the examples.

    Returns
    -------
    Plan
        That these weights can separate under these settings.

    Raises
    ------
    QueryError
        If a name, text or folder stands for nothing, or for what the weights do not know; or if what is asked for is
        excluded as well.
    ConfigError, WeightsError
        If settings and weights do not fit each other.
    RecordingError
        If an example cannot be read.
    """
    query, settings, vocabulary = request.sought, request.settings, engine.vocabulary
    asking = Asking(settings.only_detected, known=engine.known, allow_unknown=query.allow_unknown)
    asked: list[tuple[Kind, Target]] = []
    names: list[tuple[str, str]] = []
    levels = targets_for_levels(
        vocabulary, levels=query.levels, hierarchy=settings.hierarchy, known=engine.known
    )
    asked += [("node", target) for target in levels]
    if query.events:
        asked += [("event", target) for target in targets_for_events(vocabulary, known=engine.known)]
    if query.classes:
        targets = targets_for_classes(vocabulary, names=query.classes, union=query.union, asking=asking)
        keys = [vocabulary.resolve(name).node_id for name in query.classes]
        is_union = query.union and len(set(keys)) > 1
        asked += [("union" if is_union else "class", target) for target in targets]
        if not is_union:  # a stem of several sounds is none of them
            names += zip(query.classes, keys, strict=True)
    matches: list[tuple[str, TextMatch]] = []
    for text in query.texts:
        target, match = target_for_text(vocabulary, text=text, asking=asking)
        asked.append(("text", target))
        matches.append((text, match))
        names.append((text, target.key))
    exclude = targets_for_classes(vocabulary, names=query.exclude, asking=asking) if query.exclude else ()
    chosen = _without_excluded(_each_once(asked), exclude=exclude, known=engine.known)
    if query.example_folder is not None:
        # Not among what is given once: a folder that is called as a union is refused, and never passed over.
        folder = Store(query.example_folder, request.storage)
        chosen.append(("example", _example_target(folder, engine, settings)))
    separation = engine.fit(SeparationPlan(tuple(target for _, target in chosen), exclude), settings=settings)
    kinds: list[Kind] = [kind for kind, _ in chosen] or ["rest"]
    return Plan(
        separation=separation,
        stems=StemPlan(
            StemRequest(
                key=target.key,
                label=target.label,
                level=target.level,
                kind=kind,
                is_known=target.is_known,
                is_separable=target.is_separable,
            )
            for kind, target in zip(kinds, separation.targets, strict=True)
        ),
        matches=tuple(matches),
        names=tuple(names),
    )


def _without_excluded(
    asked: Sequence[tuple[Kind, Target]], *, exclude: Sequence[Target], known: KnownNodes
) -> list[tuple[Kind, Target]]:
    """Leave out nodes and events that are excluded whole: their rows would call absent what sounds.

    Of what is left of others the weights may know nothing.
    """
    if not exclude:
        return list(asked)
    excluded = {index for target in exclude for index in target.class_indexes}
    names = " + ".join(target.label for target in exclude)
    kept: list[tuple[Kind, Target]] = []
    for kind, target in asked:
        if target.condition is not None:
            kept.append((kind, target))
        elif left := set(target.class_indexes) - excluded:
            kept.append((kind, replace(target, is_known=target.is_known and known.knows(left))))
        elif kind not in ("node", "event") or not target.is_gated:
            raise QueryError(
                target.label,
                expected="a sound of which an exclusion leaves something",
                found=f"both asked for and excluded, by {names}",
            )
    if asked and not kept:
        raise QueryError(
            f"exclude {names}", expected="something to be left of what is asked for", found="nothing"
        )
    return kept


def _each_once(asked: Sequence[tuple[Kind, Target]]) -> list[tuple[Kind, Target]]:
    """Give each target as it was first asked for: a node of a level, or an event, stays that if named, ungated."""
    named = {target.key for _, target in asked if not target.is_gated}
    first = {target.key: (kind, target) for kind, target in reversed(asked)}
    return [
        (kind, replace(target, is_gated=False) if key in named else target)
        for key, (kind, target) in ((key, first[key]) for key in dict.fromkeys(t.key for _, t in asked))
    ]


def _example_target(folder: Store, engine: SeparationEngine, settings: SeparationSettings) -> Target:
    condition = engine.condition_of_examples(_examples(_example_files(folder)), settings=settings)
    return target_for_condition(str(folder).rstrip("/").rpartition("/")[2], condition=condition)


def _example_files(folder: Store) -> list[Store]:
    files = [file for file in folder.list() if has_recording_suffix(str(file))]
    if not files:
        raise QueryError(str(folder), expected="a folder with example recordings", found="none in it")
    return files


def _examples(files: Sequence[Store]) -> Iterator[RecordingReader]:
    for file in files:
        with open_stored_recording(file) as recording:
            yield recording
