"""The form of a POST: read within a size and a time, and taken only from a page of the console itself.

A form of another site is refused twice: by what the browser says of its origin, and by the token that only our pages
have.
"""

from __future__ import annotations

import asyncio
from hmac import compare_digest

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from worker.console.page import Forbidden

BYTES = 64 * 1024
"""Bytes of a form at most; a longer one is not read to its end."""
FIELDS = 500
"""Fields of a form at most; none of ours has a tenth of them."""
FORM = "application/x-www-form-urlencoded"


async def read_form(request: Request, read_s: float) -> QueryParams:
    """The fields; raises HTTPException for a form that is too long, too slow, cut short or none."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise HTTPException(415)
    body = b""
    try:
        async with asyncio.timeout(read_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BYTES:
                    raise HTTPException(413)
    except TimeoutError:
        raise HTTPException(408) from None
    except ClientDisconnect:
        raise HTTPException(400) from None
    if body.count(b"&") >= FIELDS:
        raise HTTPException(413)
    return QueryParams(body)


def require_own(request: Request, form: QueryParams, csrf: str) -> None:
    """Raises Forbidden for a form that is not of a page of ours, or of one made for another session."""
    site = request.headers.get("sec-fetch-site")
    # Browsers that do not say it send an Origin with every POST. Of ours it may be `null`, because of our referrer
    # policy, but only where they say the other.
    own = f"{request.url.scheme}://{request.headers.get('host', '')}"
    is_own = site == "same-origin" if site is not None else request.headers.get("origin") == own
    if not is_own or not csrf or not compare_digest(form.get("csrf", "").encode(), csrf.encode()):
        raise Forbidden
