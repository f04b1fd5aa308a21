"""Texts that leave the program: without secrets of addresses, and without letters that a terminal obeys.

The one home of both rules: errors, rows of the index, logs and the command line word through here. What opens an
address keeps the real one.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
import unicodedata
from types import TracebackType
from urllib.parse import unquote

HIDDEN = "***"

# A password may hold a slash; what looks so and is none is a port, or a name of Amazon (ARN) in place of a bucket.
_USER = re.compile(
    r"""(?<=://)(?:(?!arn:)[^/\s@:?#"']*:(?!\d{1,5}(?:[/?#"'\s]|$))[^\s@"']*(?:@[^/\s@"']*)*?|[^/\s@?#"']*)@(?=[^\s@]|$)(?![^/\s"'?#]*@)"""
)
_BARE_USER = re.compile(r"""(?<![^\s"'`(\[<=])[^\s"'`@:/]+:[^\s"'`@]+@(?=[\w.-])""")
# A path may hold blanks and quotes.
_QUERY = re.compile(r"""(://[^?\n]*\?)([^\s"'<>]+)""")
_PARAMETER = re.compile(r"""(?i)(\bhttps?://[^?;\n]*;)([^\s"'<>?]+)""")
_FRAGMENT = re.compile(r"""(://[^#\n]*#)([^\s"'<>]+)""")
_SECRET_NAME = (
    r"(?:x-(?:amz|goog|oss|cos|ms|obs)-[\w-]*|[\w.-]*(?:signature|token|secret|credential|passw|pwd|auth|apikey|api[_-]?key|"
    r"access[_-]?key|key-pair|session|jwt|hmac|bearer)[\w.-]*|[\w.-]*key|sig|policy|sv|se|st|code|pass|pw|pin|"
    r"user(?:name)?|[\w.-]*(?:expires?|expiry)|exp|e|h|hash|md5|sha1|sha256|digest)"
)
_SECRET_PAIR = re.compile(rf"(?i)(?:^|[?&;~]){_SECRET_NAME}=")
_LONG_VALUE = re.compile(r"=[A-Za-z0-9+/_~%=-]{24,}(?:[&;]|$)")
_NAMED_VALUE = re.compile(
    r"(?i)\b(x-(?:amz|goog)-[\w-]+|awsaccesskeyid|aws_secret_access_key|aws_session_token|"
    r"(?:access[_-]?|security[_-]?)?token|signature|sig|secret|password|credential)=(?!\*\*\*)[^\s&,;\"'<>]+"
)
# Of headers, and of what a client was made with, as libraries print them.
_HEADER_VALUE = re.compile(
    r"(?i)\b(authorization|(?:set-)?cookie|[\w-]{1,30}-(?:token|key|signature))(['\"]?\s*:\s*['\"]?)"
    r"(?!\*\*\*)((?:basic|bearer|digest|negotiate|token)\s+)?[^\s'\"]+"
)
_ITEM_VALUE = re.compile(
    r"(?i)(['\"](?:\w*(?:secret|token|passw|credential|access_key|api_?key)\w*|key|pass|auth)['\"]\s*:\s*['\"])(?!\*\*\*)[^'\"]+"
)

_STEERING = frozenset("\u2028\u2029\u200e\u200f\u061c\ufeff") | {
    chr(code) for first, last in ((0x202A, 0x202E), (0x2066, 0x2069)) for code in range(first, last + 1)
}


def without_secrets(text: str) -> str:
    """Take user names, passwords, signatures and tokens out of the addresses in a text.

    Parameters
    ----------
    text : str
        A message or a location.

    Returns
    -------
    str
        The same with ``***`` for what is secret: all that stands before ``@``, and the whole query or fragment in
        which a name or a long value looks like a secret.

    Examples
    --------
    >>> without_secrets("no answer from https://me:pass@host/a.wav?X-Amz-Signature=abc")
    'no answer from https://***@host/a.wav?***'
    >>> without_secrets("https://host/a.wav?page=2")
    'https://host/a.wav?page=2'
    """
    if "://" in text:
        text = _USER.sub(f"{HIDDEN}@", text)
        for part in (_QUERY, _FRAGMENT, _PARAMETER):
            text = part.sub(_hidden_if_secret, text)
    return text


def without_bare_secrets(text: str) -> str:
    """Do the same with what a library says: ``KEY:SECRET@bucket`` without scheme, ``token=...`` and headers alone.

    Examples
    --------
    >>> without_bare_secrets('Invalid bucket name "AKIA:SECRET@inp"')
    'Invalid bucket name "***@inp"'
    """
    text = _BARE_USER.sub(f"{HIDDEN}@", without_secrets(text))
    text = _ITEM_VALUE.sub(rf"\1{HIDDEN}", _HEADER_VALUE.sub(rf"\1\2{HIDDEN}", text))
    return _NAMED_VALUE.sub(rf"\1={HIDDEN}", text)


def has_user(location: str) -> bool:
    """Tell whether an address names a user, or a key, before its host or bucket."""
    return _USER.search(location) is not None


def printable(text: str, *, lines: bool = False) -> str:
    r"""Write out the letters that steer a terminal, or that no encoding knows.

    Parameters
    ----------
    text : str
    lines : bool, default=False
        Leave line ends and tabs as they are.

    Examples
    --------
    >>> printable("bad\x1b[31mRED.wav")
    'bad\\x1b[31mRED.wav'
    """
    if text.isprintable():  # by far most; bidirectional marks and such are not
        return text
    return "".join(_visible(letter, lines=lines) for letter in text)


def plain(text: str) -> str:
    """Make a name or address fit for any output: no secrets, nothing that steers a terminal, one line."""
    return printable(without_secrets(text))


def plain_lines(text: str) -> str:
    """Do the same with a text of several lines."""
    return printable(without_secrets(text), lines=True)


class PlainFormatter(logging.Formatter):
    """Words a record without secrets and terminal escapes, whoever logs it, tracebacks too."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        return printable(without_bare_secrets(super().format(record)), lines=True)


def log_plainly(level: int = logging.WARNING) -> None:
    """Log to stderr from a level on; what handlers of this process's root write is plain."""
    logging.basicConfig(level=level)
    for handler in logging.getLogger().handlers:
        if type(handler) is logging.StreamHandler:
            handler.setFormatter(PlainFormatter("%(levelname)s %(name)s: %(message)s"))


def show_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None, /) -> None:
    """Print a traceback to stderr, plainly; for `sys.excepthook`."""
    text = "".join(traceback.format_exception(kind, error, trace))
    sys.stderr.write(printable(without_bare_secrets(text), lines=True))


def _hidden_if_secret(found: re.Match[str]) -> str:
    text = unquote(found[2])
    is_secret = _SECRET_PAIR.search(text) or _LONG_VALUE.search(text) or _LONG_VALUE.search(found[2])
    return found[1] + HIDDEN if is_secret else found[0]


def _visible(letter: str, *, lines: bool) -> str:
    if letter.isprintable() or letter == "\u200d" or (lines and letter in "\n\t"):
        return letter
    if letter not in _STEERING and unicodedata.category(letter) not in ("Cc", "Cs"):
        return letter
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
