"""Whom a connection trusts, and the certificate with which it shows itself: each account by its own files."""

from __future__ import annotations

import os
import select
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tests.support.proxies import ProxyServer
from tests.unit.transport.fault_table import Stage, request, run, shown
from tests.unit.transport.raw_server import OK_BODY, Peer, RawServer, response
from worker.domain.account import ClientCertificate, Egress, Secret
from worker.domain.call import NotSent, Unsent
from worker.domain.errors import ConfigurationError
from worker.transport.connection import SocketAdapter
from worker.transport.egress.tls import CHECK_S, make_context, require_files
from worker.transport.faults import REMEDIES, call_fault

OK = "Reply(200)"
REFUSED = 'NotSent("client_certificate_refused")'
PASSWORD = "hunter2"


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Servers and transports that are closed after the test; a server's first words are waited for, however late."""
    monkeypatch.setattr("worker.transport.egress.dial.REFUSAL_WAIT_S", 60.0)
    with ExitStack() as stack:
        yield Stage(stack)


def polite(peer: Peer) -> None:
    """Answers each request on one connection."""
    while peer.read_request():
        peer.send(response(OK_BODY))


@dataclass
class Pki:
    """One authority for servers, one for clients, and what they signed."""

    stage: Stage
    servers: trustme.CA
    clients: trustme.CA

    def context(self, *, clients: bool = False, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = version
        self.servers.issue_cert("127.0.0.1").configure_cert(context)
        if clients:
            context.verify_mode = ssl.CERT_REQUIRED
            self.clients.configure_trust(context)
        return context

    def server(self, *, connections: int = 1, **how: object) -> RawServer:
        return self.stage.server(*[polite] * connections, tls=self.context(**how))  # type: ignore[arg-type]

    @property
    def ca(self) -> str:
        return self.stage.file(self.servers.cert_pem)

    def certificate(self, signer: trustme.CA | None = None) -> trustme.LeafCert:
        return (signer or self.clients).issue_cert("hr@example.com")


@pytest.fixture
def pki(stage: Stage) -> Pki:
    """Authorities of this test alone."""
    return Pki(stage, trustme.CA(), trustme.CA())


def encrypted(key: trustme.Blob) -> trustme.Blob:
    """The key under a password."""
    plain = load_pem_private_key(key.bytes(), None)
    closed = plain.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD.encode()))
    return trustme.Blob(closed)


def files(pki: Pki, how: str) -> ClientCertificate:
    """A client certificate, right or wrong in one way."""
    leaf, other, file = pki.certificate(), pki.certificate(), pki.stage.file
    chain, key = leaf.cert_chain_pems[0], leaf.private_key_pem
    match how:
        case "two files":
            return ClientCertificate(file(chain), file(key))
        case "one file":
            return ClientCertificate(file(key, chain))
        case "with a password":
            return ClientCertificate(file(chain), file(encrypted(key)), PASSWORD)
        case "with a password elsewhere":
            return ClientCertificate(file(chain, encrypted(key)), None, Secret(lambda: PASSWORD))
        case "no file":
            return ClientCertificate("/nowhere/client.pem", file(key))
        case "no key's file":
            return ClientCertificate(file(chain), "/nowhere/client.key")
        case "no key":
            return ClientCertificate(file(chain))
        case "garbage":
            return ClientCertificate(file(trustme.Blob(b"hunter2")), file(key))
        case "another's key":
            return ClientCertificate(file(chain), file(other.private_key_pem))
        case "wrong password":
            return ClientCertificate(file(chain), file(encrypted(key)), "wrong-hunter2")
        case "no password":
            return ClientCertificate(file(chain), file(encrypted(key)))
        case "endless password":
            return ClientCertificate(file(chain), file(encrypted(key)), "x" * 2000)
    raise AssertionError(how)


