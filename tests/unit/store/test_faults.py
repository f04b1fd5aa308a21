"""What may pass and what stays, whose fault it is, and that no wording holds a secret."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl

import pytest
from fsspec.exceptions import FSTimeoutError

from uss_ray.errors import OutputError, RecordingError, UssRayError
from uss_ray.store.faults import (
    client_errors,
    is_infrastructure,
    is_transient,
    store_code,
    wording,
)

aiohttp = pytest.importorskip("aiohttp")
botocore = pytest.importorskip("botocore.exceptions")
s3fs_errors = pytest.importorskip("s3fs.errors")


def answer(status: int, code: str) -> Exception:
    """Make what botocore raises for an answer of a store."""
    response = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error: Exception = botocore.ClientError(response, "GetObject")
    return error


def raised_from(cause: BaseException, kind: type[UssRayError] = RecordingError) -> UssRayError:
    error = kind("s3://bucket/a.wav", expected="a readable file", found="something else")
    error.__cause__ = cause
    return error


def no_tls() -> Exception:
    """Make what a request to https:// raises where a server speaks http://."""
    root = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
    root.reason = "WRONG_VERSION_NUMBER"
    return root


PASSING = [
    answer(500, "InternalError"),
    answer(502, "502"),
    answer(503, "SlowDown"),
    answer(503, "503"),
    answer(429, "TooManyRequests"),
    answer(400, "RequestTimeout"),
    answer(409, "OperationAborted"),
    botocore.ReadTimeoutError(endpoint_url="http://store"),
    botocore.ConnectTimeoutError(endpoint_url="http://store"),
    botocore.ConnectionClosedError(endpoint_url="http://store"),
    botocore.EndpointConnectionError(endpoint_url="http://store", error=ConnectionRefusedError()),
    botocore.EndpointConnectionError(endpoint_url="x", error=socket.gaierror(socket.EAI_AGAIN, "later")),
    botocore.IncompleteReadError(actual_bytes=1, expected_bytes=2),
    aiohttp.ClientPayloadError("not all data"),
    aiohttp.ServerDisconnectedError(),
    http.client.RemoteDisconnected(),
    ConnectionResetError(),
    TimeoutError(),
    OSError(errno.EHOSTUNREACH, "No route to host"),
]
LASTING = [
    answer(403, "AccessDenied"),
    answer(404, "NoSuchKey"),
    answer(403, "SignatureDoesNotMatch"),
    answer(400, "InvalidArgument"),
    botocore.NoCredentialsError(),
    botocore.ParamValidationError(report="bad bucket"),
    botocore.EndpointConnectionError(endpoint_url="x", error=socket.gaierror(socket.EAI_NONAME, "unknown")),
    botocore.SSLError(endpoint_url="x", error=ssl.SSLCertVerificationError()),
    botocore.SSLError(endpoint_url="x", error=no_tls()),
    no_tls(),
    FileNotFoundError("a.wav"),
    PermissionError("a.wav"),
    OSError(errno.ENOSPC, "No space left on device"),
    ValueError("no number"),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_may_pass_is_worth_another_try_through_every_wrapping(error: Exception) -> None:
    assert is_transient(error)
    translated = s3fs_errors.translate_boto_error(error)
    assert is_transient(translated)
    assert is_transient(raised_from(translated))
    assert is_infrastructure(raised_from(translated))


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_what_stays_is_not_tried_again(error: Exception) -> None:
    assert not is_transient(error)
    assert not is_transient(raised_from(s3fs_errors.translate_boto_error(error)))


@pytest.mark.parametrize(
    "error",
    [
        answer(403, "ExpiredToken"),
        answer(403, "InvalidAccessKeyId"),
        answer(403, "RequestTimeTooSkewed"),
        botocore.NoCredentialsError(),
        botocore.ProfileNotFound(profile="x"),
        botocore.EndpointConnectionError(
            endpoint_url="x", error=socket.gaierror(socket.EAI_NONAME, "unknown")
        ),
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EIO, "Input/output error"),
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.ENOTCONN, "Transport endpoint is not connected"),
        OSError(errno.EKEYEXPIRED, "Key has expired"),
        ImportError("libsndfile.so"),
    ],
    ids=repr,
)
def test_credentials_disks_and_addresses_are_no_fault_of_a_recording(error: Exception) -> None:
    assert is_infrastructure(raised_from(s3fs_errors.translate_boto_error(error)))


