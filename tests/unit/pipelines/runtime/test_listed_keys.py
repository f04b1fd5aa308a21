"""Ids that a listing gives more than once, whichever reader does."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from uss_ray.pipelines.runtime.listed_keys import ListedKeys

ROWS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 2)), max_size=12)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 2), ROWS), max_size=12))
def test_each_key_is_first_once_and_others_that_lie_elsewhere_are_told(tables):
    listed, known = ListedKeys(), {}
    for reader, rows in tables:
        keys = np.array([key for key, _ in rows], np.int64)
        places = np.array([place for _, place in rows], np.int64)
        is_first, is_stranger = listed.add(reader, keys, places)
        for (key, place), first, stranger in zip(rows, is_first.tolist(), is_stranger.tolist(), strict=True):
            assert first == (key not in known)
            assert stranger == (known.setdefault(key, place) != place)


def test_what_a_reader_listed_before_it_died_is_taken_back():
    listed = ListedKeys()
    for reader, keys in ((0, [1, 2]), (1, [3])):
        listed.add(reader, np.array(keys), np.array(keys))
    listed.forget(0)
    assert listed.add(2, np.array([1, 3]), np.array([1, 3]))[0].tolist() == [True, False]
