"""`uss-ray archive` onto a disk that is too small, and again once there is room.

`unshare --mount python -m tests.faults.on_a_small_disk FOLDER COMMAND...`: mounts a small file system of memory at
FOLDER/disk, seen by this process and those it starts alone; runs the command; makes room and runs it again. What is on
the disk after each run is copied to FOLDER/first and FOLDER/second; exit codes and what was said are in FOLDER/*.txt.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

SMALL, LARGE = "2m", "256m"

if __name__ == "__main__":
    _, name, *command = sys.argv
    folder = Path(name)
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", disk], check=True)
    for run in ("first", "second"):
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        (folder / f"{run}.txt").write_text(f"{ended.returncode}\n{ended.stdout}{ended.stderr}")
        shutil.copytree(disk / "out", folder / run)
        subprocess.run(["mount", "-o", f"remount,size={LARGE}", disk], check=True)
