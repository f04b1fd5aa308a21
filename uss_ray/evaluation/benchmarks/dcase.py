"""DCASE Challenge Task 4 of 2025 and 2026: spatial scenes of ten seconds in which up to three of 18 classes sound."""

from __future__ import annotations

import re
from collections import Counter
from typing import ClassVar, Final

from uss_ray.errors import DataError
from uss_ray.evaluation.benchmarks.benchmark import Benchmark, Card, Draw, Files, Sound
from uss_ray.evaluation.items import Item, ItemSource
from uss_ray.store.store import Store

CLASSES: Final = {
    "AlarmClock": "Alarm clock",
    "BicycleBell": "Bicycle bell",
    "Blender": "Blender",
    "Buzzer": "Buzzer",
    "Clapping": "Clapping",
    "Cough": "Cough",
    "CupboardOpenClose": "Cupboard open or close",
    "Dishes": "Dishes, pots, and pans",
    "Doorbell": "Doorbell",
    "FootSteps": "Walk, footsteps",
    "HairDryer": "Hair dryer",
    "MechanicalFans": "Mechanical fan",
    "MusicalKeyboard": "Keyboard (musical)",
    "Percussion": "Percussion",
    "Pour": "Pour",
    "Speech": "Speech",
    "Typing": "Typing",
    "VacuumCleaner": "Vacuum cleaner",
}
"""The challenges' labels, as the ontology calls them."""

# A target's name behind that of its scene; the number is there where a label comes twice.
_TARGET = re.compile(r"(?:_\d+)?_([A-Za-z]+)")
_ASSUMED = (
    "The targets of the evaluation set are not public: scored is the development test set. Of the four channels the "
    "first is heard, as it is the targets' reference. Which node of the ontology each label is was chosen by its name."
)


class Dcase2025(Benchmark):
    """Each label at most once in a scene."""

    _folder: ClassVar[str] = "dev_set/test"

    card: ClassVar[Card] = Card(
        name="dcase2025",
        title="DCASE 2025 Task 4",
        revision="1",
        main_score="ca_sdri",
        unit="dB",
        licence="of the challenge's data set",
        citation="DCASE 2025 Task 4, Spatial Semantic Segmentation of Sound Scenes",
        layout="dev_set/test/soundscape/<scene>.wav, dev_set/test/oracle_target/<scene>_<Label>.wav",
        sample_rate=32_000,
        splits=("test",),
        protocols=("strict",),
        is_of_scenes=True,
        classes=tuple(CLASSES.values()),
        assumed=_ASSUMED,
    )

    def sounds(self, data: Store, files: Files, split: str) -> list[Sound]:  # noqa: ARG002
        """See `Benchmark`."""
        scenes = self._scenes(data, files)
        return [
            *(Sound(path, ("mixture",)) for path, _ in scenes.values()),
            *(Sound(path, (label,)) for _, targets in scenes.values() for path, label in targets),
        ]

    def draw(self, draw: Draw) -> list[Item]:
        """See `Benchmark`: an item a scene, one without targets too."""
        items = []
        for scene, (path, targets) in self._scenes(draw.data, draw.files).items():
            seen: Counter[str] = Counter()
            sources = [ItemSource(role="mixture", path=path, label="mixture", channel=0)]
            for target, told in targets:
                label = CLASSES[told]
                seen[label] += 1
                sources.append(
                    ItemSource(
                        role="target",
                        path=target,
                        label=label if seen[label] == 1 else f"{label} ({seen[label]})",
                        class_id=draw.vocabulary.resolve(label).node_id,
                        channel=0,
                    )
                )
            items.append(
                Item(
                    item_id=scene,
                    label="",
                    seconds=0.0,
                    sample_rate=0,
                    protocol=draw.protocol,
                    seed=draw.seed,
                    sources=tuple(sources),
                )
            )
        return items

    def _scenes(self, data: Store, files: Files) -> dict[str, tuple[str, list[tuple[str, str]]]]:
        """Give path of the mixture, and path and label of each target, by scene."""
        mixtures, targets = (
            {
                path.rpartition("/")[2].removesuffix(".wav"): path
                for path in files.below(f"{self._folder}/{name}")
            }
            for name in ("soundscape", "oracle_target")
        )
        if not mixtures:
            raise DataError(str(data / f"{self._folder}/soundscape"), expected="scenes in WAV", found="none")
        scenes: dict[str, tuple[str, list[tuple[str, str]]]] = {
            scene: (path, []) for scene, path in mixtures.items()
        }
        for name, path in targets.items():
            starts = [
                name[:place] for place, sign in enumerate(name) if sign == "_" and name[:place] in scenes
            ]
            found = next((_TARGET.fullmatch(name[len(scene) :]) for scene in reversed(starts)), None)
            if found is None or found[1] not in CLASSES:
                raise DataError(
                    str(data / path), expected="a target named <scene>_<Label>, of a known label", found=name
                )
            scenes[name[: -len(found[0])]][1].append((path, found[1]))
        return scenes


class Dcase2026(Dcase2025):
    """A label may come twice, and a scene may be empty."""

    _folder: ClassVar[str] = "dev_set/synthesized/test"

    card: ClassVar[Card] = Card(
        name="dcase2026",
        title="DCASE 2026 Task 4",
        revision="1",
        main_score="capi_sdri",
        unit="dB",
        licence="of the challenge's data set",
        citation="DCASE 2026 Task 4, Spatial Semantic Segmentation of Sound Scenes",
        layout="dev_set/synthesized/test/soundscape/<scene>.wav, dev_set/synthesized/test/oracle_target/"
        "<scene>[_<n>]_<Label>.wav",
        sample_rate=32_000,
        splits=("test",),
        protocols=("strict",),
        is_of_scenes=True,
        classes=tuple(CLASSES.values()),
        assumed=_ASSUMED,
    )
