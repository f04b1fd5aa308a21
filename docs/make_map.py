"""Write docs/map.md from the first lines of the modules: `python docs/make_map.py`."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).with_name("map.md")


def page() -> str:
    """Put the map together."""
    lines = [
        "# Map",
        "",
        "A line a module, in its own words: made by `python docs/make_map.py`. How they hang together: "
        "[architecture](architecture.md).",
    ]
    package = ROOT / "uss_ray"
    folders = sorted({path.parent for path in package.rglob("*.py")})
    for folder in folders:
        name = folder.relative_to(ROOT).as_posix()
        lines += ["", f"## {name}"]
        summary = _summary(folder / "__init__.py")
        if folder != package:
            lines += [summary, ""]
        modules = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
        lines += [f"- `{path.name}`: {_summary(path)}" for path in modules]
    return "\n".join(lines) + "\n"


def _summary(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
