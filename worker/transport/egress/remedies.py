"""What to change when a connection could not be made, by the class of the fault; no class, no remedy.

Nothing here is of a proxy's words, of a file or of a setting's value.
"""

from __future__ import annotations

_PROXY = "correct the account's `proxy`, or let the proxy's administrator look"
_ROUTE = "see whether the network lets this host reach the vendor, or give the account a `proxy`"

REMEDIES = {
    "no_thread": "this host lets the worker start no more threads: raise its limit (TasksMax, ulimit -u, pids.max)",
    "dns": "look the host of the account's base_url up from here; correct it, or the resolver of this host",
    "refused": "nothing listens there: see whether the vendor's server is up, and the account's base_url right",
    "connect_timeout": _ROUTE,
    "unreachable": _ROUTE,
    "reset": "the vendor's server, or something before it, closes the connection; see whether it is up",
    "tls": "TLS with the vendor fails; is its certificate by an authority of your own, name that in the account's `ca`",
    "ca_file": "the account's `ca` cannot be used; `worker doctor` says why",
    "client_certificate": "the account's `client_certificate` cannot be used; `worker doctor` says why",
    "client_certificate_refused": "the vendor's server takes no such client certificate, or misses one: replace it",
    "proxy_setting": "the account's `proxy` cannot be used; `worker doctor` says why",
    "proxy_dns": f"the proxy's name has no address; {_PROXY}",
    "proxy_refused": f"nothing listens at the proxy's address; {_PROXY}",
    "proxy_connect_timeout": f"the proxy says nothing within the account's connect_timeout_s; {_PROXY}",
    "proxy_unreachable": "see whether the network lets this host reach the proxy",
    "proxy_tls": "TLS with the proxy fails; is its certificate by an authority of your own, name that in `ca`",
    "proxy_reset": f"the proxy closes the connection; {_PROXY}",
    "proxy_garbled": f"what listens there is no such proxy; {_PROXY}",
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
"""At most 300 characters each, as lanes store them."""

_OTHER_NAME = (
    "the server's certificate is for another name than the host of the account's base_url; correct one of both"
)
_PROXYS_NAME = "the proxy's certificate is for another name than the host in the account's `proxy`; correct one of both"
_OVER = "the server's certificate is over, or this host's clock is wrong; have it renewed, or the clock set"
OF_CERTIFICATES: dict[tuple[str, int | None], str] = {
    **{("tls", code): _OTHER_NAME for code in (62, 64)},
    **{("proxy_tls", code): _PROXYS_NAME for code in (62, 64)},
    **{(fault, code): _OVER for fault in ("tls", "proxy_tls") for code in (9, 10)},
}
"""In their place, by OpenSSL's code (X509_V_ERR_...), where the authority of a certificate is not what is wrong."""