class TestAuthorities:
    """`ca`."""

    def test_a_bundle(self, stage: Stage, pki: Pki) -> None:
        """A server whose certificate an authority of the file has signed is trusted, and without it no other is."""
        assert shown(stage.run(pki.server().url, egress=Egress(ca=pki.ca))) == OK
        assert shown(stage.run(pki.server().url)) == 'NotSent("tls")'

    def test_a_certificate_of_another_name_is_no_matter_of_its_authority(self, stage: Stage, pki: Pki) -> None:
        """`ca` is right already: what to change is the address, or the certificate."""
        result = stage.run(pki.server().url.replace("127.0.0.1", "localhost"), egress=Egress(ca=pki.ca))

        assert shown(result) == 'NotSent("tls")'
        assert "for another name than the host of the account's base_url" in str(result.remedy)  # type: ignore[union-attr]

    def test_the_systems_store(self, stage: Stage, pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whom this machine trusts; `SSL_CERT_FILE` is part of what it says."""
        server = pki.server(connections=2)
        before = shown(stage.run(server.url, egress=Egress(ca="system")))
        monkeypatch.setenv("SSL_CERT_FILE", pki.ca)

        assert [before, shown(stage.run(server.url, egress=Egress(ca="system")))] == ['NotSent("tls")', OK]

    def test_a_system_without_a_store(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """As in a small container: what to install is said, and no certificate is refused as untrusted."""
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
        monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
        monkeypatch.setattr("truststore._openssl._CA_FILE_CANDIDATES", [])

        with pytest.raises(ConfigurationError, match=r"accounts\.hr\.ca is .*no trust store; install the package"):
            require_files(Egress(ca="system"), "accounts.hr")

    def test_the_systems_store_is_read_once(self) -> None:
        """Not again for each connection, which would hold up all threads of the process."""
        assert ssl.SSLContext is type(make_context("system", None))

    @pytest.mark.parametrize(
        ("wrong", "told"),
        [
            ("missing", "cannot be read (No such file or directory)"),
            ("folder", "is not a file"),
            ("pipe", "is not a file"),
            ("no path", "cannot be read (not a path)"),
            ("garbage", "holds no certificate"),
            ("empty", "holds no certificate"),
            ("key", "holds no certificate"),
        ],
    )
    def test_a_wrong_file(self, stage: Stage, pki: Pki, tmp_path: Path, wrong: str, told: str) -> None:
        """It costs no connection, stops nothing else, and is told without what is in it."""
        server = pki.server()
        match wrong:
            case "missing":
                ca = "/nowhere/ca.pem"
            case "folder":
                ca = str(tmp_path)
            case "pipe":
                ca = str(tmp_path / "pipe")
                os.mkfifo(ca)
            case "no path":
                ca = "a\x00b"
            case "garbage":
                ca = stage.file(trustme.Blob(b"hunter2"))
            case "empty":
                ca = stage.file()
            case _:
                ca = stage.file(pki.certificate().private_key_pem)
        transport = stage.transport()

        result = run(transport, request(server.url, egress=Egress(ca=ca)))
        other = run(transport, request(server.url, egress=Egress(ca=pki.ca)))

        assert [shown(result), shown(other)] == ['NotSent("ca_file")', OK]
        assert REMEDIES["ca_file"] == result.remedy  # type: ignore[union-attr]
        assert server.accepted == 1
        with pytest.raises(ConfigurationError) as caught:
            require_files(Egress(ca=ca), "accounts.hr")
        assert str(caught.value).startswith("accounts.hr.ca names file ")
        assert told in str(caught.value)
        assert "hunter2" not in str(caught.value)

    def test_http_needs_no_file(self, stage: Stage) -> None:
        """Where there is no TLS, none is read."""
        assert shown(stage.run(stage.server(polite).url, egress=Egress(ca="/nowhere/ca.pem"))) == OK


class TestClientCertificate:
    """`client_certificate`."""

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    @pytest.mark.parametrize("how", ["two files", "one file", "with a password", "with a password elsewhere"])
    def test_right(self, stage: Stage, pki: Pki, how: str, version: ssl.TLSVersion) -> None:
        """A server that asks for a certificate takes it, and keeps the connection."""
        server = pki.server(clients=True, version=version)
        transport, call = stage.transport(), request(server.url, egress=Egress(None, pki.ca, files(pki, how)))
        require_files(call.egress, "accounts.hr")

        assert [shown(run(transport, call)) for _ in range(2)] == [OK, OK]
        assert server.accepted == 1

    @pytest.mark.parametrize(
        ("how", "told"),
        [
            ("no file", "names file /nowhere/client.pem, which cannot be read (No such file or directory)"),
            ("no key's file", "names file /nowhere/client.key, which cannot be read"),
            ("no key", ", which holds no key"),
            ("garbage", ", which holds no certificate"),
            ("another's key", "does not belong; put the two of one pair there"),
            ("wrong password", "that its password does not open"),
            ("no password", "that is encrypted; name the place of its password"),
            ("endless password", "that its password does not open"),
        ],
    )
    def test_wrong_files(self, stage: Stage, pki: Pki, how: str, told: str) -> None:
        """They cost no connection, stop nothing else, and nobody is asked on a terminal."""
        server, transport = pki.server(), stage.transport()
        broken = Egress(None, pki.ca, files(pki, how))

        result = run(transport, request(server.url, egress=broken))
        other = run(transport, request(server.url, egress=Egress(ca=pki.ca)))

        assert [shown(result), shown(other)] == ['NotSent("client_certificate")', OK]
        assert server.accepted == 1
        with pytest.raises(ConfigurationError) as caught:
            require_files(broken, "accounts.hr")
        assert str(caught.value).startswith("accounts.hr.client_certificate ")
        assert told in str(caught.value)
        assert "hunter2" not in str(caught.value)

    def test_a_password_that_cannot_be_read(self, stage: Stage, pki: Pki) -> None:
        """Its place is empty: no connection is made without it."""

        def gone() -> str:
            raise ConfigurationError("gone")

        broken = Egress(None, pki.ca, ClientCertificate(files(pki, "one file").certificate, None, Secret(gone)))

        assert shown(stage.run("https://127.0.0.1:1", egress=broken)) == 'NotSent("client_certificate")'

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_one_that_the_vendor_does_not_take(self, stage: Stage, pki: Pki, version: ssl.TLSVersion) -> None:
        """By TLS 1.3 too it is known before anything leaves: the server's first words are waited for."""
        leaf = pki.certificate(trustme.CA())
        certificate = ClientCertificate(stage.file(leaf.private_key_pem, leaf.cert_chain_pems[0]))

        result = stage.run(pki.server(clients=True, version=version).url, egress=Egress(None, pki.ca, certificate))

        assert shown(result) == REFUSED
        assert REMEDIES["client_certificate_refused"] == result.remedy  # type: ignore[union-attr]

    def test_none_where_the_vendor_asks_for_one(self, stage: Stage, pki: Pki) -> None:
        """The refusal is met when the call begins, and the account waits as without a connection."""
        call = request(pki.server(clients=True).url, egress=Egress(ca=pki.ca))
        connection = stage.transport().connect(call)
        assert not isinstance(connection, NotSent)
        assert select.select([stage.client_socket()], [], [], 60)[0]

        result = connection.call(call)

        assert isinstance(result, NotSent)
        assert (result.reason, result.cause) == ("client_certificate_refused", Unsent.CLOSED_AT_ONCE)
        assert REMEDIES["client_certificate_refused"] == result.remedy

    def test_a_refusal_that_comes_after_the_request_has_its_class(self, stage: Stage) -> None:
        """What has left has left, but people are told what to change."""
        wire = SocketAdapter(stage.stack.enter_context(socket.socket()), stage.clock)
        wire.may_be_sent = True
        alert = ssl.SSLError(1, "alert")
        alert.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"

        assert call_fault(alert, wire) == "client_certificate_refused"

    def test_a_silent_server_costs_the_wait_for_its_first_words(
        self, stage: Stage, pki: Pki, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One without session tickets says nothing until it is asked; the call goes on."""
        monkeypatch.setattr("worker.transport.egress.dial.REFUSAL_WAIT_S", 0.01)
        context = pki.context(clients=True)
        context.num_tickets = 0

        result = stage.run(stage.server(polite, tls=context).url, egress=Egress(None, pki.ca, files(pki, "one file")))

        assert shown(result) == OK

    @pytest.mark.parametrize("how", ["two files", "of another authority"])
    @pytest.mark.parametrize("scheme", ["http", "https", "socks5h"])
    def test_through_a_proxy(self, stage: Stage, pki: Pki, scheme: str, how: str) -> None:
        """The vendor gets it, or refuses it, at the end of the tunnel."""
        tls = pki.context() if scheme == "https" else None
        server = pki.server(clients=True)
        proxy = stage.stack.enter_context(ProxyServer(socks="socks" in scheme, tls=tls))
        leaf = pki.certificate(trustme.CA())
        other = ClientCertificate(stage.file(leaf.private_key_and_cert_chain_pem))
        certificate = files(pki, how) if how == "two files" else other

        result = stage.run(server.url, egress=Egress(proxy.url(scheme), pki.ca, certificate))

        assert (OK if how == "two files" else REFUSED) == shown(result)

    def test_the_proxy_does_not_get_it(self, stage: Stage, pki: Pki) -> None:
        """A proxy over TLS may ask for a certificate; the account's is for the vendor alone."""
        context = pki.context(clients=True)
        proxy = stage.stack.enter_context(ProxyServer(tls=context))
        context.verify_mode = ssl.CERT_OPTIONAL
        shown_to_proxy: list[object] = []
        proxy._http = lambda near: shown_to_proxy.append(near.getpeercert())  # type: ignore[assignment,func-returns-value,attr-defined]

        stage.run("https://127.0.0.1:1", egress=Egress(proxy.url("https"), pki.ca, files(pki, "one file")))

        assert shown_to_proxy == [None]


class TestRotation:
    """Files that are replaced while connections are made."""

    def test_new_files_are_used_within_seconds(self, stage: Stage, pki: Pki) -> None:
        """A new authority and a new certificate, without a restart; half of a pair is no reason to stop."""
        old, new = pki.certificate(trustme.CA()), pki.certificate()
        ca, chain, key = pki.ca, stage.file(old.cert_chain_pems[0]), stage.file(old.private_key_pem)
        server, transport = pki.server(clients=True, connections=4), stage.transport()
        call = request(server.url, egress=Egress(None, ca, ClientCertificate(chain, key), connections=1))

        def later(change: Callable[[], object]) -> str:
            change()
            stage.clock.now += CHECK_S + 3  # longer than a connection is kept
            return shown(run(transport, call))

        results = [
            shown(run(transport, call)),
            later(lambda: Path(chain).write_bytes(new.cert_chain_pems[0].bytes())),
            later(lambda: Path(key).write_bytes(new.private_key_pem.bytes())),
            later(lambda: Path(ca).unlink()),
        ]

        assert results == [REFUSED, REFUSED, OK, OK]

    def test_files_are_looked_at_now_and_then(self, stage: Stage, pki: Pki) -> None:
        """A context is made once, and again when a file has changed and a moment is over."""
        ca = pki.ca
        trust = stage.transport()._routes.to("https://vendor.example", Egress(ca=ca)).tls
        assert trust is not None
        first = trust.context()
        os.utime(ca, ns=(0, 0))
        soon = trust.context()
        stage.clock.now += CHECK_S
        later = trust.context()
        stage.clock.now += CHECK_S

        assert [first is soon, first is later, later is trust.context()] == [True, False, True]
