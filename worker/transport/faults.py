"""What a fault of a connection is called: its class, by what was raised and by what the wire recorded.

The classes are those of `tests/unit/transport/faults.md`. Decides nothing: what follows from a fault is the attempt's.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Iterator

from urllib3.exceptions import InvalidHeader

from worker.transport.connection import DeadlinePassed, FileFault, TooLarge, Wire


class NotConnected(Exception):
    """No connection was made. `reason` is the class of the fault, `told` a sentence for people."""

    def __init__(self, reason: str, told: str = "") -> None:
        super().__init__(reason)
        self.reason, self.told = reason, told


CERTIFICATE_REFUSED = "client_certificate_refused"
_ALERTS = re.compile(r"ALERT_(.*CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|DECRYPT_ERROR)")
"""TLS alerts by which a server refuses the client's certificate, or misses it."""


def refuses_certificate(error: BaseException | None) -> bool:
    """True when the server's TLS alert is about the client's certificate."""
    reasons = (getattr(one, "reason", None) for one in _causes(error) if isinstance(one, ssl.SSLError))
    return any(_ALERTS.search(reason) for reason in reasons if reason)


def why_not_trusted(error: BaseException | None) -> int | None:
    """OpenSSL's code for what is wrong with the server's certificate; None where it is about something else."""
    return next((one.verify_code for one in _causes(error) if isinstance(one, ssl.SSLCertVerificationError)), None)


def why_not_connected(error: Exception) -> str:
    """The class of a fault before there was a connection."""
    if known := next((one for one in _causes(error) if isinstance(one, NotConnected)), None):
        return known.reason
    if refuses_certificate(error):
        return CERTIFICATE_REFUSED
    for kinds, reason in (
        ((socket.gaierror,), "dns"),
        ((ConnectionRefusedError,), "refused"),
        ((TimeoutError,), "connect_timeout"),
        # Of TLS, too, and no fault of a certificate.
        ((ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError), "reset"),
        ((ssl.SSLError,), "tls"),
        ((OSError,), "unreachable"),
    ):
        if _any(error, *kinds):
            return reason
    return type(error).__name__


def why_no_answer(error: Exception, wire: Wire) -> str:
    """The class of a fault on an open connection, by what the wire recorded and what was raised."""
    reset = _any(error, ConnectionError)
    for holds, reason in (
        (is_overdue(error), "read_timeout" if wire.written and not wire.received else "deadline"),
        (_any(error, TooLarge), "too_large"),
        (_any(error, FileFault), "file"),
        (not wire.handed, type(error).__name__),
        (wire.write_failed, "reset_during_request"),
        (wire.received and (wire.eof or reset), "cut"),
        (wire.eof or reset, "reset_after_request"),
        (refuses_certificate(error), CERTIFICATE_REFUSED),
        (_any(error, ssl.SSLError), "tls"),
        (_any(error, http.client.HTTPException, InvalidHeader), "garbled"),
    ):
        if holds:
            return reason
    return type(error).__name__


def is_overdue(error: Exception) -> bool:
    """True when the call ended because its deadline had passed."""
    return _any(error, DeadlinePassed)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _any(error: BaseException, *kinds: type[BaseException]) -> bool:
    return any(isinstance(cause, kinds) for cause in _causes(error))
