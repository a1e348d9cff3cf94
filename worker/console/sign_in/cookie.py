"""The cookies of a browser: a random token, of a session or, before it, of its forms alone; and who signed in there.

The second opens nothing: strangers who guess at a person's name do not keep a browser out in which that person has
signed in. Only this installation can have made it, and only for the password of now: it is a hash under that password's
own, so nothing of it is stored.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from hmac import compare_digest, digest

from starlette.requests import Request
from starlette.responses import Response

from worker.console.visit import root_of
from worker.crypto.seal import keyed_hash

NAME = "worker-console"
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
KNOWN, KNOWN_LIVES_S = "worker-console-known", 31_536_000.0
KNOWN_VALUE = re.compile(r"([A-Za-z0-9_-]{43})\.([0-9a-f]{64})")


def token_of(request: Request) -> str | None:
    """The token that this browser has; None: it has none that could be ours."""
    found = cookie_of(request, NAME)
    return found if TOKEN.fullmatch(found) else None


def give_token(request: Request, response: Response, token: str, lives_s: float | None = None) -> None:
    """Lets the browser keep a token; None: until it is closed."""
    give_cookie(request, response, NAME, token, lives_s)


def cookie_of(request: Request, name: str) -> str:
    """Returns the value of a cookie that `give_cookie` set; empty where there is none."""
    return request.cookies.get(_named(request, name), "")


def give_cookie(request: Request, response: Response, name: str, value: str, lives_s: float | None) -> None:
    """Sets a cookie for this host alone, which no script reads; it ends with the browser where `lives_s` is None."""
    is_secure = request.url.scheme == "https"
    most = None if lives_s is None else int(lives_s)
    # The prefix of https demands the whole host, and guards better than a path does.
    path = "/" if is_secure else root_of(request.scope) or "/"
    response.set_cookie(
        _named(request, name), value, max_age=most, path=path, secure=is_secure, httponly=True, samesite="lax"
    )


def derived(token: str, what: str) -> str:
    """A text that only one who has the token can know, another one for each purpose."""
    return urlsafe_b64encode(digest(token.encode(), what.encode(), sha256)).rstrip(b"=").decode()


def _named(request: Request, name: str) -> str:
    """With the prefix over https: then no other host of the domain, and nothing over http, can set it."""
    return f"__Host-{name}" if request.url.scheme == "https" else name


def known_browser(request: Request, person: str, password_hash: str | None) -> str | None:
    """Returns the random id of a browser in which this person has signed in; None where it is not certain."""
    found = KNOWN_VALUE.fullmatch(cookie_of(request, KNOWN))
    if found is None or password_hash is None:
        return None
    id_, proof = found.groups()
    return id_ if compare_digest(proof, _proof(person, password_hash, id_)) else None


def remember_browser(request: Request, response: Response, person: str, password_hash: str, id_: str) -> None:
    """Lets the browser keep, for a year, that this person has signed in there."""
    give_cookie(request, response, KNOWN, f"{id_}.{_proof(person, password_hash, id_)}", KNOWN_LIVES_S)


def _proof(person: str, password_hash: str, id_: str) -> str:
    return keyed_hash(password_hash.encode(), "known browser", person, id_)
