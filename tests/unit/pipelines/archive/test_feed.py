from __future__ import annotations

import threading

import pytest

from uss_ray.pipelines.archive.feed import BlockFeed


def test_blocks_come_in_order_and_end():
    feed = BlockFeed()
    blocks = [object() for _ in range(50)]
    writer = threading.Thread(target=lambda: [feed.put(block) for block in [*blocks, None]])
    writer.start()
    assert list(feed) == blocks
    writer.join()


def test_what_broke_a_recording_off_is_raised_where_it_is_read():
    feed = BlockFeed()
    feed.put(ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        list(feed)


def test_nobody_waits_for_a_reader_that_is_gone():
    feed = BlockFeed()
    put = threading.Thread(target=lambda: [feed.put(object()) for _ in range(10)])
    put.start()
    feed.abandon()
    put.join(timeout=10)
    assert not put.is_alive()
    assert feed.full_seconds > 0
