"""Whom connections trust, and the certificate with which they show themselves: one `ssl.SSLContext` for each such pair.

A context takes 18 to 34 ms and 0.7 MB, so it is made when first needed, shared, and gone with its last route.
"""

from __future__ import annotations

import ssl
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import truststore
from cryptography.x509 import load_pem_x509_certificates
from requests.adapters import DEFAULT_CA_BUNDLE_PATH
from urllib3.util.ssl_ import create_urllib3_context

from worker.domain.account import ClientCertificate, Egress, Secret
from worker.domain.errors import ConfigurationError
from worker.transport.faults import NotConnected

SYSTEM = "system"
"""The `ca` that stands for the operating system's trust store."""
CA_FILE, CLIENT_CERTIFICATE = "ca_file", "client_certificate"
LOOK_S = 2.0
"""Seconds until files are looked at again: a new certificate is used for new connections so soon."""

_Stamps = tuple[tuple[int, ...] | None, ...]


class Trust:
    """The TLS settings of the connections with one `ca` and one client certificate, made anew when a file changes."""

    def __init__(self, ca: str | None, certificate: ClientCertificate | None, monotonic: Callable[[], float]) -> None:
        self._ca, self._certificate, self._monotonic = ca, certificate, monotonic
        names = [ca] if ca != SYSTEM else [*ssl.get_default_verify_paths()[:2]]
        names += [certificate.certificate, certificate.key] if certificate else []
        self._files = [name for name in names if name is not None]
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None
        self._made_of: _Stamps = ()
        self._look_at = 0.0

    def __repr__(self) -> str:
        return "<Trust>"

    def context(self) -> ssl.SSLContext:
        """The settings as the files are now, or were when they could last be read; raises NotConnected before that."""
        if self._context is not None and self._monotonic() < self._look_at:
            return self._context
        # Only those wait for the file that need it themselves.
        with self._lock:
            if self._context is None or self._monotonic() >= self._look_at:
                self._context = self._newest()
                self._look_at = self._monotonic() + LOOK_S
            return self._context

    def _newest(self) -> ssl.SSLContext:
        # Before they are read: a file that is replaced meanwhile is read again.
        stamps = tuple(map(_stamp, self._files))
        if self._context is not None and stamps == self._made_of:
            return self._context
        try:
            made = make_context(self._ca, self._certificate)
        except NotConnected:
            # A certificate that was replaced before its key fits none for a moment.
            if self._context is None:
                raise
            return self._context
        self._made_of = stamps
        return made


def make_context(ca: str | None, certificate: ClientCertificate | None) -> ssl.SSLContext:
    """Reads the files; raises NotConnected with a sentence for people, which holds nothing of what is in them."""
    if ca == SYSTEM:
        context = _of_the_system()
    else:
        context = create_urllib3_context()
        _load_authorities(context, ca)
    context.hostname_checks_common_name = False
    context.set_alpn_protocols(["http/1.1"])
    if certificate is not None:
        # Some gateways ask for it when they know the path that is called.
        context.post_handshake_auth = True
        _load_certificate(context, certificate)
    return context


def require_files(egress: Egress, path: str) -> None:
    """Reads the files of an egress as connections do; raises ConfigurationError where one is wrong.

    `path` is where the account stands in the settings.
    """
    if egress.ca is None and egress.client_certificate is None:
        return
    try:
        make_context(egress.ca, egress.client_certificate)
    except NotConnected as wrong:
        raise ConfigurationError(f"{path}.{wrong.told}") from None
    name = egress.client_certificate and egress.client_certificate.certificate
    # OpenSSL takes the first such certificate of a file, and skips others without a word.
    if name and b"-BEGIN TRUSTED CERTIFICATE-" in Path(name).read_bytes():
        wrong_form = f"names file {name}, which is in a form of OpenSSL's own (TRUSTED CERTIFICATE)"
        remedy = f"write each certificate of it anew: openssl x509 -in {name} -out NEW.pem"
        raise ConfigurationError(f"{path}.{CLIENT_CERTIFICATE} {wrong_form}; {remedy}")


def ends_at(certificate: ClientCertificate) -> float:
    """The end of a client certificate, in seconds since 1970. Its file has been read before."""
    first, *_ = load_pem_x509_certificates(Path(certificate.certificate).read_bytes())
    return first.not_valid_after_utc.timestamp()


