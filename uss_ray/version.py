"""Which version of the program this is, as the code itself knows: what is installed may be another.

A job that uploads its working folder runs code that nobody has installed.
"""

from __future__ import annotations

VERSION = "0.1.0"
