"""A browser in which a person has signed in before: strangers who guess at the person's name do not keep it out.

Its cookie opens nothing. Only this installation can have made it, and only for the password of now: it is a hash under
that password's own, so nothing of it is stored.
"""

from __future__ import annotations

import re
from hmac import compare_digest

from starlette.requests import Request
from starlette.responses import Response

from worker.console.sign_in.cookie import cookie_of, give_cookie
from worker.crypto.seal import keyed_hash

NAME = "worker-console-known"
LIVES_S = 31_536_000.0
VALUE = re.compile(r"([A-Za-z0-9_-]{43})\.([0-9a-f]{64})")


def known_browser(request: Request, person: str, password_hash: str | None) -> str | None:
    """Returns the random id of a browser in which this person has signed in; None where it is not certain."""
    found = VALUE.fullmatch(cookie_of(request, NAME))
    if found is None or password_hash is None:
        return None
    id_, proof = found.groups()
    return id_ if compare_digest(proof, _proof(person, password_hash, id_)) else None


def remember_browser(request: Request, response: Response, person: str, password_hash: str, id_: str) -> None:
    """Lets the browser keep, for a year, that this person has signed in there."""
    give_cookie(request, response, NAME, f"{id_}.{_proof(person, password_hash, id_)}", LIVES_S)


def _proof(person: str, password_hash: str, id_: str) -> str:
    return keyed_hash(password_hash.encode(), "known browser", person, id_)
