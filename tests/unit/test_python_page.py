"""What docs/python.md and the example script show runs as it stands there.

What of it starts Ray: `tests/ray/test_python_users.py`; README: `tests/ray/test_readme.py`.
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


def test_the_blocks_of_the_page_run_one_after_the_other(checkout, capsys):
    blocks = blocks_of("docs/python.md", with_ray=False)
    assert len(blocks) == 7
    known: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), known)
    assert "speech" in capsys.readouterr().out.casefold()
    assert list((checkout / "out").rglob("speech*"))


def test_the_example_script_runs(checkout, capsys):
    runpy.run_path(str(ROOT / "examples" / "python_quickstart.py"), run_name="__main__")
    told = capsys.readouterr().out
    assert "Speech" in told
    assert list((checkout / "out" / "quickstart").rglob("*.flac"))
