"""What docs/python.md, the README's part on Python and the example script show runs as it stands there.

What of it starts Ray: `tests/ray/test_python_users.py`.
"""

from __future__ import annotations

import runpy

import pytest

from tests.pages import ROOT, blocks_of

pytestmark = pytest.mark.slow


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("page", "count"), [("docs/python.md", 7), ("README.md", 2)])
def test_the_blocks_of_a_page_run_one_after_the_other(page, count, checkout, capsys):
    blocks = blocks_of(page, with_ray=False)
    assert len(blocks) == count
    known: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), known)
    assert "speech" in capsys.readouterr().out.casefold()
    assert list((checkout / "out").rglob("speech*"))


def test_the_example_script_runs(checkout, capsys):
    runpy.run_path(str(ROOT / "examples" / "python_quickstart.py"), run_name="__main__")
    told = capsys.readouterr().out
    assert "Speech" in told
    assert list((checkout / "out" / "quickstart").rglob("*.flac"))
