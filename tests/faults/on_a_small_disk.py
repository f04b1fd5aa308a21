"""A command whose results lie on a disk that is too small for them.

`unshare --mount python -m tests.faults.on_a_small_disk FOLDER SIZE COMMAND...`: mounts a small file system of memory at
FOLDER/disk, seen by this process and those it starts alone, brings FOLDER/out there if it is, and runs the command.
There is as much room as that takes, and SIZE more (such as 2m). What is below `out` on the disk then is in FOLDER/out;
the exit code and what was said are in FOLDER/told.txt.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

_PAGE_BYTES = 4096


def _taken(folder: Path) -> int:
    """Tell how many bytes of a tmpfs a folder takes: whole pages, one for each folder too."""
    return sum(-(-path.stat().st_size // _PAGE_BYTES) + 1 for path in folder.rglob("*")) * _PAGE_BYTES


if __name__ == "__main__":
    _, name, size, *command = sys.argv
    folder = Path(name)
    disk, out = folder / "disk", folder / "out"
    disk.mkdir()
    room = int(size[:-1]) * {"k": 1 << 10, "m": 1 << 20}[size[-1]] + (_taken(out) if out.exists() else 0)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", disk], check=True)
    if out.exists():
        shutil.copytree(out, disk / "out")  # with the times of the files
        shutil.rmtree(out)
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    (folder / "told.txt").write_text(f"{ended.returncode}\n{ended.stdout}{ended.stderr}")
    shutil.copytree(disk / "out", out)
