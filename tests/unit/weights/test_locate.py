"""Weights by name, folder, file and URI; what is fetched or imported is kept."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest

from uss_ray.errors import WeightsError
from uss_ray.store.fetch import cache_folder
from uss_ray.store.options import StoreOptions
from uss_ray.store.store import Store
from uss_ray.weights import locate
from uss_ray.weights.folder import config_sha256, save_calibrated
from uss_ray.weights.known import NAMED, PUBLISHED, NamedFolder, starter_folder
from uss_ray.weights.locate import (
    describe_weights,
    fetch_named,
    known_classes_here,
    load_weights,
    locate_weights,
)

CONTENT = b"tensors"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def shelf() -> Iterator[Any]:
    store = fsspec.filesystem("memory")
    yield store
    if store.exists("/shelf"):
        store.rm("/shelf", recursive=True)


def test_what_weights_know_is_told_if_they_are_on_this_machine() -> None:
    known = known_classes_here(NAMED["starter-v1"].sha256)
    assert known is not None
    assert len(known) == 128
    assert known_classes_here("ab" * 32) is None


def put(shelf: Any, config: bytes) -> None:
    shelf.pipe("/shelf/mine/config.json", config)
    shelf.pipe("/shelf/mine/tagger.safetensors", CONTENT)


def test_a_local_folder_is_taken_as_it_is(tiny_weights: Path, tmp_path: Path) -> None:
    assert locate_weights(tiny_weights) == tiny_weights
    assert locate_weights(str(tiny_weights)) == tiny_weights
    spaced = tmp_path / "weights å"
    spaced.mkdir()
    assert locate_weights(spaced.as_uri()) == spaced


@pytest.mark.parametrize("name", ["x" * 300, "~nobody-of-that-name/w", "~nobody-of-that-name"])
def test_what_cannot_be_a_place_is_no_place_of_weights(name: str) -> None:
    with pytest.raises(WeightsError, match=f"{name[:10]}.*found"):
        locate_weights(name)


def refuse(monkeypatch: pytest.MonkeyPatch, method: str, *, below: Path) -> None:
    """Let the system refuse what is done with files below a folder, as it does whoever is not root."""
    asked = getattr(Path, method)

    def refused(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.is_relative_to(below):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return asked(path, *arguments, **options)

    monkeypatch.setattr(Path, method, refused)


@pytest.mark.parametrize("method", ["is_dir", "is_file", "read_bytes"])
def test_a_folder_that_may_not_be_read_is_an_error_of_weights(
    tiny_weights: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    refuse(monkeypatch, method, below=tiny_weights)
    with pytest.raises(WeightsError, match="expected weights that can be read, found no permission"):
        load_weights(tiny_weights)


def test_a_network_that_may_not_be_read_is_an_error_of_weights(
    tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load_weights(tiny_weights)

    def refused(path: Any) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("uss_ray.weights.folder.file_sha256", refused)
    for read in (
        lambda: load_weights(tiny_weights),
        lambda: save_calibrated(tmp_path / "new", loaded, calibration=()),
    ):
        with pytest.raises(WeightsError, match=r"\.safetensors: .* found no permission"):
            read()
    (tmp_path / "tagger.pth").write_bytes(CONTENT)
    monkeypatch.setattr(locate, "file_sha256", refused)
    with pytest.raises(WeightsError, match=r"tagger\.pth: .* found no permission"):
        locate_weights(tmp_path / "tagger.pth")


def test_named_weights_that_may_not_be_read_are_an_error_of_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "base" / "starter-v1" / "config.json"
    config.parent.mkdir(parents=True)
    config.write_bytes(b"{}")
    refuse(monkeypatch, "read_bytes", below=tmp_path / "base")
    with pytest.raises(WeightsError, match=r"config\.json: .* found no permission"):
        fetch_named("starter-v1", base=tmp_path / "base")


def test_the_starter_lies_in_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert locate_weights("starter") == starter_folder()
    monkeypatch.setattr(locate, "starter_folder", lambda: tmp_path / "absent")
    with pytest.raises(WeightsError, match="starter weights in the package"):
        locate_weights("starter")


def test_a_uri_is_fetched_to_the_cache_once(
    tiny_weights: Path, shelf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.put(str(tiny_weights), "/shelf/tiny", recursive=True)
    folder = locate_weights("memory://shelf/tiny")
    assert folder.is_relative_to(cache_folder())
    assert describe_weights("memory://shelf/tiny")["sha256"] == describe_weights(tiny_weights)["sha256"]
    for file in shelf.ls("/shelf/tiny", detail=False):
        if not file.endswith("config.json"):
            shelf.rm(file)
    assert locate_weights("memory://shelf/tiny/") == folder


def test_a_folder_with_an_altered_file_gets_no_config(shelf: Any) -> None:
    put(shelf, json.dumps({"files": {"tagger.safetensors": "0" * 64}}).encode())
    with pytest.raises(WeightsError, match=f"tagger.safetensors: expected sha256 0+, found sha256 {SHA256}"):
        locate_weights("memory://shelf/mine")
    assert not list(cache_folder().rglob("config.json"))


@pytest.mark.parametrize("name", ["../escape", "a/b", "/etc/passwd", "config.json"])
def test_a_folder_cannot_write_outside_itself(shelf: Any, name: str) -> None:
    put(shelf, json.dumps({"files": {name: SHA256}}).encode())
    with pytest.raises(WeightsError, match=r"files: expected some of .*tagger\.safetensors"):
        locate_weights("memory://shelf/mine")


@pytest.mark.parametrize(
    "config",
    [
        b"not json",
        b"{}",
        b"[]",
        b'{"files": {}}',
        b'{"files": {"tagger.safetensors": 1}}',
        b'{"files": {"tagger.safetensors": "abc"}}',
    ],
)
def test_a_malformed_list_of_files_is_refused(shelf: Any, config: bytes) -> None:
    put(shelf, config)
    with pytest.raises(WeightsError, match=r"config\.json|tagger\.safetensors"):
        locate_weights("memory://shelf/mine")


@pytest.fixture
def named(tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> NamedFolder:
    """Let a name stand for the tiny weights, and no checkout be beside the package."""
    sha256 = config_sha256((tiny_weights / "config.json").read_bytes())
    one = NamedFolder(name="tiny", sha256=sha256, size=1, content="")
    monkeypatch.setitem(NAMED, "tiny", one)
    monkeypatch.setattr("uss_ray.weights.known.weights_base", lambda: None)
    monkeypatch.setattr(locate, "weights_base", lambda: None)
    return one


def test_a_named_folder_is_fetched_from_a_base_once(
    named: NamedFolder, tiny_weights: Path, shelf: Any
) -> None:
    with pytest.raises(
        WeightsError,
        match=r"tiny: expected where it lies, by .* --base or USS_RAY_WEIGHTS_BASE \(in a checkout .*=weights\)",
    ):
        locate_weights("tiny")
    shelf.put(str(tiny_weights), "/shelf/tiny", recursive=True)
    shelf.pipe("/shelf/tiny/MODEL_CARD.md", b"# tiny")
    folder = fetch_named("tiny", base="memory://shelf")
    assert folder.is_relative_to(cache_folder())
    assert (folder / "MODEL_CARD.md").read_text() == "# tiny"
    shelf.rm("/shelf", recursive=True)
    assert locate_weights("tiny") == fetch_named("tiny", base="memory://shelf") == folder
    assert describe_weights("tiny")["sha256"] == named.sha256


def test_other_weights_under_a_name_are_refused(named: NamedFolder, shelf: Any, tmp_path: Path) -> None:
    put(shelf, json.dumps({"files": {"tagger.safetensors": SHA256}}).encode())
    shelf.mv("/shelf/mine", "/shelf/tiny", recursive=True)
    with pytest.raises(WeightsError, match=f"tiny/config.json: expected sha256 {named.sha256}"):
        fetch_named("tiny", base="memory://shelf")
    assert not list(cache_folder().rglob("*.safetensors"))
    with pytest.raises(WeightsError, match=r"tiny/config\.json"):
        fetch_named("tiny", base=tmp_path)


def test_a_named_folder_that_lies_on_this_machine_stays_there(
    named: NamedFolder, tiny_weights: Path, tmp_path: Path
) -> None:
    assert tiny_weights.name == named.name
    assert fetch_named("tiny", base=tiny_weights.parent) == tiny_weights
    assert not cache_folder().exists()


@pytest.mark.parametrize("name", list(NAMED))
def test_weights_of_ours_can_be_had_by_their_name(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = Path(__file__).parents[3] / "weights"
    monkeypatch.setenv("USS_RAY_WEIGHTS_BASE", str(kept))
    assert locate_weights(name) == kept / name
    facts = NAMED[name]
    assert describe_weights(name)["sha256"] == facts.sha256
    assert sum(file.stat().st_size for file in (kept / name).iterdir()) == facts.size
    monkeypatch.setenv("USS_RAY_WEIGHTS_BASE", str(tmp_path))
    with pytest.raises(WeightsError, match=rf"{name}/config\.json"):
        locate_weights(name)


def test_a_published_file_in_a_folder_is_held_to_its_size_and_checksum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = PUBLISHED["panns-cnn14"]
    with pytest.raises(WeightsError, match="the file of panns-cnn14, found nothing there"):
        fetch_named("panns-cnn14", base=tmp_path)
    (tmp_path / known.file).write_bytes(CONTENT)
    with pytest.raises(WeightsError, match=f"expected {known.size} bytes, found 7 bytes"):
        fetch_named("panns-cnn14", base=tmp_path)
    monkeypatch.setitem(PUBLISHED, "panns-cnn14", replace(known, size=len(CONTENT)))
    with pytest.raises(WeightsError, match=f"expected sha256 {known.sha256}"):
        fetch_named("panns-cnn14", base=tmp_path)


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None, int | None]]:
    """Let downloads and imports leave traces instead of bytes."""
    asked: list[tuple[str, str | None, int | None]] = []

    def fetch(
        place: Store, *, sha256: str | None = None, size: int | None = None, progress: object = None
    ) -> Path:
        asked.append((str(place), sha256, size))
        (tmp_path / "download.pth").write_bytes(CONTENT)
        return tmp_path / "download.pth"

    def import_published(file: Path, folder: Path, *, kind: str | None = None) -> Path:
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"kind": kind}))
        return folder

    monkeypatch.setattr(locate, "fetch", fetch)
    monkeypatch.setattr(locate, "import_published", import_published)
    return asked


@pytest.mark.parametrize("base", ["", None])
def test_a_name_is_fetched_and_imported_once(
    downloads: list[Any], base: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if base is not None:
        monkeypatch.setenv("USS_RAY_WEIGHTS_BASE", base)  # a variable that says nothing
    first = locate_weights("panns-cnn14")
    assert first == cache_folder() / "weights" / "panns-cnn14"
    assert locate_weights("panns-cnn14") == fetch_named("panns-cnn14") == first
    known = PUBLISHED["panns-cnn14"]
    assert downloads == [(known.uri, known.sha256, known.size)]
    assert json.loads((first / "config.json").read_text())["kind"] == "panns-cnn14"
    with pytest.raises(
        WeightsError,
        match="expected one of starter, starter-v1, starter-large, starter-large-v2, panns-cnn14",
    ):
        fetch_named("other")


def test_a_published_file_is_imported_wherever_it_lies(downloads: list[Any], tmp_path: Path) -> None:
    folder = locate_weights("https://host/a/Cnn14_mAP%3D0.431.pth?download=1")
    assert folder == cache_folder() / "weights" / f"download-{SHA256[:12]}"
    assert locate_weights(tmp_path / "download.pth") == folder
    assert len(downloads) == 1


def test_a_first_answer_that_is_no_weights_file_is_not_trusted(shelf: Any) -> None:
    place = "memory://shelf/mine.pth"
    for answer, found in ((b" <html>log in</html>", "an HTML page"), (b"cposix\nsystem\n.", "posix.system")):
        shelf.pipe("/shelf/mine.pth", answer)
        with pytest.raises(WeightsError, match=rf"^{place}: expected .*{found}$") as caught:
            locate_weights(place)
        assert "weights_only" not in str(caught.value)
        assert str(cache_folder()) not in str(caught.value)
        assert [file.name for file in (cache_folder() / "files").rglob("*") if file.is_file()] in (
            [],
            ["mine.pth.lock"],
        )


def test_what_is_wrong_in_a_file_of_weights_keeps_its_name(
    shelf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def imported(file: Path) -> Path:
        raise WeightsError(f"{file} bn0.bias", expected="finite values", found="NaN")

    monkeypatch.setattr(locate, "_imported", imported)
    shelf.pipe("/shelf/mine.pth", b"PK")
    with pytest.raises(WeightsError, match=r"^memory://shelf/mine\.pth bn0\.bias: expected finite values"):
        locate_weights("memory://shelf/mine.pth")


def test_how_a_store_is_reached_travels_with_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Store] = []

    def read(place: Store, *, most_bytes: int | None = None) -> bytes:
        asked.append(place)
        raise WeightsError(str(place), expected="a store that is not asked", found="this test")

    monkeypatch.setattr(Store, "read", read)
    storage = StoreOptions(endpoint="http://elsewhere:9000")
    with pytest.raises(WeightsError):
        locate_weights("s3://bucket/mine", storage=storage)
    assert asked == [Store("s3://bucket/mine/config.json", storage, WeightsError)]


def test_an_unknown_name_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(
        WeightsError,
        match=r"no-such-weights: expected .* starter-v1, starter-large, starter-large-v2, panns-cnn14, .* found none",
    ):
        locate_weights("no-such-weights")


def test_weights_are_described_by_what_they_were_trained_on(tiny_weights: Path) -> None:
    facts = describe_weights("starter-v1")
    assert facts["condition"] == "soft, 527 numbers"
    assert facts["trained at"] == "-35 to -15 dBFS"
    assert facts["tagger"].startswith("panns, ")
    assert "detector" not in facts
    assert facts["separator"].startswith("resunet, ")
    assert facts["class means"] == "of 128 classes"
    assert describe_weights(tiny_weights)["trained at"] == "levels as recorded"
