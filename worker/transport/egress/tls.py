"""The TLS settings of connections: whom they trust, and the client certificate, in one `ssl.SSLContext` for each pair.

A context takes 18 to 34 ms and 0.7 MB. So it is built when it is first needed, shared, and dropped with its last route.
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
CHECK_S = 2.0
"""Seconds until the files are checked again, so the longest time until a new certificate is used."""

_Stamps = tuple[tuple[int, ...] | None, ...]


class Trust:
    """The TLS settings for one `ca` and one client certificate. Built again when a file changes."""

    def __init__(self, ca: str | None, certificate: ClientCertificate | None, monotonic: Callable[[], float]) -> None:
        self._ca, self._certificate, self._monotonic = ca, certificate, monotonic
        names = [ca] if ca != SYSTEM else [*ssl.get_default_verify_paths()[:2]]
        names += [certificate.certificate, certificate.key] if certificate else []
        self._files = [name for name in names if name is not None]
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None
        self._context_stamps: _Stamps = ()
        self._check_at = 0.0

    def __repr__(self) -> str:
        return "<Trust>"

    def context(self) -> ssl.SSLContext:
        """Returns the settings as the files are now, or were last readable. Raises NotConnected before that."""
        if self._context is not None and self._monotonic() < self._check_at:
            return self._context
        # Only callers that need the file themselves wait for it.
        with self._lock:
            if self._context is None or self._monotonic() >= self._check_at:
                self._context = self._reloaded()
                self._check_at = self._monotonic() + CHECK_S
            return self._context

    def _reloaded(self) -> ssl.SSLContext:
        # Taken before the files are read, so that a file that is replaced meanwhile is read again.
        stamps = tuple(map(_stamp, self._files))
        if self._context is not None and stamps == self._context_stamps:
            return self._context
        try:
            context = make_context(self._ca, self._certificate)
        except NotConnected:
            # For a moment, a new certificate may stand beside its old key.
            if self._context is None:
                raise
            return self._context
        self._context_stamps = stamps
        return context


def make_context(ca: str | None, certificate: ClientCertificate | None) -> ssl.SSLContext:
    """Builds a context from the files. Raises NotConnected with a sentence that holds nothing of their content."""
    if ca == SYSTEM:
        context = _system_context()
    else:
        context = create_urllib3_context()
        _load_authorities(context, ca)
    context.hostname_checks_common_name = False
    context.set_alpn_protocols(["http/1.1"])
    if certificate is not None:
        # Some gateways request the certificate only when they know the path of the call.
        context.post_handshake_auth = True
        _load_certificate(context, certificate)
    return context


def require_files(egress: Egress, path: str) -> None:
    """Reads the files of an egress as connections do. Raises ConfigurationError if one is wrong.

    `path` is where the account stands in the settings.
    """
    if egress.ca is None and egress.client_certificate is None:
        return
    try:
        make_context(egress.ca, egress.client_certificate)
    except NotConnected as error:
        raise ConfigurationError(f"{path}.{error.detail}") from None
    name = egress.client_certificate and egress.client_certificate.certificate
    # OpenSSL uses the first such certificate of a file, and silently skips others.
    if name and b"-BEGIN TRUSTED CERTIFICATE-" in Path(name).read_bytes():
        problem = f"names file {name}, which is in a form of OpenSSL's own (TRUSTED CERTIFICATE)"
        remedy = f"write each certificate of it anew: openssl x509 -in {name} -out NEW.pem"
        raise ConfigurationError(f"{path}.{CLIENT_CERTIFICATE} {problem}; {remedy}")


def expires_at(certificate: ClientCertificate) -> float:
    """Returns when a client certificate expires, in seconds since 1970. Its file has been read before."""
    first, *_ = load_pem_x509_certificates(Path(certificate.certificate).read_bytes())
    return first.not_valid_after_utc.timestamp()


def password_of(certificate: ClientCertificate) -> str | None:
    """Reads the password of the certificate's key. Raises NotConnected if it cannot be read."""
    if not isinstance(certificate.password, Secret):
        return certificate.password
    try:
        return certificate.password.read()
    except ConfigurationError as error:
        raise NotConnected(CLIENT_CERTIFICATE, str(error)) from None


def _system_context() -> ssl.SSLContext:
    context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.platform != "linux":
        return context
    # On Linux, truststore lets OpenSSL check the certificate, but makes it read the trust store again for each
    # connection: 34 ms, in which no other thread runs. The context inside it has read the store once, and is all that
    # is needed.
    context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="vendor")
    inner: ssl.SSLContext = getattr(context, "_ctx", context)
    if not inner.cert_store_stats()["x509"] and not _has_files(ssl.get_default_verify_paths().capath):
        remedy = "install the package ca-certificates, or name a PEM file of the authorities in ca"
        raise NotConnected(CA_FILE, f'ca is "{SYSTEM}", and this host has no trust store; {remedy}')
    return inner


def _has_files(folder: str | None) -> bool:
    """Returns True for a folder that is not empty. OpenSSL reads an authority from it when it meets its signature."""
    try:
        return folder is not None and any(Path(folder).iterdir())
    except OSError:
        return False


def _load_authorities(context: ssl.SSLContext, ca: str | None) -> None:
    if ca is not None:
        _require_file(CA_FILE, "ca", ca)
    try:
        context.load_verify_locations(ca or DEFAULT_CA_BUNDLE_PATH)
        count = context.cert_store_stats()["x509"]
    except (OSError, ValueError):  # an SSLError is an OSError
        count = 0
    if not count:
        remedy = "name a PEM file of the authorities that sign the vendor's certificate"
        raise NotConnected(CA_FILE, f"ca names file {ca}, which holds no certificate; {remedy}")


class _NoPassword(Exception):
    """The key is encrypted, and there is no password for it."""


def _load_certificate(context: ssl.SSLContext, certificate: ClientCertificate) -> None:
    key = certificate.key or certificate.certificate
    for name in dict.fromkeys((certificate.certificate, key)):
        _require_file(CLIENT_CERTIFICATE, CLIENT_CERTIFICATE, name)
    password = password_of(certificate)

    def read_password() -> str:
        # Without this function, OpenSSL would ask on the terminal and wait.
        if password is None:
            raise _NoPassword
        return password

    problem = ""
    try:
        context.load_cert_chain(certificate.certificate, key, read_password)
    except _NoPassword:
        problem = f"has a key in file {key} that is encrypted; name the place of its password"
    except (OSError, ValueError) as error:
        problem = _certificate_problem(error, certificate.certificate, key, password)
    if problem:
        raise NotConnected(CLIENT_CERTIFICATE, f"{CLIENT_CERTIFICATE} {problem}")


def _certificate_problem(error: Exception, certificate: str, key: str, password: str | None) -> str:
    """Returns what is wrong with a certificate and its key, by the kind of the error."""
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
    """Opens a file once, to report the system's error. A pipe is refused: it could make readers wait for ever."""
    try:
        if stat.S_ISREG(Path(name).stat().st_mode):
            with Path(name).open("rb"):
                return
        problem = "is not a file"
    except (OSError, ValueError) as error:
        problem = f"cannot be read ({getattr(error, 'strerror', None) or 'not a path'})"
    raise NotConnected(reason, f"{setting} names file {name}, which {problem}; correct the path or its rights")


def _stamp(name: str) -> tuple[int, ...] | None:
    """Returns what changes when a file is replaced or written, or None if the file is missing."""
    try:
        stat_result = Path(name).stat()
    except (OSError, ValueError):
        return None
    return (stat_result.st_ino, stat_result.st_size, stat_result.st_mtime_ns, stat_result.st_ctime_ns)
