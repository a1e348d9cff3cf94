"""The cookie of a browser: a random token, of a session or, before it, of its forms alone. Sets others, too."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from hmac import digest

from starlette.requests import Request
from starlette.responses import Response

from worker.console.visit import root_of

NAME = "worker-console"
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


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
