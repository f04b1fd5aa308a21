from __future__ import annotations

from types import SimpleNamespace

from uss_ray.anchors.footers import FooterCache


def footer(groups: int) -> SimpleNamespace:
    return SimpleNamespace(num_row_groups=groups)


def test_footers_that_were_asked_for_last_stay_up_to_so_many_row_groups() -> None:
    cache: FooterCache[str] = FooterCache(6)
    held = {name: footer(2) for name in "abc"}
    for name, one in held.items():
        cache.add(name, one)
    assert cache.get("a") is held["a"]
    cache.add("d", footer(2))
    assert [cache.get(name) is not None for name in "abcd"] == [True, False, True, True]
    assert (len(cache), cache.row_groups) == (3, 6)


def test_the_last_footer_stays_however_large_it_is() -> None:
    cache: FooterCache[str] = FooterCache(6)
    cache.add("a", footer(2))
    cache.add("b", footer(9))
    assert (len(cache), cache.row_groups) == (1, 9)
    assert cache.get("b") is not None
