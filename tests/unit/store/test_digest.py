"""The checksum of a file comes with the reads of somebody else."""

from __future__ import annotations

import hashlib
import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uss_ray.store.digest import DigestingFile

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MOVES = st.lists(
    st.tuples(st.sampled_from((os.SEEK_SET, os.SEEK_END)), st.integers(0, len(CONTENT)), st.integers(0, 3000))
)


class CountedFile(io.BytesIO):
    read_bytes = 0

    def read(self, count=-1, /):
        data = super().read(count)
        self.read_bytes += len(data)
        return data


@given(MOVES)
def test_whatever_is_read_in_whatever_order_the_checksum_is_that_of_the_file(moves):
    file = DigestingFile(io.BytesIO(CONTENT))
    plain = io.BytesIO(CONTENT)
    for whence, offset, count in moves:
        offset = offset if whence == os.SEEK_SET else -offset
        assert file.seek(offset, whence) == plain.seek(offset, whence)
        assert file.read(count) == plain.read(count)
        assert file.tell() == plain.tell()
    assert file.sha256() == SHA256


def test_what_is_read_from_start_to_end_is_read_once():
    counted = CountedFile(CONTENT)
    file = DigestingFile(counted)
    while file.read(1000):
        pass
    assert file.sha256() == SHA256
    assert counted.read_bytes == len(CONTENT)


def test_a_look_at_the_end_costs_no_second_reading():
    counted = CountedFile(CONTENT)
    file = DigestingFile(counted)
    file.seek(-128, os.SEEK_END)
    file.read(128)
    file.seek(0)
    file.read(len(CONTENT) - 128)
    assert file.sha256() == SHA256
    assert counted.read_bytes == len(CONTENT) + 128


@pytest.mark.parametrize(("read", "is_known"), [(6, True), (4, False)])
def test_it_never_costs_more_than_the_reading_did(monkeypatch, read, is_known):
    monkeypatch.setattr("uss_ray.store.digest._LITTLE_BYTES", 3)
    counted = CountedFile(b"0123456789")
    file = DigestingFile(counted)
    file.read(read)
    assert (file.sha256() is not None) == is_known
    assert counted.read_bytes == (10 if is_known else read)


def test_a_fault_of_the_store_leaves_it_unknown():
    class Broken(io.BytesIO):
        def read(self, count=-1, /):
            raise OSError("gone")

    assert DigestingFile(Broken(b"1")).sha256() is None
