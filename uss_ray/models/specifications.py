"""What training and inference must agree on; it travels with the weights, so that neither can be told otherwise."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from uss_ray.config import Count, Settings
from uss_ray.errors import ConfigError
from uss_ray.silence import MiningSilence

ConditionKind = Literal["hard", "soft", "latent"]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Condition(Settings):
    """What a condition is."""

    kind: ConditionKind = Field(
        default="soft",
        description="Made of one class alone, of class probabilities, or of an embedding.",
    )
    size: Annotated[int, Field(strict=True, ge=0)] = Field(description="Length; 0 where there is none.")
    shortcut: bool = Field(
        default=False, description="Behind what was learned stands what the tagger says by itself."
    )


class ClassListId(Settings):
    """Fingerprint of the trained classes and their order."""

    count: Count
    sha256: Sha256 = Field(description="Of the class ids, one a line.")

    @classmethod
    def of(cls, class_ids: Sequence[str]) -> ClassListId:
        """Fingerprint of class ids in the order of their indexes.

        Examples
        --------
        >>> ClassListId.of(["/m/09x0r", "/m/05zppz"]).sha256[:8]
        'b0ba0e82'
        """
        text = "".join(f"{class_id}\n" for class_id in class_ids)
        return cls(count=len(class_ids), sha256=hashlib.sha256(text.encode()).hexdigest())


class ClassCalibration(Settings):
    """What the tagger's probability of one class is worth: a line through its logit, and when the class is there."""

    class_index: Annotated[int, Field(strict=True, ge=0)]
    slope: Annotated[float, Field(gt=0.0)] = Field(
        default=1.0, description="Of the line through the logit: 1 over a temperature."
    )
    offset: float = Field(default=0.0, description="Of the same line: above 0 makes the class likelier.")
    threshold: Annotated[float, Field(ge=0.0, le=1.0)] | None = Field(
        default=None,
        description="Calibrated probability from which on the class is there; off: that of the settings.",
    )


class Specifications(Settings):
    """The terms on which networks were trained and are used."""

    sample_rate: Count = Field(description="Of all networks, in Hz.")
    segment_seconds: Annotated[float, Field(strict=True, gt=0.0)] = Field(
        description="Length of the segments that the networks were trained on."
    )
    condition: Condition
    class_list: ClassListId | None = Field(
        default=None, description="The trained classes, so that another list is refused at use."
    )
    known_classes: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        default=None,
        description="Indexes of the classes that the networks were trained on; off: those with a class mean, or all "
        "where there are none.",
    )
    training_rms_dbfs: tuple[float, float] | None = Field(
        default=None,
        description="Lowest and highest RMS level that sources were brought to in training; off: as recorded.",
    )
    silence: MiningSilence = Field(
        default=MiningSilence(anchor_rejected_below_rms_dbfs=None),
        description="Which anchors were silence, and so nothing to train on.",
    )
    calibration: tuple[ClassCalibration, ...] = Field(
        default=(),
        description="Of classes whose probabilities were compared with the truth; others stay as they are.",
    )

    @model_validator(mode="after")
    def _check(self) -> Specifications:
        levels = self.training_rms_dbfs
        if levels is not None and not levels[0] <= levels[1] <= 0.0:
            raise ConfigError(
                "specifications training_rms_dbfs",
                expected="lowest and highest, at most 0",
                found=str(levels),
            )
        calibrated = [one.class_index for one in self.calibration]
        count = self.class_list.count if self.class_list else None
        if len(set(calibrated)) != len(calibrated) or (count and any(i >= count for i in calibrated)):
            raise ConfigError(
                "specifications calibration",
                expected="each class once" + (f", with an index below {count}" if count else ""),
                found=str(calibrated[:10]),
            )
        return self
