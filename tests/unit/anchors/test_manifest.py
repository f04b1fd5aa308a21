from __future__ import annotations

import pytest

from tests.unit.anchors.conftest import fill, manifest_of
from uss_ray.anchors.manifest import read_manifest, write_manifest
from uss_ray.errors import DataError
from uss_ray.store.store import Store


def test_a_manifest_comes_back_and_its_counts_are_checked(root: str, make_anchor) -> None:
    manifest = manifest_of(fill(root, make_anchor))
    write_manifest(manifest, root)
    place = Store(root) / "manifest.json"
    again = read_manifest(root)
    assert again.counts == {3: 22, 7: 1, 9: 3}
    assert again.anchors == 26
    assert again.shards == manifest.shards
    assert again.settings == manifest.settings
    text = place.read().decode()
    place.put(text.replace('"anchors": 26', '"anchors": 27').encode())
    with pytest.raises(DataError, match="expected 26 anchors as its shards hold, found 27"):
        read_manifest(root)
    place.put(b"{}")
    with pytest.raises(DataError, match="a mining manifest"):
        read_manifest(root)


def test_two_shards_of_one_name_are_refused(root: str, make_anchor) -> None:
    one, _ = fill(root, make_anchor)
    with pytest.raises(DataError, match="expected each name once"):
        manifest_of([one, one])
