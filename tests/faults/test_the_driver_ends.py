"""The process that the user has started ends in the middle of its work: the same job goes on from there."""

from __future__ import annotations

import signal
import time

import pytest

from tests.faults.conftest import LONG, UNITS
from tests.faults.gated_archive import TOLD
from tests.faults.results import assert_complete, separated, staged, stems_of, times_of

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray"), pytest.mark.timeout(600)]


def test_a_driver_that_is_killed_loses_what_was_in_flight_and_no_more(
    start_command, go_on, undisturbed, tmp_path
):
    """Killed with SIGKILL in the third span of a long recording, some short recordings done before."""
    out = tmp_path / "out"
    first = start_command()
    number = 0
    while (in_flight := first.wait_for_unit(number)) != f"{LONG}#2":
        first.gate.open(number)
        number += 1
    done = set(first.gate.begun()) - {in_flight}
    # What went before is on its way to its files while the networks are at this one.
    first.wait_until(lambda: done_in(out) == done)
    first.kill()
    assert done_in(out) == done
    assert staged(out)
    assert stems_of(out).items() <= undisturbed.items()
    times = times_of(out, separated(out))

    result, begun = go_on()
    assert result.exit_code == 0
    assert sorted(begun) == sorted(UNITS - done)
    assert times.items() <= times_of(out, separated(out)).items()
    assert_complete(out, stems=undisturbed)


def test_a_terminated_run_finishes_what_is_in_flight(start_command, go_on, undisturbed, tmp_path):
    """SIGTERM while a recording is separated: it is finished and committed, and nothing else is begun."""
    out = tmp_path / "out"
    first = start_command()
    first.wait_for_unit(0)
    ask_to_stop(first)
    # Whatever begins before the word has got around is in flight too.
    for number in range(len(UNITS)):
        time.sleep(1)
        first.gate.open(number)
        if first.process.poll() is not None:
            break
    assert first.wait() == 128 + signal.SIGTERM
    assert "workers have in hand; a second signal ends it at once" in first.log.read_text()
    assert "the same command goes on" in first.log.read_text()
    assert not staged(out)
    begun = first.gate.begun()
    assert len(begun) < len(UNITS)
    assert done_in(out) == set(begun)

    result, begun_again = go_on()
    assert result.exit_code == 0
    assert sorted(begun + begun_again) == sorted(UNITS)
    assert_complete(out, stems=undisturbed)


def test_a_second_signal_ends_a_run_at_once(start_command, go_on, undisturbed, tmp_path):
    """SIGTERM twice while a recording is separated that would never end."""
    first = start_command()
    first.wait_for_unit(0)
    ask_to_stop(first)
    first.process.send_signal(signal.SIGTERM)
    assert first.wait() == 128 + signal.SIGTERM
    assert not staged(tmp_path / "out")
    assert not separated(tmp_path / "out")

    assert go_on()[0].exit_code == 0
    assert_complete(tmp_path / "out", stems=undisturbed)


def ask_to_stop(command):
    """Send SIGTERM, and wait until the run has taken note of it: a second one at the same moment would be lost."""
    command.process.send_signal(signal.SIGTERM)
    command.wait_until((command.gate.folder / TOLD).exists)


def done_in(output):
    """Recordings, and spans of those that are not joined yet, that are done below an output root."""
    return separated(output) | {
        f"{LONG}#{int(file.parent.name)}" for file in (output / ".parts").glob("*/*/part.json")
    }
