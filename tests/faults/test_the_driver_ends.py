"""The process that the user has started ends in the middle of its work: the same job goes on from there."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.faults.commands import ArchiveCommand
from tests.faults.conftest import LONG, UNITS
from tests.faults.gated_archive import TOLD
from tests.faults.results import assert_complete, separated, staged, stems_of, times_of
from uss_ray.pipelines.runtime.run_state import _ASK_SECONDS

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray"), pytest.mark.timeout(600)]


def test_a_run_that_was_stopped_cut_short_and_killed_goes_on_each_time(
    start_command, go_on, undisturbed, tmp_path
):
    """One output, by four commands: none does again what another has done, and nothing is lost."""
    out = tmp_path / "out"
    done = _terminated_while_it_separates(start_command(), out)
    _ended_at_once(start_command(), out, done=done)
    done, times = _killed_in_a_span(start_command(), out, done=done)
    assert stems_of(out).items() <= undisturbed.items()

    result, begun = go_on()
    assert result.exit_code == 0
    assert sorted(begun) == sorted(UNITS - done)
    assert times.items() <= times_of(out, separated(out)).items()
    assert_complete(out, stems=undisturbed)


def _terminated_while_it_separates(command: ArchiveCommand, out: Path) -> set[str]:
    """SIGTERM while a recording is separated: it is finished and committed, and nothing else is begun."""
    command.wait_for_unit(0)
    ask_to_stop(command)
    time.sleep(2 * _ASK_SECONDS)  # by then each worker asks again before it begins anything
    command.gate.open()
    assert command.wait() == 128 + signal.SIGTERM
    assert "workers have in hand; a second signal ends it at once" in command.log.read_text()
    assert "the same command goes on" in command.log.read_text()
    assert not staged(out)
    begun = command.gate.begun()
    assert len(begun) < len(UNITS)
    assert done_in(out) == set(begun)
    assert len(set(begun)) == len(begun)
    return set(begun)


def _ended_at_once(command: ArchiveCommand, out: Path, *, done: set[str]) -> None:
    """SIGTERM twice while a recording is separated that would never end."""
    assert command.wait_for_unit(0) not in done
    ask_to_stop(command)
    command.process.send_signal(signal.SIGTERM)
    assert command.wait() == 128 + signal.SIGTERM
    assert not staged(out)
    assert done_in(out) == done


def _killed_in_a_span(
    command: ArchiveCommand, out: Path, *, done: set[str]
) -> tuple[set[str], dict[str, int]]:
    """SIGKILL in the last span of a long recording, others done before; tell what stays, and since when."""
    last = max(unit for unit in UNITS - done if unit.startswith(LONG))
    number = 0
    while (in_flight := command.wait_for_unit(number)) != last:
        command.gate.open(number)
        number += 1
    begun = command.gate.begun()
    assert done.isdisjoint(begun)
    done = done.union(begun) - {in_flight}
    # What went before is on its way to its files while the networks are at this one.
    command.wait_until(lambda: done_in(out) == done)
    command.kill()
    assert done_in(out) == done
    assert staged(out)
    return done, times_of(out, separated(out))


def ask_to_stop(command: ArchiveCommand) -> None:
    """Send SIGTERM, and wait until the run knows: a second one at the same moment would be lost."""
    command.process.send_signal(signal.SIGTERM)
    command.wait_until((command.gate.folder / TOLD).exists)


def done_in(output: Path) -> set[str]:
    """Recordings, and spans of those that are not joined yet, that are done below an output root."""
    return separated(output) | {
        f"{LONG}#{int(file.parent.name)}" for file in (output / ".parts").glob("*/*/part.json")
    }
