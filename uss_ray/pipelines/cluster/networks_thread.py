"""The one thread of a worker that has its networks, whoever calls them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch


def networks_thread(threads: int) -> ThreadPoolExecutor:
    """Start a thread that runs what is submitted, one after another.

    One thread and no lock among several: what is kept for a thread is there once (hundreds of MiB of the allocator's,
    the threads of OpenMP), and how many CPU threads the networks use is a setting of the thread that they run in.

    Parameters
    ----------
    threads : int
        CPU threads of the networks.
    """
    return ThreadPoolExecutor(
        1, thread_name_prefix="networks", initializer=torch.set_num_threads, initargs=(threads,)
    )
