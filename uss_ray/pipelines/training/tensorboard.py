"""The lines of a run as an event file of TensorBoard.

It is made of the lines anew at each checkpoint, the same bytes for the same lines: steps that are done again after a
kill do not stand in it twice, and an object store, which cannot append, is served as a disk is.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

EVENTS_NAME = "tensorboard/events.out.tfevents.0.uss-ray"
_TAGS = {
    "loss": "training/loss",
    "learning_rate": "training/learning_rate",
    "gradient_norm": "training/gradient_norm",
    "items_per_second": "pace/items_per_second",
    "data_wait_share": "pace/data_wait_share",
    "sdri_db": "validation/sdri_db",
    "gated_sdri_db": "validation/gated_sdri_db",
    "detected": "validation/detected",
    "mean_average_precision": "validation/mean_average_precision",
}


def event_file(metrics: Sequence[Mapping[str, Any]], validations: Sequence[Mapping[str, Any]]) -> bytes:
    """Write lines of `metrics.jsonl` and `validations.jsonl` as scalars by step; needs the extra `tensorboard`."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    written = io.BytesIO()
    writer = RecordWriter(written)
    writer.write(Event(file_version="brain.Event:2").SerializeToString())
    for line in sorted((*metrics, *validations), key=lambda line: line["step"]):
        values = [
            Summary.Value(tag=tag, simple_value=float(line[name]))
            for name, tag in _TAGS.items()
            if name in line
        ]
        event = Event(step=line["step"], wall_time=line.get("at", 0.0), summary=Summary(value=values))
        writer.write(event.SerializeToString())
    return written.getvalue()
