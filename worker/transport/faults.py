"""Names the fault of a connection, from the error and from what the socket adapter recorded, and its remedy.

The names are those of `tests/unit/transport/faults.md`. Nothing is decided here: what follows from a fault is up to the
attempt.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Iterator

from urllib3.exceptions import InvalidHeader

from worker.transport.connection import DeadlinePassed, FileFault, SocketAdapter
from worker.transport.framing import TooLarge


class NotConnected(Exception):
    """No connection was opened. `reason` is the name of the fault, `detail` a sentence for people."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


CERTIFICATE_REFUSED = "client_certificate_refused"
_ALERTS = re.compile(r"ALERT_(.*CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|DECRYPT_ERROR)")
"""TLS alerts by which a server refuses the client's certificate, or misses it."""


def refuses_certificate(error: BaseException | None) -> bool:
    """Returns True if the server's TLS alert is about the client's certificate."""
    reasons = (getattr(cause, "reason", None) for cause in _causes(error) if isinstance(cause, ssl.SSLError))
    return any(_ALERTS.search(reason) for reason in reasons if reason)


def verify_code(error: BaseException | None) -> int | None:
    """Returns OpenSSL's code for what is wrong with the server's certificate, or None for another kind of error."""
    return next(
        (cause.verify_code for cause in _causes(error) if isinstance(cause, ssl.SSLCertVerificationError)), None
    )


def connection_fault(error: Exception) -> str:
    """Returns the name of a fault that happened before there was a connection."""
    if cause := next((cause for cause in _causes(error) if isinstance(cause, NotConnected)), None):
        return cause.reason
    if refuses_certificate(error):
        return CERTIFICATE_REFUSED
    for kinds, reason in (
        ((socket.gaierror,), "dns"),
        ((ConnectionRefusedError,), "refused"),
        ((TimeoutError,), "connect_timeout"),
        # Also of TLS, where it is no fault of a certificate.
        ((ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError), "reset"),
        ((ssl.SSLError,), "tls"),
        ((OSError,), "unreachable"),
    ):
        if _any(error, *kinds):
            return reason
    return type(error).__name__


def connection_remedy(error: Exception) -> str | None:
    """Returns what to change after a fault that happened before there was a connection, or None if nothing is known."""
    reason = connection_fault(error)
    return CERTIFICATE_REMEDIES.get((reason, verify_code(error))) or REMEDIES.get(reason)


def call_fault(error: Exception, adapter: SocketAdapter) -> str:
    """Returns the name of a fault on an open connection, from the error and what the adapter recorded."""
    reset = _any(error, ConnectionError)
    for applies, reason in (
        (is_deadline_passed(error), "read_timeout" if adapter.written and not adapter.received else "deadline"),
        (_any(error, TooLarge), "too_large"),
        (_any(error, FileFault), "file"),
        (not adapter.may_be_sent, type(error).__name__),
        (adapter.write_failed, "reset_during_request"),
        (adapter.received and (adapter.eof or reset), "cut"),
        (adapter.eof or reset, "reset_after_request"),
        (refuses_certificate(error), CERTIFICATE_REFUSED),
        (_any(error, ssl.SSLError), "tls"),
        (_any(error, http.client.HTTPException, InvalidHeader), "garbled"),
    ):
        if applies:
            return reason
    return type(error).__name__


def is_deadline_passed(error: Exception) -> bool:
    """Returns True if the call ended because its deadline had passed."""
    return _any(error, DeadlinePassed)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _any(error: BaseException, *kinds: type[BaseException]) -> bool:
    return any(isinstance(cause, kinds) for cause in _causes(error))


# -- remedies ---------------------------------------------------------------------------------------------------------

_PROXY = "correct the account's `proxy`, or let the proxy's administrator look"
_ROUTE = "see whether the network lets this host reach the vendor, or give the account a `proxy`"

