"""Plant one import after the other in a copy of the packages, and tell the contracts that import-linter sees broken.

Runs in an interpreter of its own, in the directory of the copy: ``python plant.py plants.json``, where the file holds
triples of a module or package, a module that it shall import, and the contract that must catch it. Writes the broken
ones of all contracts for the copy as it is, and for each plant whether its contract is broken.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path


def broken_contracts(only: str | None = None) -> list[str]:
    from importlinter.application import use_cases

    options = use_cases.read_user_options("pyproject.toml")
    use_cases._register_contract_types(options)
    if only is not None:
        options.contracts_options = [each for each in options.contracts_options if each["name"] == only]
    report = use_cases.create_report(options, cache_dir=None)
    assert not report.invalid_contract_options, report.invalid_contract_options
    return [contract.name for contract, check in report.get_contracts_and_checks() if not check.kept]


def is_caught(importer: str, imported: str, contract: str) -> bool:
    place = Path(*importer.split("."))
    is_room = place.is_dir()
    file = place / "planted.py" if is_room else place.with_suffix(".py")
    before = "" if is_room else file.read_text()
    file.write_text(f"{before}\nimport {imported}\n")
    try:
        return broken_contracts(only=contract) == [contract]
    finally:
        if is_room:
            file.unlink()
        else:
            file.write_text(before)


def main() -> None:
    from importlinter import configuration

    configuration.configure()
    sys.path.insert(0, str(Path.cwd()))
    plants = json.loads(Path(sys.argv[1]).read_text())
    with contextlib.redirect_stdout(io.StringIO()):
        found = {"nothing": broken_contracts(), "plants": [is_caught(*plant) for plant in plants]}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
