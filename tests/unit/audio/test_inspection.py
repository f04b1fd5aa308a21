from __future__ import annotations

from uss_ray.audio.inspection import Inspection, Stream


def test_a_file_as_it_is_becomes_a_stretch_behind_what_lies_before() -> None:
    found = Inspection(notes=("odd",)).moved(10, file_bytes=90)
    assert found == Inspection(streams=(Stream((range(10, 90),)),), notes=("odd",))


def test_stretches_move_and_bytes_of_their_own_do_not() -> None:
    streams = (Stream((b"head", range(4, 20)), frames=7), Stream((range(20, 30),)))
    found = Inspection(streams=streams, fault=("a", "b")).moved(100, file_bytes=130)
    assert found.streams == (Stream((b"head", range(104, 120)), frames=7), Stream((range(120, 130),)))
    assert found.fault == ("a", "b")
