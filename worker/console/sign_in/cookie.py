"""The two cookies of a browser: the token of its session and forms, and the proof that a person has signed in there.

The proof opens no session. It gives the browser tries of its own, so that strangers who guess a person's password
cannot lock that person out. It is a hash with the key of the current password's hash: only this installation can make
it, a new password ends it, and nothing has to be stored.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from hmac import compare_digest, digest

from starlette.requests import Request
from starlette.responses import Response

from worker.console.visit import cookie_of, root_of
from worker.crypto.seal import keyed_hash

NAME = "worker-console"
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
BROWSER_NAME, BROWSER_LIFETIME_S = "worker-console-known", 31_536_000.0
BROWSER_VALUE = re.compile(r"([A-Za-z0-9_-]{43})\.([0-9a-f]{64})")


def token_of(request: Request) -> str | None:
    """Returns the token in this browser's cookie, or None if there is none of the right form."""
    token = own_cookie(request, NAME)
    return token if TOKEN.fullmatch(token) else None


def set_token(request: Request, response: Response, token: str, lifetime_s: float | None = None) -> None:
    """Sets the cookie with the token; it lasts until the browser is closed if `lifetime_s` is None."""
    set_cookie(request, response, NAME, token, lifetime_s)


def own_cookie(request: Request, name: str) -> str:
    """Returns the value of a cookie that `set_cookie` set, or an empty text if there is none."""
    return cookie_of(request, _full_name(request, name))


def set_cookie(request: Request, response: Response, name: str, value: str, lifetime_s: float | None) -> None:
    """Sets a cookie for this host alone, unreadable by scripts; until the browser is closed if `lifetime_s` is None."""
    is_secure = request.url.scheme == "https"
    max_age = None if lifetime_s is None else int(lifetime_s)
    # With the `__Host-` prefix the path has to be `/`. The prefix guards better than a path does.
    path = "/" if is_secure else root_of(request.scope) or "/"
    response.set_cookie(
        _full_name(request, name), value, max_age=max_age, path=path, secure=is_secure, httponly=True, samesite="lax"
    )


def derive_token(token: str, purpose: str) -> str:
    """Derives a secret for one purpose from a token; it cannot be guessed without the token."""
    return urlsafe_b64encode(digest(token.encode(), purpose.encode(), sha256)).rstrip(b"=").decode()


def _full_name(request: Request, name: str) -> str:
    """Returns the cookie's name, over https with the prefix that keeps other hosts and plain http from setting it."""
    return f"__Host-{name}" if request.url.scheme == "https" else name


def remembered_browser(request: Request, person: str, password_hash: str | None) -> str | None:
    """Returns the random id of this browser if it proves that this person has signed in here, else None."""
    match = BROWSER_VALUE.fullmatch(own_cookie(request, BROWSER_NAME))
    if match is None or password_hash is None:
        return None
    id_, proof = match.groups()
    return id_ if compare_digest(proof, _proof(person, password_hash, id_)) else None


def remember_browser(request: Request, response: Response, person: str, password_hash: str, id_: str) -> None:
    """Sets the cookie that proves, for a year, that this person has signed in here."""
    set_cookie(request, response, BROWSER_NAME, f"{id_}.{_proof(person, password_hash, id_)}", BROWSER_LIFETIME_S)


def _proof(person: str, password_hash: str, id_: str) -> str:
    return keyed_hash(password_hash.encode(), "known browser", person, id_)