@pytest.mark.parametrize(
    "error",
    [
        answer(404, "NoSuchKey"),
        answer(403, "AccessDenied"),
        FileNotFoundError("a.wav"),
        IsADirectoryError("a.wav"),
        ValueError("embedded null byte"),
        botocore.ParamValidationError(report="bad bucket"),
    ],
    ids=repr,
)
def test_one_recording_that_cannot_be_had_is_the_contents_fault(error: Exception) -> None:
    assert not is_infrastructure(raised_from(s3fs_errors.translate_boto_error(error)))


def test_a_damaged_recording_is_the_contents_fault() -> None:
    assert not is_infrastructure(RecordingError("a.wav", expected="audio", found="an empty file"))
    assert not is_infrastructure(raised_from(RuntimeError("not flac")))


def test_a_result_that_cannot_be_written_is_no_fault_of_the_recording_unless_its_name_is_too_long() -> None:
    assert is_infrastructure(raised_from(PermissionError(), OutputError))
    assert is_infrastructure(OutputError("out", expected="a place", found="a full disk"))
    assert not is_infrastructure(raised_from(OSError(errno.ENAMETOOLONG, "File name too long"), OutputError))


def test_a_fault_hidden_behind_a_missing_file_is_found() -> None:
    """As fsspec words it for web servers."""
    error = FileNotFoundError("https://server/a.wav")
    request = aiohttp.RequestInfo("https://server/a.wav", "GET", {}, "https://server/a.wav")
    error.__cause__ = aiohttp.ClientResponseError(request, (), status=503)
    assert is_transient(error)
    error.__cause__ = aiohttp.ClientResponseError(request, (), status=404)
    assert not is_transient(error)


def test_causes_in_a_ring_end() -> None:
    one, two = RuntimeError("1"), RuntimeError("2")
    one.__cause__, two.__cause__ = two, one
    assert not is_transient(one)


def test_wordings_are_one_line_that_says_what_to_do() -> None:
    assert wording(FileNotFoundError(2, "No such file")) == "no such file, folder or bucket"
    assert "AWS_ACCESS_KEY_ID" in wording(botocore.NoCredentialsError())
    refused = s3fs_errors.translate_boto_error(answer(403, "SignatureDoesNotMatch"))
    assert wording(refused) == "credentials that the store does not accept (SignatureDoesNotMatch)"
    assert wording(s3fs_errors.translate_boto_error(answer(403, "AccessDenied"))).endswith("(AccessDenied)")
    assert store_code(refused) == "SignatureDoesNotMatch"
    assert store_code(OSError()) is None
    assert wording(RuntimeError("two\nlines")) == "RuntimeError: two lines"


def test_a_time_that_is_over_says_what_was_waited_for_and_how_long() -> None:
    address = "http://store:9000/b/k.bin?X-Amz-Signature=geheim"
    for error, told in (
        (botocore.ReadTimeoutError(endpoint_url=address), "no byte from store:9000 for 60 s"),
        (
            botocore.ReadTimeoutError(endpoint_url=f"{address}&partNumber=3&uploadId=u"),
            "no byte from store:9000 for 60 s, after part 3 of an upload was sent",
        ),
        (
            botocore.ConnectTimeoutError(endpoint_url="http://store:9000/b"),
            "no connection to store:9000 within 10 s",
        ),
        (botocore.ReadTimeoutError(endpoint_url="store"), "no byte from store for 60 s"),
        (TimeoutError(), "TimeoutError"),
    ):
        assert wording(error) == told
        wrapped = FSTimeoutError()  # as fsspec has it, without a word
        wrapped.__cause__ = error
        assert wording(wrapped) == (told if "store" in told else "FSTimeoutError")
    s3 = pytest.importorskip("uss_ray.store.s3")
    assert (s3._CLIENT["connect_timeout"], s3._CLIENT["read_timeout"]) == (10, 60)


def test_wordings_hold_no_secret() -> None:
    error = botocore.EndpointConnectionError(
        endpoint_url="http://me:geheim@store/a.wav?X-Amz-Credential=geheim&X-Amz-Signature=geheim"
    )
    assert "geheim" not in wording(error)
    assert "store/a.wav" in wording(error)


def test_what_clients_raise_can_be_caught() -> None:
    assert all(
        isinstance(error, client_errors())
        for error in PASSING
        if not isinstance(error, http.client.RemoteDisconnected)
    )
