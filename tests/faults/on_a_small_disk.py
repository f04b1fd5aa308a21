"""A command whose results lie on a disk that is too small for them.

`unshare --mount python -m tests.faults.on_a_small_disk FOLDER COMMAND...`: mounts a small file system of memory at
FOLDER/disk, seen by this process and those it starts alone, and runs the command. What is below `out` on the disk then
is copied to FOLDER/out; the exit code and what was said are in FOLDER/told.txt.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

SIZE = "2m"

if __name__ == "__main__":
    _, name, *command = sys.argv
    folder = Path(name)
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", disk], check=True)
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    (folder / "told.txt").write_text(f"{ended.returncode}\n{ended.stdout}{ended.stderr}")
    shutil.copytree(disk / "out", folder / "out")
