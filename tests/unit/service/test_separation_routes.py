"""What an answer looks like; the calls themselves are tried in `test_app`."""

from __future__ import annotations

import io
import json
import zipfile

from uss_ray.service.backend import Answer
from uss_ray.service.separation_routes import zipped


def test_equal_answers_are_equal_files_with_the_index_first() -> None:
    answer = Answer(rows=[{"label": "Dog"}], files={"events/dog.flac": b"x" * 1000}, run={"run_id": "r"})
    content = zipped(answer)
    assert zipped(answer) == content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["index.json", "events/dog.flac"]
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        assert json.loads(archive.read("index.json")) == {"run": {"run_id": "r"}, "rows": [{"label": "Dog"}]}
