"""Kept results from outside."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from tests.unit.service.answers import SOUND, KnownAnswers, answer_of, flac, stems_of
from tests.unit.service.conftest import OTHER_TOKEN, TOKEN, Running, running, wait_until
from uss_ray.client import Client, ServiceError
from uss_ray.service.results import Results
from uss_ray.service.settings import Limits, ServiceSettings


@pytest.fixture(scope="module")
def keeping(token_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    store = tmp_path_factory.mktemp("store")
    settings = ServiceSettings(
        tokens=str(token_file), store=str(store), decoders=1, limits=Limits(kept_seconds=7200)
    )
    with running(settings, KnownAnswers()) as service:
        yield service


@pytest.fixture(scope="module")
def made(keeping: Running) -> dict[str, Any]:
    with keeping.client() as client:
        answer = client.post("/v1/separate?class=Dog&class=Cat&keep=3600", content=flac(SOUND))
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == answer.json()["links"]["self"]
    return dict(answer.json())


def test_what_is_kept_is_described_and_fetched_whole(keeping: Running, made: dict[str, Any]) -> None:
    with keeping.client() as client:
        told = client.get(made["links"]["self"]).json()
        whole = client.get(made["links"]["zip"])
    assert told["rows"] == made["rows"]
    assert (told["id"], told["expires"], told["frames"]) == (made["id"], made["expires"], 20_000)
    with zipfile.ZipFile(io.BytesIO(whole.content)) as archive:
        assert set(told["stems"]) == set(archive.namelist()) - {"index.json"}
        assert json.loads(archive.read("index.json"))["rows"] == made["rows"]
    assert whole.headers["content-type"] == "application/zip"


@pytest.mark.parametrize(
    ("asked", "status", "stretch"),
    [
        ("bytes=0-99", 206, slice(0, 100)),
        ("bytes=100-", 206, slice(100, None)),
        ("bytes=-10", 206, slice(-10, None)),
        ("bytes=0-999999999", 206, slice(None)),
        ("bytes=999999999-", 416, slice(0, 0)),
        ("bytes=-0", 416, slice(0, 0)),
        ("bytes=9-2", 416, slice(0, 0)),
        ("bytes=0-1,5-6", 200, slice(None)),  # several are one answer of all
        ("lines=0-1", 200, slice(None)),
        ("bytes=-", 200, slice(None)),
        (f"bytes=0-{'9' * 5000}", 200, slice(None)),  # which is no number to Python
    ],
)
def test_stretches_of_a_stem_come_as_asked(
    keeping: Running, made: dict[str, Any], asked: str, status: int, stretch: slice
) -> None:
    content = answer_of(SOUND).files["query/dog.flac"]
    with keeping.client() as client:
        answer = client.get(f"{made['links']['self']}/stems/query/dog.flac", headers={"range": asked})
    assert answer.status_code == status
    assert answer.content == content[stretch]
    assert answer.headers["content-type"] == "audio/flac" if status != 416 else True
    if status == 206:
        start = range(len(content))[stretch].start
        assert (
            answer.headers["content-range"]
            == f"bytes {start}-{start + len(answer.content) - 1}/{len(content)}"
        )


def test_what_a_client_has_is_not_sent_again(keeping: Running, made: dict[str, Any]) -> None:
    url = f"{made['links']['self']}/stems/query/dog.flac"
    with keeping.client() as client:
        first = client.get(url)
        again = client.get(url, headers={"if-none-match": first.headers["etag"]})
        other = client.get(url, headers={"range": "bytes=0-9", "if-range": '"another"'})
    assert (again.status_code, again.content) == (304, b"")
    assert (other.status_code, other.content) == (200, first.content)


def test_what_would_come_is_told_without_it(keeping: Running, made: dict[str, Any]) -> None:
    own = made["links"]["self"]
    calls = (
        own,
        f"{own}/stems/query/dog.flac",
        f"{own}/mix.wav?stems=query/dog.flac",
        f"{own}/stems/none.flac",
        "/healthz",
        "/",
    )
    told_by = ("content-type", "content-length", "etag", "accept-ranges", "content-disposition", "allow")
    with keeping.client() as client:
        for call in (
            *calls,
            made["links"]["zip"],
            "/v1/classes?level=1",
            "/v1/classes?levl=1",
            "/v1/separate",
        ):
            there, told = client.get(call), client.head(call, headers={"range": "bytes=0-9"})
            assert (told.status_code, told.content) == (there.status_code, b""), call
            assert {name: told.headers.get(name) for name in told_by} == {
                name: there.headers.get(name) for name in told_by
            }
        assert client.delete("/healthz").headers["allow"] == "GET, HEAD"
    with keeping.client(token="wrong") as client:
        assert client.head(own).status_code == 401


def test_a_window_is_pcm_of_all_stems(keeping: Running, made: dict[str, Any]) -> None:
    names = ["query/dog.flac", "query/cat.flac"]
    asked = {"stems": ",".join(names), "start": 5000, "frames": 1000}
    with keeping.client() as client:
        answer = client.get(made["links"]["window"], params=asked)
        wrong = client.get(made["links"]["window"], params=asked | {"start": -1})
        many = client.get(made["links"]["window"], params=asked | {"stems": ",".join(names * 160)})
        more = client.get(made["links"]["window"], params=asked | {"stems": ",".join(names * 200)})
    samples = np.frombuffer(answer.content, "<i2").reshape(1000, 2, 2)
    assert [answer.headers[f"uss-{name}"] for name in ("frames", "stems", "channels", "sample-rate")] == [
        "1000",
        "2",
        "2",
        "8000",
    ]
    expected = stems_of(SOUND)["query/dog.flac"][:, 5000:6000].T
    assert np.abs(samples[:, 0] - np.rint(expected * 32767)).max() <= 1
    assert not (samples[:, 0] + samples[:, 1]).any()
    assert (wrong.status_code, many.status_code, more.status_code) == (422, 200, 422)


def test_stems_are_added_up(keeping: Running, made: dict[str, Any]) -> None:
    asked = {"stems": "query/dog.flac,query/residual.flac", "gains": "0.5,1"}
    url = f"{made['links']['self']}/mix.wav"
    with keeping.client() as client:
        mix = client.get(url, params=asked)
        wrong = [
            client.get(url, params=asked | said).status_code
            for said in ({"gains": "1"}, {"gains": "1,x"}, {"gains": "nan,1"}, {"stems": "query/dog.flac,a"})
        ]
    samples, rate = soundfile.read(io.BytesIO(mix.content), dtype="float32")
    assert (rate, int(mix.headers["content-length"])) == (8000, len(mix.content))
    stems = stems_of(SOUND)
    expected = 0.5 * stems["query/dog.flac"] + stems["query/residual.flac"]
    assert np.abs(samples.T - expected).max() < 2 / 32767
    assert wrong == [422, 422, 422, 404]


def test_a_stem_that_is_named_twice_is_added_twice(keeping: Running, made: dict[str, Any]) -> None:
    url = f"{made['links']['self']}/mix.wav"
    with keeping.client() as client:
        twice = client.get(url, params={"stems": "query/dog.flac,query/dog.flac", "gains": "0.25,0.5"})
        once = client.get(url, params={"stems": "query/dog.flac", "gains": "0.75"})
    assert twice.content == once.content


@pytest.mark.parametrize(
    ("asked", "status", "content"),
    [
        ({"range": "BYTES=1-2"}, 206, slice(1, 3)),
        ({"range": "bytes=-3"}, 206, slice(-3, None)),
        ({"range": "bytes=0-999999999999"}, 206, slice(None)),
        ({"range": "bytes=-0"}, 416, slice(0)),
        ({"range": "bytes=999999999-"}, 416, slice(0)),
        ({"range": "bytes=0-1,4-5"}, 200, slice(None)),
        ({"range": "lines=1-2"}, 200, slice(None)),
        ({"range": "bytes=1-2", "if-range": '"other"'}, 200, slice(None)),
        ({"range": "bytes=1-2", "if-range": "{tag}"}, 206, slice(1, 3)),
        ({"range": "bytes=1-2", "if-range": "W/{tag}"}, 200, slice(None)),
        ({"if-none-match": 'W/{tag}, "x"'}, 304, slice(0)),
        ({"if-none-match": "*"}, 304, slice(0)),
        ({"if-none-match": '"x"'}, 200, slice(None)),
    ],
)
def test_what_is_asked_for_of_a_file_is_what_comes(
    keeping: Running, made: dict[str, Any], asked: dict[str, str], status: int, content: slice
) -> None:
    with keeping.client() as client:
        url = f"{made['links']['self']}/stems/query/dog.flac"
        whole = client.get(url)
        said = {name: value.format(tag=whole.headers["etag"]) for name, value in asked.items()}
        answer = client.get(url, headers=said)
    assert (answer.status_code, answer.content) == (status, whole.content[content])


def test_pictures_are_drawn(keeping: Running, made: dict[str, Any]) -> None:
    with keeping.client() as client:
        whole = client.get(made["links"]["spectrogram"])
        stem = client.get(f"{made['links']['self']}/waveform.svg", params={"stem": "query/dog.flac"})
        missing = client.get(f"{made['links']['self']}/waveform.svg", params={"stem": "query/cow.flac"})
        player = client.get(f"{made['links']['self']}/player")
    assert whole.content.startswith(b"\x89PNG")
    assert stem.headers["content-type"] == "image/svg+xml"
    assert missing.status_code == 404
    assert 'class="uss"' in player.text


def test_ticked_stems_come_as_a_zip(keeping: Running, made: dict[str, Any]) -> None:
    with keeping.client() as client:
        ticked = client.get(made["links"]["zip"], params={"stems": "query/dog.flac"})
        missing = client.get(made["links"]["zip"], params={"stems": "query/dog.flac,query/cow.flac"})
    with zipfile.ZipFile(io.BytesIO(ticked.content)) as archive:
        assert archive.namelist() == ["index.json", "query/dog.flac"]
        assert archive.read("query/dog.flac") == answer_of(SOUND).files["query/dog.flac"]
    assert missing.status_code == 404


def test_the_store_gives_whole_objects_itself_where_that_is_wished(
    keeping: Running, made: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Results, "presigned", lambda _, part: f"https://store/{part.place.name}?sig")
    with keeping.client() as client:
        told = client.get(made["links"]["zip"])
        stem = client.get(f"{made['links']['self']}/stems/query/dog.flac")  # a part of an object
        ticked = client.get(made["links"]["zip"], params={"stems": "query/dog.flac"})
        through = client.get(made["links"]["zip"], params={"redirect": False})
        asked = client.head(
            made["links"]["zip"]
        )  # an address that is signed for GET refuses what follows with HEAD
    assert (asked.status_code, int(asked.headers["content-length"])) == (200, len(through.content))
    assert (told.status_code, told.headers["location"]) == (307, f"https://store/{made['id']}.zip?sig")
    assert [stem.status_code, ticked.status_code, through.status_code] == [200, 200, 200]


def test_another_tenant_and_nobody_see_nothing(keeping: Running, made: dict[str, Any]) -> None:
    own = made["links"]["self"]
    calls = [own, f"{own}.zip", f"{own}/window?stems=a", f"{own}/spectrogram.png", f"{own}/player"]
    calls += [f"{own}/stems/query/dog.flac", f"{own}/waveform.svg?stem=a", f"{own}/mix.wav?stems=a"]
    for token, status in ((OTHER_TOKEN, 404), (None, 401), ("wrong", 401)):
        with keeping.client(token=token) as client:
            assert {client.get(call).status_code for call in calls} == {status}
            assert client.delete(own).status_code == status
    with keeping.client() as client:
        assert client.get(own).status_code == 200


def test_the_client_keeps_fetches_and_removes(keeping: Running) -> None:
    with Client(keeping.url, TOKEN, patience_seconds=30.0) as client:
        assert client.info()["weights"]["name"] == "known"
        assert any(one.label == "Dog" and one.is_known for one in client.classes(find="dog"))
        assert [node["label"] for node in client.tag(flac(SOUND)).nodes] == ["Animal", "Dog"]
        with client.separate(flac(SOUND), classes=["Dog", "Cat"]) as direct:
            dog = direct["Dog"]
        kept = client.separate_and_keep(flac(SOUND), seconds=60, classes=["Dog", "Cat"])
        assert client.result(kept.result_id) == kept
        with client.fetch(kept.result_id) as fetched:
            assert fetched["Dog"] == dog == client.stem(kept.result_id, "query/dog.flac")
            recording, _ = soundfile.read(io.BytesIO(fetched.read("recording.flac")), dtype="float32")
        assert np.array_equal(recording.T, SOUND)
        client.remove(kept.result_id)
        with pytest.raises(ServiceError, match="expected a result that is kept") as raised:
            client.result(kept.result_id)
        assert raised.value.status == 404
        with pytest.raises(ServiceError, match="at most 7200 s") as raised:
            client.separate_and_keep(flac(SOUND), seconds=7201)
        assert (raised.value.status, raised.value.limit) == (422, "kept_seconds")


def test_what_is_over_is_removed_from_the_store(tmp_path: Path) -> None:
    over = tmp_path / "kept" / "one" / f"{1:08x}{'a' * 32}.zip"
    over.parent.mkdir(parents=True)
    over.write_bytes(b"old")
    (over.parent / "other.zip").write_bytes(b"not ours")
    with running(ServiceSettings(no_auth=True, store=str(tmp_path), decoders=1), KnownAnswers()):
        wait_until(lambda: not over.exists())
    assert (over.parent / "other.zip").exists()


def test_a_service_without_a_store_keeps_nothing(token_file: Path) -> None:
    backend = KnownAnswers()
    with (
        running(ServiceSettings(tokens=str(token_file), decoders=1), backend) as service,
        service.client() as client,
    ):
        refused: httpx.Response = client.post("/v1/separate?keep=60", content=flac(SOUND))
        assert client.get(f"/v1/results/{'f' * 40}").status_code == 404
    assert refused.status_code == 404
    assert "keeps nothing" in refused.json()["found"]
    assert backend.asked == []
