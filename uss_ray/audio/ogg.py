"""The pages of an Ogg file: the serial number in each of them, drawn by chance, is made to follow from the content.

Encoders draw the number of a stream at random, so the same samples would give other bytes at each run, and the hash
of a stem could not tell whether a repetition gave the same. Nothing is decoded here.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_MAGIC = b"OggS"
_HEADER_BYTES = 27
_SERIAL = slice(14, 18)
CHECKSUM = slice(22, 26)
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_ALL_ONES = 0xFFFFFFFF


@dataclass(frozen=True)
class OggPage:
    """One page, as it lies in its file.

    Attributes
    ----------
    offset : int
        Where it starts, in bytes.
    header : bytes
        Its first 27 bytes and the table of its segments' sizes.
    body : bytes
        What it carries.
    """

    offset: int
    header: bytes
    body: bytes

    def with_serial(self, serial: int) -> bytes:
        """Return the header with another serial number and the checksum that belongs to it."""
        header = bytearray(self.header)
        header[_SERIAL] = serial.to_bytes(4, "little")
        header[CHECKSUM] = bytes(4)
        header[CHECKSUM] = page_checksum(bytes(header) + self.body).to_bytes(4, "little")
        return bytes(header)


def settle_serial_number(path: Path) -> int:
    """Replace the random serial number of a file's one stream by the CRC-32 of what its pages carry.

    Parameters
    ----------
    path : Path
        A finished Ogg file; changed in place, its length stays.

    Returns
    -------
    int
        The new number, the same for the same content; streams that differ may be chained, as Ogg allows.

    Raises
    ------
    OSError
        If the file cannot be read or written, or is not made of whole pages.
    """
    serial = 0
    with open(path, "rb") as file:
        for page in read_pages(file):
            serial = zlib.crc32(page.body, serial)
    with open(path, "rb") as file, open(path, "rb+", buffering=0) as patched:
        for page in read_pages(file):
            os.pwrite(patched.fileno(), page.with_serial(serial), page.offset)
    return serial


def read_pages(file: BinaryIO) -> Iterator[OggPage]:
    """Read the pages of an Ogg file in order, from the start, one at a time.

    Parameters
    ----------
    file : binary file
        Open for reading.

    Yields
    ------
    OggPage
        Each page.

    Raises
    ------
    OSError
        If something else than a whole page comes.
    """
    offset = 0
    file.seek(0)
    while header := file.read(_HEADER_BYTES):
        header += file.read(header[-1])
        body_bytes = sum(header[_HEADER_BYTES:])
        body = file.read(body_bytes)
        whole = len(header) >= _HEADER_BYTES and len(header) == _HEADER_BYTES + header[_HEADER_BYTES - 1]
        if not whole or header[:4] != _MAGIC or len(body) != body_bytes:
            raise OSError(f"expected a whole Ogg page at byte {offset}, found something else")
        yield OggPage(offset, header, body)
        offset += len(header) + body_bytes


def page_checksum(page: bytes) -> int:
    """Compute the checksum of a page whose checksum field holds zeros.

    Parameters
    ----------
    page : bytes
        All of the page.

    Returns
    -------
    int
        32 bits.

    Notes
    -----
    RFC 3533, section 6: the polynomial of CRC-32, most significant bit first, from 0, without a final inversion.
    zlib has it with the least significant bit first; reversing the bits on the way in and out makes one the other.

    Examples
    --------
    >>> hex(page_checksum(b"123456789"))
    '0x89a1897f'
    """
    checksum = zlib.crc32(page.translate(_REVERSED), _ALL_ONES) ^ _ALL_ONES
    return int(f"{checksum:032b}"[::-1], 2)