def password_of(certificate: ClientCertificate) -> str | None:
    """The password of the certificate's key, read now; raises NotConnected where it cannot be read."""
    if not isinstance(certificate.password, Secret):
        return certificate.password
    try:
        return certificate.password.read()
    except ConfigurationError as error:
        raise NotConnected(CLIENT_CERTIFICATE, str(error)) from None


def _of_the_system() -> ssl.SSLContext:
    context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.platform != "linux":
        return context
    # On Linux it leaves the checking to OpenSSL, but has it read the store again for each connection: 34 ms, in which
    # no other thread runs. Read once, the context inside it is all that is needed.
    context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="vendor")
    inside: ssl.SSLContext = getattr(context, "_ctx", context)
    if not inside.cert_store_stats()["x509"] and not _has_files(ssl.get_default_verify_paths().capath):
        remedy = "install the package ca-certificates, or name a PEM file of the authorities in ca"
        raise NotConnected(CA_FILE, f'ca is "{SYSTEM}", and this host has no trust store; {remedy}')
    return inside


def _has_files(folder: str | None) -> bool:
    """True for a folder that holds something: OpenSSL reads an authority there when it meets one that it signed."""
    try:
        return folder is not None and any(Path(folder).iterdir())
    except OSError:
        return False


def _load_authorities(context: ssl.SSLContext, ca: str | None) -> None:
    if ca is not None:
        _require_file(CA_FILE, "ca", ca)
    try:
        context.load_verify_locations(ca or DEFAULT_CA_BUNDLE_PATH)
        found = context.cert_store_stats()["x509"]
    except (OSError, ValueError):  # an SSLError is an OSError
        found = 0
    if not found:
        remedy = "name a PEM file of the authorities that sign the vendor's certificate"
        raise NotConnected(CA_FILE, f"ca names file {ca}, which holds no certificate; {remedy}")


class _NoPassword(Exception):
    """The key is encrypted, and there is no password for it."""


def _load_certificate(context: ssl.SSLContext, certificate: ClientCertificate) -> None:
    key = certificate.key or certificate.certificate
    for name in dict.fromkeys((certificate.certificate, key)):
        _require_file(CLIENT_CERTIFICATE, CLIENT_CERTIFICATE, name)
    password = password_of(certificate)

    def told() -> str:
        # Without this function, OpenSSL would ask on the terminal and wait.
        if password is None:
            raise _NoPassword
        return password

    wrong = ""
    try:
        context.load_cert_chain(certificate.certificate, key, told)
    except _NoPassword:
        wrong = f"has a key in file {key} that is encrypted; name the place of its password"
    except (OSError, ValueError) as error:
        wrong = _wrong_pair(error, certificate.certificate, key, password)
    if wrong:
        raise NotConnected(CLIENT_CERTIFICATE, f"{CLIENT_CERTIFICATE} {wrong}")


def _wrong_pair(error: Exception, certificate: str, key: str, password: str | None) -> str:
    """What is wrong with a certificate and its key, by the kind of the error."""
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return f"names file {certificate}, to which the key in {key} does not belong; put the two of one pair there"
    try:
        create_urllib3_context().load_verify_locations(certificate)
    except (OSError, ValueError):
        return f"names file {certificate}, which holds no certificate; put it there in PEM"
    if password is not None:
        return f"has a key in file {key} that its password does not open; correct one of the two"
    return f"names file {key}, which holds no key; put it there in PEM"


def _require_file(reason: str, setting: str, name: str) -> None:
    """Opens a file once, for the error's own words; a pipe, which could make readers wait for ever, is none."""
    try:
        if stat.S_ISREG(Path(name).stat().st_mode):
            with Path(name).open("rb"):
                return
        wrong = "is not a file"
    except (OSError, ValueError) as error:
        wrong = f"cannot be read ({getattr(error, 'strerror', None) or 'not a path'})"
    raise NotConnected(reason, f"{setting} names file {name}, which {wrong}; correct the path or its rights")


def _stamp(name: str) -> tuple[int, ...] | None:
    """What changes when a file is replaced or written; None: it is not there."""
    try:
        found = Path(name).stat()
    except (OSError, ValueError):
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
