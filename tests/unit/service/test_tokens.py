from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from uss_ray.errors import ConfigError
from uss_ray.service.tokens import Tenant, Tokens


def _write(path: Path, *tokens: str) -> None:
    lines = [
        f"  - {{sha256: {hashlib.sha256(token.encode()).hexdigest().upper()}, tenant: of-{token}, prefixes: [/in]}}"
        for token in tokens
    ]
    path.write_text("\n".join(["tokens:", *lines]), encoding="utf-8")


def test_a_token_tells_its_tenant(tmp_path: Path) -> None:
    path = tmp_path / "tokens.yaml"
    _write(path, "a", "b")
    tokens = Tokens(path)
    assert tokens.tenant("b") == Tenant("of-b", ("/in",))
    assert tokens.tenant("c") is None
    assert tokens.tenant("") is None


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "tokens.yaml"
    _write(path, "a")
    tokens = Tokens(path)
    _write(path, "a", "b")
    assert tokens.tenant("b") is not None
    path.write_text("tokens: nonsense", encoding="utf-8")
    assert tokens.tenant("b") is not None
    os.unlink(path)
    assert tokens.tenant("b") is not None
    _write(path, "c")
    assert tokens.tenant("b") is None
    assert tokens.tenant("c") is not None


@pytest.mark.parametrize(
    "text", ["", "tokens: []", "tokens: [{sha256: abc, tenant: a}]", "tokens: [{tenant: ../a}]"]
)
def test_a_file_that_is_wrong_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"tokens\.yaml") as refused:
        Tokens(path)
    assert "abc" not in str(refused.value)  # it may be a token


@pytest.mark.parametrize("second", ["tenant: b", "tenant: a, prefixes: [/srv]"])
def test_one_digest_is_one_tenants(tmp_path: Path, second: str) -> None:
    path, digest = tmp_path / "tokens.yaml", "ab" * 32
    path.write_text(f"tokens: [{{sha256: {digest}, tenant: a}}, {{sha256: {digest.upper()}, {second}}}]")
    with pytest.raises(ConfigError, match=r"tokens\.yaml: .*token 2: .* that of a token of a"):
        Tokens(path)


def test_no_file_no_tokens(tmp_path: Path) -> None:
    assert Tokens.of(None) is None
    with pytest.raises(ConfigError):
        Tokens.of(str(tmp_path / "none.yaml"))
