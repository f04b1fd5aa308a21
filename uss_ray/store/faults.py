"""What a fault of a store means: whether it may pass, whether it is the store's or the content's, and its wording.

Knows the exceptions of the clients (botocore, aiohttp) and of torch without importing them: they exist only once
somebody uses them.
"""

from __future__ import annotations

import errno
import socket
import ssl
import sys
from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qs, urlsplit

from uss_ray.errors import OutputError
from uss_ray.wording import printable, without_bare_secrets

S3_CONNECT_SECONDS: Final = 10
"""That the client of S3 tries to reach a store for."""
S3_SILENT_SECONDS: Final = 60
"""That it waits for the next byte, once a request is sent: a store under load may think for longer than s3fs's 15."""

_TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504, 509})
_TRANSIENT_CODES = frozenset(
    {
        "BadDigest",
        "BandwidthLimitExceeded",
        "IncompleteBody",
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "XAmzContentSHA256Mismatch",
    }
)
_CREDENTIAL_CODES = frozenset(
    {
        "AccountProblem",
        "AllAccessDisabled",
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidSecurity",
        "InvalidToken",
        "NotSignedUp",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)
_TRANSIENT_ERRNOS = frozenset(
    {
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETRESET,
        errno.ENETUNREACH,
        errno.EPIPE,
        errno.ETIMEDOUT,
    }
)
_MACHINE_ERRNOS = frozenset(
    {
        errno.EBUSY,
        errno.ECOMM,
        errno.EDQUOT,
        errno.EHOSTDOWN,
        errno.EIO,
        errno.EKEYEXPIRED,  # a ticket of a network file system
        errno.EKEYREJECTED,
        errno.EKEYREVOKED,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENODEV,
        errno.ENOKEY,
        errno.ENOLCK,
        errno.ENOLINK,
        errno.ENOMEDIUM,
        errno.ENOMEM,
        errno.ENOSPC,
        errno.ENOTCONN,  # a mount whose program has died
        errno.EREMOTEIO,
        errno.EROFS,
        errno.ESHUTDOWN,
        errno.ESTALE,
        errno.EUCLEAN,
    }
)
_REFUSED_STATUS = {
    401: "a server that wants a password or a token",
    403: "a server that refuses access, such as with a signature that has expired",
    407: "a proxy that wants a password",
    410: "a file that is gone",
}
_NAME_ERRNOS = frozenset({errno.ENAMETOOLONG, errno.EILSEQ})
_TRANSIENT_CLASSES = (
    ("aiohttp", "ClientConnectionError"),
    ("aiohttp", "ClientPayloadError"),
    ("botocore.exceptions", "ConnectionError"),
    ("botocore.exceptions", "HTTPClientError"),
    ("botocore.exceptions", "IncompleteReadError"),
    ("botocore.parsers", "ResponseParserError"),
    ("http.client", "IncompleteRead"),
    ("http.client", "RemoteDisconnected"),
    ("urllib3.exceptions", "IncompleteRead"),
)
# A server that speaks no TLS, as http:// that is called https://, or none that this machine speaks.
_LASTING_TLS = frozenset(
    {
        "HTTP_REQUEST",
        "NO_PROTOCOLS_AVAILABLE",
        "TLSV1_ALERT_PROTOCOL_VERSION",
        "UNSUPPORTED_PROTOCOL",
        "WRONG_VERSION_NUMBER",
    }
)
_LASTING_CLASSES = (("aiohttp", "InvalidURL"), ("botocore.exceptions", "ParamValidationError"))


def is_transient(error: BaseException) -> bool:
    """Tell whether the same request may well succeed a little later.

    Parameters
    ----------
    error : exception
        What a store's client raised, or an error of this package raised from it.

    Returns
    -------
    bool
        True for answers 500, 502, 503, 504, 429 and their kin, timeouts, dropped and refused connections; False for
        everything that stays: not found, no permission, wrong credentials, an endpoint whose name nobody knows.

    Examples
    --------
    >>> is_transient(ConnectionResetError()), is_transient(FileNotFoundError())
    (True, False)
    """
    for link in reversed(list(_chain(error))):
        verdict = _may_pass(link)
        if verdict is not None:
            return verdict
    return False


def is_infrastructure(error: BaseException) -> bool:
    """Tell a fault of the store, the network, the machine or the credentials from a fault of the content.

    Parameters
    ----------
    error : exception
        Whatever ended the work on a recording. Ask where it was raised: a pickled exception has lost its causes.

    Returns
    -------
    bool
        True where the recording is not to blame, so that it must be tried again and not be noted as failed. A single
        recording that is missing or may not be read is the content's fault; a result that cannot be written is not,
        unless its name is too long.

    Examples
    --------
    >>> import errno
    >>> is_infrastructure(OSError(errno.ENOSPC, "No space left on device"))
    True
    >>> is_infrastructure(FileNotFoundError("a.wav"))
    False
    """
    chain = list(_chain(error))
    if any(isinstance(link, OutputError) for link in chain):
        return not any(isinstance(link, OSError) and link.errno in _NAME_ERRNOS for link in chain)
    return is_transient(error) or any(_is_of_the_machine(link) for link in chain)


def is_missing(error: BaseException) -> bool:
    """Tell whether a store said that there is nothing of that name."""
    return any(isinstance(link, FileNotFoundError) for link in _chain(error))


def store_code(error: BaseException) -> str | None:
    """Give the store's own word for a refusal, such as ``SlowDown`` or ``NoSuchUpload``.

    Parameters
    ----------
    error : exception
        From a store's client, or raised from such a one.

    Returns
    -------
    str or None
        A bare HTTP status where the store gave no word (answers without a body); None for other faults.
    """
    for link in _chain(error):
        response = getattr(link, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", "")) or None
    return None


def wording(error: BaseException) -> str:
    """Say in one line what went wrong, without any secret.

    Parameters
    ----------
    error : exception
        From a store's client or the operating system.

    Returns
    -------
    str
        No line breaks, no user names and passwords of addresses, no signatures.
    """
    code = store_code(error)
    if code in _CREDENTIAL_CODES:
        return f"credentials that the store does not accept ({code})"
    web = web_refusal(error)
    if web is not None:
        return web
    if isinstance(error, FileNotFoundError):
        return "no such file, folder or bucket"
    if isinstance(error, PermissionError):
        return f"no permission ({code})" if code else "no permission"
    if isinstance(error, _known(("botocore.exceptions", "NoCredentialsError"))):
        return "no credentials (set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE)"
    text = (
        _overdue(error) or getattr(error, "strerror", None) or f"{type(error).__name__}: {error}".rstrip(": ")
    )
    if code and code not in text:
        text = f"{text} ({code})"
    return printable(without_bare_secrets(" ".join(text.split())))


def _overdue(error: BaseException) -> str | None:
    """Say what the client of S3 waited for in vain, and how long; None of other faults."""
    silent, unreached = (
        _known(("botocore.exceptions", name)) for name in ("ReadTimeoutError", "ConnectTimeoutError")
    )
    for link in _chain(error):
        if not isinstance(link, (*silent, *unreached)):
            continue
        fields = getattr(link, "kwargs", None) or {}
        parts = urlsplit(str(fields.get("endpoint_url", "the store")))
        if isinstance(link, unreached):
            return f"no connection to {parts.netloc or parts.path} within {S3_CONNECT_SECONDS} s"
        part = parse_qs(parts.query).get("partNumber", [""])[0]
        of = f", after part {part} of an upload was sent" if part else ""
        return f"no byte from {parts.netloc or parts.path} for {S3_SILENT_SECONDS} s{of}"
    return None


def client_errors() -> tuple[type[Exception], ...]:
    """List what reading or writing a store may raise, as far as its client has been imported.

    Returns
    -------
    tuple of exception types
        For an ``except`` clause; the clients' own errors are no OSErrors.
    """
    # ValueError is how open() refuses a name with a zero byte.
    return (
        OSError,
        ValueError,
        *_known(
            ("botocore.exceptions", "BotoCoreError"),
            ("botocore.exceptions", "ClientError"),
            ("botocore.parsers", "ResponseParserError"),
            ("aiohttp", "ClientError"),
        ),
    )


def web_refusal(error: BaseException) -> str | None:
    """Say what a web server, or the way to it, had against a request: fsspec calls all of it a missing file.

    Parameters
    ----------
    error : exception
        From a store's client.

    Returns
    -------
    str or None
        None where nothing but a missing file, or another kind of store, is known.
    """
    chain = list(_chain(error))
    if any(type(link).__module__.startswith("botocore") for link in chain):
        return None
    for link in chain:
        status = getattr(link, "status", None)
        if isinstance(status, int) and status in _REFUSED_STATUS:
            return f"{_REFUSED_STATUS[status]} ({status})"
        if isinstance(link, socket.gaierror):
            return f"a host whose address nobody knows ({link.strerror or 'name resolution failed'})"
        if isinstance(link, ConnectionRefusedError) and link is not error:
            return "a server that refuses connections"
        if isinstance(link, ssl.SSLCertVerificationError):
            return "a server whose certificate is not trusted"
        if isinstance(link, ssl.SSLError) and getattr(link, "reason", None) in _LASTING_TLS:
            return "a server that does not speak TLS as it is asked to (http:// in place of https://?)"
    return None


def _may_pass(link: BaseException) -> bool | None:
    """Judge one link of a chain by itself; None where it says nothing."""
    response = getattr(link, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status in _TRANSIENT_STATUS or response.get("Error", {}).get("Code") in _TRANSIENT_CODES
    status = getattr(link, "status", None)
    if isinstance(status, int):
        return status in _TRANSIENT_STATUS
    if isinstance(link, socket.gaierror):
        return link.errno == socket.EAI_AGAIN
    if isinstance(link, (ssl.SSLCertVerificationError, *_known(*_LASTING_CLASSES))):
        return False
    if isinstance(link, ssl.SSLError) and getattr(link, "reason", None) in _LASTING_TLS:
        return False
    if isinstance(link, (TimeoutError, ConnectionError, *_known(*_TRANSIENT_CLASSES))):
        return True
    return True if isinstance(link, OSError) and link.errno in _TRANSIENT_ERRNOS else None


def _is_of_the_machine(link: BaseException) -> bool:
    if store_code(link) in _CREDENTIAL_CODES:
        return True
    if isinstance(link, (socket.gaierror, ImportError)):  # a library that is missing there, or broken
        return True
    if isinstance(link, _known(("torch", "OutOfMemoryError"))):  # a GPU that others fill as well
        return True
    if isinstance(link, OSError) and not isinstance(link, _known(("aiohttp", "ClientConnectionError"))):
        return link.errno in _MACHINE_ERRNOS
    if isinstance(link, _known(*_LASTING_CLASSES)):
        return False
    return isinstance(
        link, _known(("botocore.exceptions", "BotoCoreError"), ("aiohttp", "ClientConnectionError"))
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Follow an error to its root; the clients keep the cause of some in fields of their own."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        fields = getattr(link, "kwargs", None)
        causes = (
            link.__cause__,
            fields.get("error") if isinstance(fields, dict) else None,
            getattr(link, "os_error", None),
        )
        link = next((cause for cause in causes if isinstance(cause, BaseException)), None)


def _known(*names: tuple[str, str]) -> tuple[type[Exception], ...]:
    return tuple(getattr(sys.modules[module], name) for module, name in names if module in sys.modules)
