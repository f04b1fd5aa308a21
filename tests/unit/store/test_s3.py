"""Requests to S3 repeat while their faults pass; lost uploads are taken back; refusals say why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from uss_ray.store import patience

s3fs = pytest.importorskip("s3fs")
exceptions = pytest.importorskip("botocore.exceptions")

from uss_ray.store.s3 import PatientS3FileSystem  # noqa: E402


def refused(code: str, status: int) -> Exception:
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error: Exception = exceptions.ClientError(answer, "Any")
    return error


def denied(code: str) -> PermissionError:
    """What s3fs makes of a refusal for good."""
    error = PermissionError(code)
    error.__cause__ = refused(code, 403)
    return error


class Script:
    """Answers of a store, by method; what was asked, in order."""

    def __init__(self, **answers: list[Any]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def __call__(self, method: str, **request: Any) -> Any:
        self.asked.append(method)
        left = self.answers.get(method, [])
        answer = left.pop(0) if left else {}
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_FIRST_WAIT_SECONDS", 0.001)


@pytest.fixture
def system() -> PatientS3FileSystem:
    return PatientS3FileSystem(skip_instance_cache=True, patience_seconds=60)


def follow(script: Script, monkeypatch: pytest.MonkeyPatch) -> Script:
    async def answer(_: Any, method: str, *__: Any, **request: Any) -> Any:
        return await script(method, **request)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", answer)
    return script


def test_a_passing_fault_is_waited_out_and_the_client_itself_does_not_repeat(
    system: PatientS3FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [refused("SlowDown", 503), refused("InternalError", 500), ConnectionResetError()]
    script = follow(Script(put_object=[*faults, {"ETag": "x"}]), monkeypatch)
    assert system.call_s3("put_object", Bucket="b", Key="k") == {"ETag": "x"}
    assert script.asked == ["put_object"] * 4
    assert system.retries == 1
    assert system.config_kwargs["retries"]["total_max_attempts"] == 1


def test_what_stays_is_raised_at_once(system: PatientS3FileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    script = follow(Script(get_object=[FileNotFoundError("k")]), monkeypatch)
    with pytest.raises(FileNotFoundError):
        system.call_s3("get_object", Bucket="b", Key="k")
    assert script.asked == ["get_object"]


def test_patience_is_that_of_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    script = follow(Script(get_object=[refused("SlowDown", 503)] * 9), monkeypatch)
    hasty = PatientS3FileSystem(skip_instance_cache=True, patience_seconds=0)
    with pytest.raises(exceptions.ClientError):
        hasty.call_s3("get_object", Bucket="b", Key="k")
    assert script.asked == ["get_object"]


def test_uploads_that_were_begun_and_not_ended_are_taken_back_before_the_next_one(
    system: PatientS3FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = {"Uploads": [{"Key": "k", "UploadId": "lost"}, {"Key": "k-other", "UploadId": "anothers"}]}
    script = follow(
        Script(
            create_multipart_upload=[ConnectionResetError(), {"UploadId": "new"}],
            list_multipart_uploads=[{"Uploads": [{"Key": "k", "UploadId": "of a killed process"}]}, begun],
        ),
        monkeypatch,
    )
    aborted = []

    async def abort(_: Any, bucket: str, key: str, upload: str) -> None:
        aborted.append((bucket, key, upload))

    monkeypatch.setattr(PatientS3FileSystem, "_abort_mpu", abort)
    assert system.call_s3("create_multipart_upload", Bucket="b", Key="k") == {"UploadId": "new"}
    assert script.asked == ["list_multipart_uploads", "create_multipart_upload"] * 2
    assert aborted == [("b", "k", "of a killed process"), ("b", "k", "lost")]


def test_a_bucket_that_forbids_to_list_uploads_takes_them(
    system: PatientS3FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbidden = PermissionError("AccessDenied")
    script = follow(
        Script(create_multipart_upload=[{"UploadId": "new"}], list_multipart_uploads=[forbidden]), monkeypatch
    )
    assert system.call_s3("create_multipart_upload", Bucket="b", Key="k") == {"UploadId": "new"}
    assert script.asked == ["list_multipart_uploads", "create_multipart_upload"]


def test_aborting_what_is_gone_is_no_fault(
    system: PatientS3FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: Any) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(s3fs.S3FileSystem, "_abort_mpu", gone)
    from fsspec.asyn import sync

    sync(system.loop, system._abort_mpu, "b", "k", "id")


def test_a_refused_head_is_asked_for_its_reason(
    system: PatientS3FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = follow(
        Script(head_object=[denied("403")], get_object=[denied("SignatureDoesNotMatch")]), monkeypatch
    )
    with pytest.raises(PermissionError, match="SignatureDoesNotMatch"):
        system.call_s3("head_object", Bucket="b", Key="k")
    assert script.asked == ["head_object", "get_object"]
    follow(Script(head_object=[denied("403")], get_object=[FileNotFoundError()]), monkeypatch)
    with pytest.raises(PermissionError, match="403"):
        system.call_s3("head_object", Bucket="b", Key="k")


def test_an_upload_that_the_store_has_finished_already_is_done_again(
    system: PatientS3FileSystem, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tries: list[str] = []
    faults = [refused("NoSuchUpload", 404), refused("SlowDown", 503)]

    async def put(_: Any, local: str, remote: str, **__: Any) -> None:
        tries.append(remote)
        if faults:
            raise faults.pop(0)

    monkeypatch.setattr(s3fs.S3FileSystem, "_put_file", put)
    from fsspec.asyn import sync

    sync(system.loop, system._put_file, str(tmp_path / "a"), "b/k")
    assert tries == ["b/k"] * 3


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("s3://b/a.wav?versionId=1", "a.wav?versionId=1"),
        ("b/a?versionId=x/y.wav", "a?versionId=x/y.wav"),
        ("s3://b/a?versionId=x/", "a?versionId=x/"),
        ("s3://b/a?x=1.wav", "a?x=1.wav"),
    ],
)
def test_a_key_that_looks_like_a_version_is_a_key(system: PatientS3FileSystem, path: str, key: str) -> None:
    assert system.split_path(path) == ("b", key, None)
