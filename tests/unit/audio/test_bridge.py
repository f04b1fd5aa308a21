from __future__ import annotations

import io

from uss_ray.audio.bridge import FaultKeepingFile, FaultKeepingSink


class Breaking(io.BytesIO):
    """A file that fails from a moment on, each time in another way."""

    faults = 0
    is_broken = False

    def _check(self) -> None:
        if self.is_broken:
            self.faults += 1
            raise OSError(self.faults, "gone")

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._check()
        return super().seek(offset, whence)

    def tell(self) -> int:
        self._check()
        return super().tell()

    def read(self, count: int | None = -1, /) -> bytes:
        self._check()
        return super().read(count)

    def write(self, data: object, /) -> int:
        self._check()
        return super().write(data)  # type: ignore[arg-type]


def test_what_works_is_passed_on() -> None:
    file = FaultKeepingSink(Breaking(b"abcdef"))
    assert file.seek(2) == 2
    assert (file.read(3), file.tell()) == (b"cde", 5)
    assert file.write(b"xy") == 2
    assert file.seek(0) == 0
    assert file.read(9) == b"abcdexy"
    assert file.fault is None


def test_the_first_fault_is_kept_and_nothing_is_raised() -> None:
    inner = Breaking(b"abcdef")
    file = FaultKeepingFile(inner)
    inner.is_broken = True
    assert (file.read(3), file.seek(0), file.tell()) == (b"", -1, -1)
    assert isinstance(file.fault, OSError)
    assert file.fault.errno == 1
    assert inner.faults == 3


def test_nothing_is_written_after_a_fault() -> None:
    inner = Breaking()
    file = FaultKeepingSink(inner)
    assert file.write(b"ab") == 2
    inner.is_broken = True
    assert file.write(b"cd") == 0
    inner.is_broken = False
    assert file.write(b"ef") == 0
    assert inner.getvalue() == b"ab"


def test_a_fault_keeps_no_frames_alive_nor_do_those_it_came_from() -> None:
    class Chained(io.BytesIO):
        def read(self, count: int | None = -1, /) -> bytes:
            try:
                raise KeyError("first")
            except KeyError as first:
                raise OSError("second") from first

    file = FaultKeepingFile(Chained())
    file.read(1)
    assert file.fault is not None
    assert file.fault.__traceback__ is None
    assert isinstance(file.fault.__cause__, KeyError)
    assert file.fault.__cause__.__traceback__ is None
