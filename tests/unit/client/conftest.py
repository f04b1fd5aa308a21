"""An answer as a service makes it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping

ROWS = [
    {"node_id": "/m/0bt9lr", "label": "Dog", "status": "written", "stem_uri": "query/dog.flac"},
    {"node_id": "/m/01yrx", "label": "Cat", "status": "absent", "stem_uri": None},
]


def zipped(files: Mapping[str, str]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("index.json", json.dumps({"run": {"weights_name": "w"}, "rows": ROWS}))
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()
