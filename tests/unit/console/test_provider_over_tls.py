"""An OpenID Connect provider over real TLS: its certificate is judged by the system's trust."""

from __future__ import annotations

import itertools
import json
import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from joserfc import jwk

from rig.serving import serving
from tests.support.scripted_web import Page, ScriptedWeb
from worker.config.console import OidcSettings
from worker.console.sign_in.provider import DEADLINE_S, MAX_BYTES, IdentityNotConfirmed, Provider

KEYS = {"keys": [jwk.ECKey.generate_key("P-256", {"kid": "one"}).as_dict(private=False)]}


class Document(BaseHTTPRequestHandler):
    """The provider's documents."""

    def do_GET(self) -> None:
        """Answers with addresses below its own."""
        host = f"https://{self.headers['host']}"
        ends = {name: f"{host}/{name}" for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
        moved = self.path.startswith("/moved/")
        body = json.dumps(KEYS if self.path == "/jwks_uri" else {"issuer": host, **ends}).encode()
        if self.path.startswith("/long/"):
            body = json.dumps({"issuer": f"{host}/long", **ends}).encode() + b" " * MAX_BYTES
        self.send_response(302 if moved else 200)
        if moved:
            self.send_header("location", self.path.removeprefix("/moved"))
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The provider's address, and the certificate of its authority."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Document)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server):
        yield f"https://localhost:{server.server_port}", tmp_path / "ca.pem"


def provider(issuer: str) -> Provider:
    """The provider at this address, through the network."""
    return Provider(OidcSettings(issuer=issuer, client_id="console"))


def test_a_provider_that_the_system_trusts_is_asked(served: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The firm's own authority stands in the system's store; proxies of the environment are nothing to it."""
    issuer, authority = served
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    for name in ("HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")

    address = provider(issuer).address("t" * 43, "https://console/back", "/")

    assert address.startswith(f"{issuer}/authorization_endpoint?")


def test_a_provider_of_another_authority_is_not_believed(served: tuple[str, Path]) -> None:
    """Whatever it says."""
    with pytest.raises(IdentityNotConfirmed, match=r"^tls$"):
        provider(served[0]).address("t" * 43, "https://console/back", "/")


@pytest.mark.parametrize(("path", "reason"), [("moved", "status"), ("long", "^too_large$")])
def test_what_is_no_document_is_no_answer(
    served: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, path: str, reason: str
) -> None:
    """A redirect, which is not followed, and one without an end, which would fill the console's memory."""
    issuer, authority = served
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))

    with pytest.raises(IdentityNotConfirmed, match=reason):
        provider(f"{issuer}/{path}").address("t" * 43, "https://console/back", "/")


def test_a_provider_that_answers_bit_by_bit_has_a_deadline_in_all() -> None:
    """Each byte comes soon after the one before it; the clock moves by a millisecond with each look."""
    issuer, looks = "https://login.example", itertools.count()
    pages = {f"{issuer}/.well-known/openid-configuration": Page(b" ", endless=True)}
    web = ScriptedWeb({**pages}, monotonic=lambda: next(looks) / 1000)

    with pytest.raises(IdentityNotConfirmed, match=r"^deadline$"):
        Provider(OidcSettings(issuer=issuer, client_id="console"), web=web).address("t" * 43, "https://console/", "/")

    assert 0 < web.given < 1000 * DEADLINE_S
