"""Write docs/adr/README.md from the titles and status lines of the decisions: `python docs/make_adr.py`."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).with_name("adr")
PAGE = FOLDER / "README.md"
OPPOSITE = {"extends": "extended by", "takes back": "taken back by"}
"""What a decision says of an older one, and what the older one says of it."""
_SAYS = re.compile(
    r"(extends|takes back|takes the place of|extended by|taken back (?:in part )?by|superseded by)\b(.*)",
    re.DOTALL,
)
_SAME = {
    "takes the place of": "takes back",
    "taken back in part by": "taken back by",
    "superseded by": "taken back by",
}


@dataclass(frozen=True)
class Decision:
    """What the first lines of a decision say.

    Attributes
    ----------
    number : int
    title : str
        Without the number.
    file : str
        Its name in the folder.
    status : str
        The whole line, without "Status: ".
    says : dict of str to set of int
        Decisions by what is said of them: a key or a value of `OPPOSITE`.
    """

    number: int
    title: str
    file: str
    status: str
    says: dict[str, set[int]] = field(compare=False)


def decisions(folder: Path = FOLDER) -> list[Decision]:
    """Read the title and the status of each file, by number.

    Parameters
    ----------
    folder : Path, optional

    Returns
    -------
    list of Decision

    Raises
    ------
    ValueError
        If a file does not begin with `# N. Title`, an empty line and `Status: ...`, N being the number of its name.
    """
    found = []
    for path in sorted(folder.glob("[0-9]*.md")):
        text = path.read_text(encoding="utf-8")
        first = re.match(r"# (\d+)\. (.+)\n\nStatus: (.+)\n(?:\n|$)", text)
        if first is None or int(first[1]) != int(path.name[:4]):
            raise ValueError(
                f"{path.name}: expected '# {int(path.name[:4])}. Title', an empty line and one line 'Status: ...', "
                f"found {text[:80]!r}"
            )
        found.append(Decision(int(first[1]), first[2], path.name, first[3], _says(first[3])))
    return found


def _says(status: str) -> dict[str, set[int]]:
    """Read clauses such as "extends 34 (odd files) and 41"; what stands in brackets is a remark."""
    says: dict[str, set[int]] = defaultdict(set)
    for clause in re.split(r"[.;]", re.sub(r"\([^()]*\)", "", status)):
        if said := _SAYS.match(clause.strip().lower()):
            says[_SAME.get(said[1], said[1])] |= {int(number) for number in re.findall(r"\b\d+\b", said[2])}
    return dict(says)


def unanswered(known: list[Decision]) -> list[str]:
    """Name what a decision says of another and the other does not say of it, in both directions.

    Parameters
    ----------
    known : list of Decision

    Returns
    -------
    list of str
        A sentence each; empty if all is well.
    """
    of = {decision.number: decision for decision in known}
    both = OPPOSITE | {back: forth for forth, back in OPPOSITE.items()}
    missing = []
    for decision in known:
        for verb, numbers in decision.says.items():
            for number in sorted(numbers):
                if number not in of:
                    missing.append(f"ADR {decision.number} {verb} {number}, which there is not")
                elif decision.number not in of[number].says.get(both[verb], set()):
                    missing.append(f"ADR {number}: expected '{both[verb]} {decision.number}' in its status")
    return missing


def page() -> str:
    """Put the index together."""
    known = decisions()
    used = {decision.number for decision in known}
    gaps = [str(number) for number in range(1, max(used)) if number not in used]
    lines = [
        "# Decisions",
        "",
        "Why things are as they are. A line a decision, from its own first lines: made by `python docs/make_adr.py`.",
        "What was taken back of one, its status says. How the parts hang together: [architecture](../architecture.md).",
        "",
        f"Never used: {', '.join(gaps)}.",
        "",
        "| | decision | status | extended by | taken back by |",
        "|---|---|---|---|---|",
    ]
    for decision in known:
        state = re.split(r"[.;]", decision.status)[0].partition(" by ")[0]
        cells = [", ".join(map(str, sorted(decision.says.get(back, ())))) for back in OPPOSITE.values()]
        lines.append(
            f"| {decision.number} | [{decision.title}]({decision.file}) | {state} | {cells[0]} | {cells[1]} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