REMEDIES = {
    "no_thread": "this host lets the worker start no more threads: raise its limit (TasksMax, ulimit -u, pids.max)",
    "dns": "check the host name in the account's base_url and the name resolution (DNS) of this machine",
    "refused": "nothing listens there: see whether the vendor's server is up, and the account's base_url right",
    "connect_timeout": _ROUTE,
    "unreachable": _ROUTE,
    "reset": "the vendor's server, or something before it, closes the connection; see whether it is up",
    "tls": (
        "TLS with the vendor fails; if its certificate is by an authority of your own, name that in the account's `ca`"
    ),
    "tls_timeout": (
        "the vendor's server takes the connection and does not begin TLS: see whether it is one of http://, and the"
        " account's base_url right"
    ),
    "ca_file": "the account's `ca` cannot be used; `worker doctor` says why",
    "client_certificate": "the account's `client_certificate` cannot be used; `worker doctor` says why",
    "client_certificate_refused": (
        "the vendor's server does not accept the client certificate, or requires one: replace it"
    ),
    "proxy_setting": "the account's `proxy` cannot be used; `worker doctor` says why",
    "proxy_dns": f"the proxy's name has no address; {_PROXY}",
    "proxy_refused": f"nothing listens at the proxy's address; {_PROXY}",
    "proxy_connect_timeout": f"the proxy does not answer within the account's connect_timeout_s; {_PROXY}",
    "proxy_unreachable": "see whether the network lets this host reach the proxy",
    "proxy_tls": "TLS with the proxy fails; if its certificate is by an authority of your own, name that in `ca`",
    "proxy_reset": f"the proxy closes the connection; {_PROXY}",
    "proxy_garbled": f"what listens there is not a proxy of this kind; {_PROXY}",
    "proxy_407": "the proxy refuses user and password; correct them in the account's `proxy`",
    "proxy_login": "the proxy refuses user and password; correct them in the account's `proxy`",
    "proxy_403": "the proxy does not let this account out to the vendor; have the vendor's host allowed there",
    "proxy_socks_2": "the proxy does not let this account out to the vendor; have the vendor's host allowed there",
    "proxy_502": "the proxy does not reach the vendor; let its administrator look",
    "proxy_503": "the proxy does not reach the vendor; let its administrator look",
    "proxy_504": "the proxy does not reach the vendor; let its administrator look",
    "proxy_socks_1": "the proxy does not reach the vendor; let its administrator look",
    "proxy_socks_3": "the proxy does not reach the vendor; let its administrator look",
    "proxy_socks_4": "the proxy does not reach the vendor; use socks5h:// where it must look the name up itself",
    "proxy_socks_5": "the vendor's server refuses the proxy; see whether it is up, and the account's base_url right",
    "proxy_socks_6": "the proxy does not reach the vendor; let its administrator look",
    "proxy_socks_8": "the proxy takes no such address; use socks5h://, so that it looks the name up itself",
}
"""What to change, by the name of the fault. Some have no remedy.

At most 300 characters each, as lanes store them. Holds nothing of a proxy's text, of a file or of a setting's value.
"""

_OTHER_NAME = (
    "the server's certificate is for another name than the host of the account's base_url; correct one of the two"
)
_PROXY_NAME = (
    "the proxy's certificate is for another name than the host in the account's `proxy`; correct one of the two"
)
_EXPIRED = (
    "the server's certificate has expired, or this host's clock is wrong; renew the certificate, or set the clock"
)
CERTIFICATE_REMEDIES: dict[tuple[str, int | None], str] = {
    **{("tls", code): _OTHER_NAME for code in (62, 64)},
    **{("proxy_tls", code): _PROXY_NAME for code in (62, 64)},
    **{(fault, code): _EXPIRED for fault in ("tls", "proxy_tls") for code in (9, 10)},
}
"""Used instead, by OpenSSL's code (X509_V_ERR_...), if the authority of a certificate is not the problem."""
