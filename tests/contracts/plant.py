"""Plant forbidden imports in a copy of the packages, and tell which of them import-linter sees.

Runs in an interpreter of its own, in the directory of the copy: ``python plant.py plants.json``, where the file holds
triples of a module or package, a module that it shall import, and the contract that must catch it. Writes the broken
ones of all contracts for the copy as it is, and of each plant whether its line is seen, and whether the graph with this
import and no other breaks its contract. To read all files again for each plant would take twenty times as long.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

PLANTED = "planted"


def read_graph() -> Any:
    """Read the imports of all files, as the command does."""
    from importlinter.application import use_cases

    options = use_cases.read_user_options("pyproject.toml")
    return use_cases._build_graph(
        root_package_names=options.session_options["root_packages"],
        include_external_packages=use_cases._get_include_external_packages(options),
        exclude_type_checking_imports=use_cases._get_exclude_type_checking_imports(options),
        verbose=False,
        cache_dir=None,
    )


def broken_contracts(graph: Any, *, only: str | None = None) -> list[str]:
    """Check a graph as the command does."""
    from importlinter.application import use_cases

    options = use_cases.read_user_options("pyproject.toml")
    use_cases._register_contract_types(options)
    if only is not None:
        options.contracts_options = [each for each in options.contracts_options if each["name"] == only]
    report = use_cases._build_report(
        graph=graph,
        graph_building_duration=0,
        user_options=options,
        limit_to_contracts=(),
        show_timings=False,
        verbose=False,
    )
    assert not report.invalid_contract_options, report.invalid_contract_options
    return [contract.name for contract, check in report.get_contracts_and_checks() if not check.kept]


def planted_in(importer: str) -> tuple[str, Path]:
    """Name the module that a plant's line stands in, a new one of a room, and its file."""
    place = Path(*importer.split("."))
    if place.is_dir():
        return f"{importer}.{PLANTED}", place / f"{PLANTED}.py"
    return importer, place.with_suffix(".py")


def plant_all(plants: list[list[str]]) -> None:
    """Write the lines of all plants."""
    for importer, imported, _ in plants:
        file = planted_in(importer)[1]
        before = file.read_text() if file.exists() else ""
        file.write_text(f"{before}\nimport {imported}\n")


def is_caught(graph: Any, importer: str, imported: str, contract: str) -> bool:
    """Tell whether a contract is broken by one import more."""
    module = planted_in(importer)[0]
    planted = deepcopy(graph)
    planted.add_module(module)
    planted.add_import(importer=module, imported=imported)
    return broken_contracts(planted, only=contract) == [contract]


def main() -> None:
    from importlinter import configuration

    configuration.configure()
    sys.path.insert(0, str(Path.cwd()))
    plants = json.loads(Path(sys.argv[1]).read_text())
    with contextlib.redirect_stdout(io.StringIO()):
        clean = read_graph()
        told = {"nothing": broken_contracts(clean), "caught": [is_caught(clean, *plant) for plant in plants]}
        plant_all(plants)
        full = read_graph()
        told["seen"] = [
            full.direct_import_exists(importer=planted_in(importer)[0], imported=imported)
            for importer, imported, _ in plants
        ]
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
