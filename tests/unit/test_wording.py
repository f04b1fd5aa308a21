"""No secret of an address and no escape leaves the program; what is no secret stays as it is."""

from __future__ import annotations

import logging
import pickle

import pytest

from uss_ray.errors import RecordingError
from uss_ray.wording import (
    PlainFormatter,
    has_user,
    plain,
    plain_lines,
    printable,
    show_exception,
    without_bare_secrets,
    without_secrets,
)

WITH_SECRETS = [
    "http://me:SECRET@host/a.wav",
    "http://SECRET@host/a.wav",
    "http://me:SEC@SECRET@host/a.wav",
    "s3://AKIA:SECRET/with+slash@inp/a40",
    "s3://AKIASECRET:@inp",
    "s3a://:SECRET@inp/x",
    "https://host/a.wav?X-Amz-Algorithm=A&X-Amz-Credential=SECRET%2F2026&X-Amz-Signature=SECRET",
    "https://host/a.wav?x-amz-security-token=SECRET",
    "https://host/a.wav?page=2&sig=SECRET%3D",
    "https://host/a.wav?sv=1&se=2&sp=r&sig=SECRET",
    "https://host/a.wav?token=SECRET",
    "https://host/a.wav?access_token=SECRET",
    "https://host/a.wav?api_key=SECRET",
    "https://host/a.wav?key=SECRET",
    "https://host/a.wav?password=SECRET",
    "https://host/a.wav?AWSAccessKeyId=SECRET&Expires=1&Signature=SECRET",
    "https://host/a.wav?X-Goog-Signature=SECRET",
    "https://host/a.wav?Policy=SECRET&Key-Pair-Id=SECRET",
    "https://host/a.wav?%73ig=SECRET",
    "https://host/a.wav?h=SECRETSECRETSECRETSECRETSECRET",
    "https://host/a.wav?st=SECRET&e=1700000000",
    "https://host/a.wav?h=SECRET",
    "https://host/a.wav?rlkey=SECRET&dl=1",
    "https://host/a.wav?id=3&pw=SECRET",
    "https://host/a.wav?md5=SECRET&expires=1700000000",
    'https://host/a b\'s "c" <d>.wav?sig=SECRET',
    "https://host/a.wav#access_token=SECRET",
    "https://host/a.wav;jsessionid=SECRET?page=2",
    "https://host/a.wav?hdnea=exp=1~acl=*~hmac=SECRET",
    "Cannot connect to 'http://me:SECRET@host/a.wav?sig=SECRET', twice http://me:SECRET@host",
]
WITHOUT_SECRETS = [
    "s3://bucket/a@b?.wav",
    "https://server/a.wav?page=2",
    "https://server:8080/a@b.wav?download=1#part",
    "https://server/watch?v=dQw4w9WgXcQ",
    "/home/me/a@b.wav",
    "C:/me:you@home/a.wav",
    "token=1/a.wav",
    "s3://arn:aws:s3:eu-1:1:accesspoint/x/a@b.wav",
    "s3://bucket/9:30@studio.wav",
    "s3://bucket/a;token=1.wav",
    "https://server/a;v=1.wav",
]


@pytest.mark.parametrize("text", WITH_SECRETS)
def test_a_secret_of_an_address_is_hidden_wherever_it_stands(text: str) -> None:
    told = without_secrets(text)
    assert "SECRET" not in told
    assert "***" in told
    assert without_secrets(told) == told
    error = RecordingError(text, expected=text, found=text)
    assert "SECRET" not in f"{error} {error.item} {error.found} {pickle.loads(pickle.dumps(error))}"  # noqa: S301


@pytest.mark.parametrize("text", WITHOUT_SECRETS)
def test_what_is_no_secret_stays(text: str) -> None:
    assert without_secrets(text) == text
    assert not has_user(text)


@pytest.mark.parametrize(
    "text",
    [
        'Invalid bucket name "AKIA:SECRET@inp": Bucket name must match',
        "Credential=SECRET, Signature=SECRET",
        "the token=SECRET has expired",
        "Authorization: Bearer SECRET",
        "headers={'authorization': 'Basic SECRET', 'X-Amz-Security-Token': 'SECRET'}",
        "request Cookie: id=SECRET",
        "Session({'aws_access_key_id': 'SECRET', 'aws_secret_access_key': 'SECRET', 'key': 'SECRET'})",
        'config {"password": "SECRET"}',
    ],
)
def test_what_libraries_say_without_a_scheme_is_hidden_too(text: str) -> None:
    assert "SECRET" not in without_bare_secrets(text)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("bad\x1b]0;PWNED\x07\x1b[31mRED.wav", "bad\\x1b]0;PWNED\\x07\\x1b[31mRED.wav"),
        ("\x9b31m", "\\x9b31m"),
        ("a\rb\nc\td\x7f", "a\\x0db\\x0ac\\x09d\\x7f"),
        ("gnp\u202e.wav\u2066", "gnp\\u202e.wav\\u2066"),
        ("b\udcff.wav", "b\\udcff.wav"),
        ("  日の出 – восход — شروق 👩\u200d🔬.ogg", "  日の出 – восход — شروق 👩\u200d🔬.ogg"),
    ],
)
def test_letters_that_a_terminal_obeys_are_written_out(name: str, shown: str) -> None:
    assert printable(name) == plain(name) == shown
    assert shown in str(RecordingError(name, expected="audio", found="none"))
    shown.encode()


def test_lines_may_stay_lines() -> None:
    assert plain_lines("a\n\tb\x1b") == "a\n\tb\\x1b"


def test_logs_and_tracebacks_of_anybody_are_plain(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("http://me:SECRET@host \x1b[31m")
    except ValueError as error:
        facts = (type(error), error, error.__traceback__)
    record = logging.LogRecord(
        "aiohttp", logging.ERROR, "x.py", 1, "%s", ("https://h/?sig=SECRET \x1b",), facts
    )
    show_exception(*facts)
    for text in (PlainFormatter().format(record), capsys.readouterr().err):
        assert "SECRET" not in text
        assert "\x1b" not in text
        assert "Traceback" in text
