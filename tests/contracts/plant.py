"""Plant one import after the other in a copy of the packages, and tell the contracts that import-linter sees broken.

Runs in an interpreter of its own, in the directory of the copy: ``python plant.py plants.json``, where the file holds
pairs of a module or package and a module that it shall import. Writes the names of the broken contracts of each.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path


def broken_contracts() -> list[str]:
    from importlinter.application import use_cases

    options = use_cases.read_user_options("pyproject.toml")
    use_cases._register_contract_types(options)
    report = use_cases.create_report(options, cache_dir=None)
    assert not report.invalid_contract_options, report.invalid_contract_options
    return [contract.name for contract, check in report.get_contracts_and_checks() if not check.kept]


def broken_with(importer: str, imported: str) -> list[str]:
    place = Path(*importer.split("."))
    is_room = place.is_dir()
    file = place / "planted.py" if is_room else place.with_suffix(".py")
    before = "" if is_room else file.read_text()
    file.write_text(f"{before}\nimport {imported}\n")
    try:
        return broken_contracts()
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
        found = {"nothing": broken_contracts(), "plants": [broken_with(*plant) for plant in plants]}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
