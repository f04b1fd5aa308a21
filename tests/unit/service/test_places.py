from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from uss_ray.service.places import allowed_place, check_apart, check_links, check_opened, name_of
from uss_ray.service.problems import Refusal

PREFIXES = ("s3://archive/birds", "s3://other/")


@pytest.mark.parametrize("uri", ["s3://archive/birds/a.wav", "s3://archive/birds", "s3://other/x/ä b%20.wav"])
def test_what_lies_below_a_prefix_is_allowed(uri: str) -> None:
    assert allowed_place(uri, prefixes=PREFIXES, item="input") == uri


@pytest.mark.parametrize(
    "uri",
    [
        "s3://archive/birds2/a.wav",
        "s3://archive/bird",
        "s3://archive",
        "s3://archive2/birds/a.wav",
        "S3://archive/birds/a.wav",
        "s3://archive/birds/../cats/a.wav",
        "s3://archive/birds/./a.wav",
        "s3://archive/birds//a.wav",
        "s3://archive/birds/%2e%2e/cats",
        "s3://archive/birds/%2E%2E%2Fcats",
        "s3://archive/birds\\..\\cats",
        "s3://user:secret@archive/birds/a.wav",
        "s3://archive:9000/birds/a.wav",
        "s3://archive/birds/a.wav?versionId=1",
        "s3://archive/birds/a.wav#x",
        "s3://archive/birds/*.wav",
        "s3://archive/birds/a\n.wav",
        "zip://a::s3://archive/birds/a.zip",
        "simplecache::s3://archive/birds/a.wav",
        "http://169.254.169.254/latest/meta-data",
        "https://archive/birds/a.wav",
        "file:///archive/birds/a.wav",
        "gs://archive/birds/a.wav",
        "/etc/passwd",
        "archive/birds/a.wav",
        "",
        "s3://archive/birds/" + "a" * 2000,
    ],
)
def test_nothing_else_is(uri: str) -> None:
    with pytest.raises(Refusal) as refused:
        allowed_place(uri, prefixes=PREFIXES, item="input")
    assert refused.value.status in (403, 422)
    assert "secret" not in str(refused.value)


def test_a_web_address_is_no_place_even_below_a_prefix() -> None:
    with pytest.raises(Refusal):
        allowed_place("http://a/b/c", prefixes=["http://a/b"], item="input")


def test_a_link_does_not_lead_out_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "out")
    prefixes = [str(tmp_path / "in")]
    inside = f"{tmp_path}/in/a.wav"
    assert allowed_place(inside, prefixes=prefixes, item="input") == inside
    for outside in (f"{tmp_path}/in/link/a.wav", f"{tmp_path}/out/a.wav", f"{tmp_path}/in/../out/a.wav"):
        with pytest.raises(Refusal):
            allowed_place(outside, prefixes=prefixes, item="input")


def test_an_output_does_not_lie_in_its_input() -> None:
    check_apart("s3://archive/out", source="s3://archive/in")
    check_apart("s3://archive/in2", source="s3://archive/in")
    for output in ("s3://archive/in", "s3://archive/in/out"):
        with pytest.raises(Refusal):
            check_apart(output, source="s3://archive/in")


def test_a_link_does_not_lead_an_output_into_its_input(tmp_path: Path) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "inner").symlink_to(tmp_path / "in" / "sub")
    (tmp_path / "same").symlink_to(tmp_path / "in")
    check_apart(f"{tmp_path}/out", source=f"{tmp_path}/same")
    for output, source in (("inner/out", "in"), ("in/out", "same"), ("same", "in"), ("same/x", "same")):
        with pytest.raises(Refusal):
            check_apart(f"{tmp_path}/{output}", source=f"{tmp_path}/{source}")


def test_a_link_in_a_folder_does_not_lead_out_of_the_prefixes(tmp_path: Path) -> None:
    for name in ("in/sub", "more/deep", "out"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "out" / "a.wav").touch()
    prefixes = [str(tmp_path / "in"), str(tmp_path / "more")]
    (tmp_path / "in" / "more #?").symlink_to(tmp_path / "more")
    (tmp_path / "more" / "back").symlink_to(tmp_path / "in")  # in a circle
    check_links(prefixes[0], prefixes=prefixes, item="input")
    check_links(str(tmp_path / "none"), prefixes=prefixes, item="input")
    for link, target in (("in/sub/a.wav", "out/a.wav"), ("more/deep/x", "out"), ("in/gone", "nowhere")):
        (tmp_path / link).symlink_to(tmp_path / target)
        with pytest.raises(Refusal, match="input: expected links that lead below a prefix"):
            check_links(prefixes[0], prefixes=prefixes, item="input")
        (tmp_path / link).unlink()
    (tmp_path / "in" / "store").symlink_to(tmp_path / "out")
    with pytest.raises(Refusal):
        check_links(prefixes[0], prefixes=[str(tmp_path)], item="input", closed=[str(tmp_path / "out")])


def test_an_open_file_lies_where_it_lies_whatever_its_name_leads_to(tmp_path: Path) -> None:
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.wav").touch()
    link, prefixes = tmp_path / "in" / "link.wav", [str(tmp_path / "in")]
    link.symlink_to(tmp_path / "out" / "a.wav")
    with (tmp_path / "in" / "a.wav").open("rb") as inside, link.open("rb") as outside:
        check_opened(inside, prefixes=prefixes, item="input")
        link.unlink()
        with pytest.raises(Refusal, match="input: expected a place below a prefix") as refused:
            check_opened(outside, prefixes=prefixes, item="input")
    assert refused.value.status == 403


def test_what_the_service_keeps_is_named_only_by_a_prefix_in_it(tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / "uploads" / "one").mkdir(parents=True)
    (tmp_path / "link").symlink_to(store)
    prefixes = [str(tmp_path), str(store / "uploads" / "one")]
    for allowed in ("in/a.wav", "storehouse/a.wav", "store/uploads/one/a.wav", "link/uploads/one/a.wav"):
        place = f"{tmp_path}/{allowed}"
        assert allowed_place(place, prefixes=prefixes, item="input", closed=[str(store)]) == place
    for refused in ("", "/store", "/store/uploads", "/store/uploads/two/a.wav", "/store/jobs", "/link/kept"):
        with pytest.raises(Refusal) as raised:
            allowed_place(f"{tmp_path}{refused}", prefixes=prefixes, item="input", closed=[str(store)])
        assert raised.value.status == 403


@pytest.mark.parametrize("name", ["a.wav", "dawn/ä b.wav", "x" * 200])
def test_a_name_is_written_in_one_way(name: str) -> None:
    assert name_of(unicodedata.normalize("NFD", name), item="name") == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/a",
        "a/",
        "a//b",
        ".",
        "a/../b",
        ".a",
        "a/.b",
        " a",
        "a ",
        "a\nb",
        "a?b",
        "a*",
        "a%2Fb",
        "é" * 101,
        "a/" * 600,
        "/".join(["\N{EARTH GLOBE EUROPE-AFRICA}" * 50] * 5),
    ],
)
def test_no_other_name_is_taken(name: str) -> None:
    with pytest.raises(Refusal, match="name"):
        name_of(name, item="name")
