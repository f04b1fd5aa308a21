from __future__ import annotations

import threading

import pytest

from uss_ray.api.block_queue import BlockQueue


def test_blocks_come_in_order_and_end():
    blocks = BlockQueue()
    sent = [object() for _ in range(50)]
    writer = threading.Thread(target=lambda: [blocks.put(block) for block in [*sent, None]])
    writer.start()
    assert list(blocks) == sent
    writer.join()


def test_what_broke_a_recording_off_is_raised_where_it_is_read():
    blocks = BlockQueue()
    blocks.put(ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        list(blocks)


def test_nobody_waits_for_a_reader_that_is_gone():
    blocks = BlockQueue()
    has_room = threading.Semaphore(0)

    def fill():
        for _ in range(10):
            has_room.release()
            blocks.put(object())

    put = threading.Thread(target=fill)
    put.start()
    for _ in range(3):  # two blocks have room, the third waits
        has_room.acquire()
    blocks.abandon()
    put.join(timeout=300)
    assert not put.is_alive()
    assert blocks.full_seconds > 0
    assert not blocks.put(object()), "and who puts is told"
