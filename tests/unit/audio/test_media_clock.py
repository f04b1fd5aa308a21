from __future__ import annotations

from collections.abc import Iterable

import pytest

from uss_ray.audio.media_clock import ContainerClock, Gap, PacketTimes

RATE = 1000
FRAME = 20  # samples, and milliseconds


def clock_of(starts: Iterable[float | None], *, tick: float = 0.0) -> ContainerClock:
    clock = ContainerClock(RATE, tick=tick)
    for start in starts:
        clock.add(start, FRAME)
    return clock


def times(*stretches: tuple[float, int]) -> list[float]:
    """Give when frames are played that follow one another, by the start of each stretch and how many they are."""
    return [start + FRAME / RATE * number for start, count in stretches for number in range(count)]


def test_what_is_missing_is_told_with_its_place_among_the_sound() -> None:
    gaps, notes = clock_of(times((0.0, 10), (1.2, 10), (1.5, 1))).gaps()
    assert gaps == (Gap(200, 1000), Gap(400, 100))
    assert notes == (
        "1.100 s of sound are missing within the file and are silence here: 1.000 s at 0.2 s, 0.100 s at 1.4 s",
    )


def test_many_places_are_counted() -> None:
    _, (note,) = clock_of(times(*((2.0 * number, 1) for number in range(6)))).gaps()
    assert note.endswith("1.980 s at 4.0 s and 2 more places")


@pytest.mark.parametrize("first", [0.0, 0.5, 3600.0])
def test_a_clock_may_begin_anywhere(first: float) -> None:
    assert clock_of(times((first, 20))).gaps() == ((), ())


def test_frames_without_a_time_follow_the_one_before() -> None:
    assert clock_of([0.0, None, None, 0.06, None, 0.1]).gaps() == ((), ())
    assert clock_of([None, 0.0, None, 0.54]).gaps()[0] == (Gap(60, 500),)


def test_rounding_is_no_gap() -> None:
    frames = [round(number * 23.22) / RATE for number in range(200)]
    clock = ContainerClock(44100, tick=0.001)
    for start in frames:
        clock.add(start, 1024)
    assert clock.gaps() == ((), ())


def test_a_clock_that_goes_back_begins_anew() -> None:
    assert clock_of(times((0.0, 10), (0.0, 10), (5.0, 0))).gaps() == ((), ())
    gaps, _ = clock_of(times((0.0, 10), (1.2, 10), (0.0, 10))).gaps()
    assert gaps == (Gap(200, 1000),)


def test_what_the_clock_takes_back_was_no_gap() -> None:
    assert clock_of(times((0.0, 10), (100.2, 10), (0.4, 10))).gaps() == ((), ())


def test_short_gaps_tell_nothing_on_a_clock_that_wavers() -> None:
    steady = times((0.0, 10), (0.25, 10), (1.0, 10))
    assert clock_of(steady).gaps()[0] == (Gap(200, 50), Gap(400, 550))
    assert clock_of([*steady, 1.19, 1.21]).gaps()[0] == (Gap(400, 550),)


def test_short_gaps_tell_nothing_on_a_clock_that_drifts_ahead() -> None:
    drifting = times(*((0.215 * number, 10) for number in range(5)), (1.5, 10))
    assert clock_of(drifting).gaps()[0] == (Gap(1000, 440),)
    assert clock_of(drifting[:30]).gaps()[0] == (Gap(200, 15), Gap(400, 15))


def test_many_single_frames_that_are_lost_are_gaps() -> None:
    starts = [start for number, start in enumerate(times((0.0, 50))) if number % 10 != 9]
    assert [gap.frames for gap in clock_of(starts).gaps()[0]] == [20] * 4
    rounded = clock_of([round(start, 3) for start in starts], tick=0.001)
    assert [gap.frames for gap in rounded.gaps()[0]] == [20] * 4


def test_a_clock_that_is_too_far_ahead_is_followed_at_once_with_a_note() -> None:
    clock = clock_of(times((0.0, 10), (1.2, 10), (100.0, 10)))
    gaps, notes = clock.gaps(longest=10.0)
    assert gaps == (Gap(200, 1000),)
    assert notes[1] == "the file's clock jumps, and what lies behind follows at once: 98.600 s at 1.4 s"
    assert len(clock.gaps()[0]) == 2
    assert clock_of(times((0.0, 10), (10_000.0, 10))).gaps()[0] == ()


def test_gaps_are_together_no_longer_than_one_may_be_or_than_the_sound() -> None:
    jumpy = clock_of(times(*((3000.0 * number, 10) for number in range(25))))
    gaps, notes = jumpy.gaps()
    assert gaps == (Gap(200, 2_999_800),)
    assert notes[1].endswith("2999.800 s at 3000.6 s and 20 more places")
    mixed = clock_of(times((0.0, 10), (3.2, 10), (4.4, 10), (7.6, 10)))
    gaps, notes = mixed.gaps(longest=4.5)
    assert gaps == (Gap(200, 3000), Gap(400, 1000))
    assert notes[1] == "the file's clock jumps, and what lies behind follows at once: 3.000 s at 4.6 s"
    assert len(mixed.gaps(longest=7.0)[0]) == 3
    long = clock_of(times((0.0, 500), (11.0, 500), (22.0, 500), (33.0, 500)))
    assert [gap.frames for gap in long.gaps(longest=1.5)[0]] == [1000] * 3


def packets(starts: Iterable[float | None], length: float | None) -> PacketTimes:
    found = PacketTimes()
    for start in starts:
        found.add(start, length)
    return found


@pytest.mark.parametrize("length", [0.02, None, 0.0])
def test_packets_tell_whether_there_may_be_gaps(length: float | None) -> None:
    assert not packets(times((0.0, 20)), length).may_have_gaps()
    assert not packets(times((0.0, 10), (0.0, 10)), length).may_have_gaps()
    assert packets(times((0.0, 10), (0.22, 10)), length).may_have_gaps()
    assert packets([*times((0.0, 10)), None, 5.0], length).may_have_gaps()
    assert not packets([], length).may_have_gaps()


@pytest.mark.parametrize("length", [0.02, None])
def test_an_end_before_the_stated_one_is_told(length: float | None) -> None:
    heard = packets(times((0.0, 100)), length)
    assert heard.note_of_end(None) is heard.note_of_end(2.0) is heard.note_of_end(2.1) is None
    assert heard.note_of_end(1.0) is None
    note = heard.note_of_end(2.5)
    assert note == "the file states a length of 2.5 s, its sound ends at 2.0 s: the rest is missing"
    assert packets([], length).note_of_end(2.0) is None
