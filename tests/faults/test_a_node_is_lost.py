"""A machine of the cluster goes away in the middle of its work: the others take it over."""

from __future__ import annotations

import pytest

from tests.faults.conftest import UNITS
from tests.faults.results import assert_complete

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def test_what_a_lost_node_had_begun_is_done_by_another(start_command, undisturbed, tmp_path):
    """All processes of one of two nodes are killed while it separates and decodes."""
    command = start_command(
        "--actors", "2", is_held=True, module="tests.faults.archive_on_two_nodes"
    )  # the last --actors counts
    assert command.wait() == 0, command.log.read_text()
    assert (command.gate.folder / "lost").exists()
    assert len(set(command.gate.nodes())) == 2
    assert set(command.gate.begun()) == UNITS
    assert len(command.gate.begun()) > len(UNITS)
    assert_complete(tmp_path / "out", stems=undisturbed)
