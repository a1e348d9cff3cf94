"""The console as an ASGI application: its routes, its thread pools, and the error pages.

Each request passes the guard, then the authenticator finds its viewer, then the function of its path runs in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from functools import partial
from hmac import compare_digest
from secrets import token_urlsafe
from typing import Protocol
from urllib.parse import quote

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route as ByPath
from starlette.types import ASGIApp

from worker.accounts.sources import accounts_of
from worker.config.application import traceback_summary
from worker.config.settings import Settings, load_settings
from worker.console.guard import Guard
from worker.console.page import (
    AUDIT_PREFIX,
    ConsoleRequest,
    Forbidden,
    NotFound,
    PageRoute,
    Redirect,
    Site,
    StoredFile,
    View,
)
from worker.console.pages import PAGES
from worker.console.pool import Busy, Pool
from worker.console.rendering import address, assets, render
from worker.console.sign_in import SignIn, SignInLink
from worker.console.sign_in.cookie import set_token, token_of
from worker.console.sign_in.passwords import Passwords
from worker.console.sign_in.provider import Provider
from worker.console.viewer import has_right
from worker.console.visit import Endpoint, Visit, choices, root_of, values_of
from worker.console.words import WORDS, term
from worker.control.audit import with_action_prefix
from worker.control.opening import make_database
from worker.domain.errors import CheckFailed

log = structlog.get_logger()

THREADS = 8
"""Pages that are rendered at once; each uses a database connection for as long."""
WAITING = 64
"""Requests that may wait for one of these threads; further ones are refused with 503."""
SIGN_INS = 2
"""Sign-ins at once: the hash of a password takes 64 MiB of memory, and a provider may be slow."""
PAGE_S = 20.0
FORM_S = 10.0
"""Seconds in which a form has to arrive."""
FORM_BYTES = 64 * 1024
"""Largest size of a form in bytes; a longer one is not read to its end."""
FIELDS = 500
"""Largest number of fields in a form; none of ours has a tenth of that."""
FORM = "application/x-www-form-urlencoded"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def console_app(
    settings: Settings | None = None, *, link: SignInLink | None = None, site: Site | None = None
) -> ASGIApp:
    """Returns the console as an ASGI application, which can be mounted under any path of another one.

    `settings` are by default those of `worker.toml`. Raises ConfigurationError if one of their sign-ins cannot work.
    """
    if site is None:
        settings = settings or load_settings()
        site = Site(settings, make_database(settings, pool_size=THREADS), accounts_of(settings))
    console = site.settings.console
    authenticator = SignIn(
        site,
        new_token=new_token,
        passwords=Passwords(console.passwords) if console.passwords else None,
        provider=Provider(console.oidc) if console.oidc else None,
        link=link,
    )
    return guarded(site, authenticator)


def new_token() -> str:
    """Returns a token of 256 random bits."""
    return token_urlsafe(32)


def guarded(
    site: Site, authenticator: Authenticator, pages: Iterable[PageRoute] = PAGES, *, form_s: float = FORM_S
) -> ASGIApp:
    """Returns the console with this authenticator, behind its guard."""
    console = site.settings.console
    return Guard(
        Console(site, authenticator, pages, form_s).app, hosts=(*LOOPBACK, *console.hosts), proxies=console.networks
    )


class Authenticator(Protocol):
    """Finds the viewer of a request, and has the pages for signing in."""

    @property
    def endpoints(self) -> Iterable[Endpoint]:
        """The routes that are open to browsers without a sign-in, too."""
        ...

    def visit(self, request: Request) -> Visit:
        """Returns the browser of a request and its viewer; runs in a thread."""
        ...


class Console:
    """Routes requests to endpoints and pages, and runs these in threads."""

    def __init__(self, site: Site, authenticator: Authenticator, pages: Iterable[PageRoute], form_s: float):
        self._site, self._authenticator, self._pages, self._form_s = site, authenticator, tuple(pages), form_s
        self._zone = site.settings.zone
        self._pool = Pool("console", threads=THREADS, waiting=WAITING, timeout_s=PAGE_S)
        # Sign-ins have a pool of their own, so that a flood of passwords does not block all pages.
        self._sign_ins = Pool("sign-ins", threads=SIGN_INS, waiting=WAITING, timeout_s=PAGE_S)

    @property
    def app(self) -> Starlette:
        """The ASGI application, without its guard."""
        pages = (Endpoint(page.path, page.method, partial(self._page, page)) for page in self._pages)
        routes = [
            ByPath(endpoint.path, partial(self._answer, endpoint), methods=[endpoint.method])
            for endpoint in (*self._authenticator.endpoints, *pages)
        ]
        app = Starlette(
            routes=[ByPath("/static/{name}", _static, methods=["GET"]), *routes],
            exception_handlers={HTTPException: self._of_starlette},
        )
        # Behind a proxy with TLS, a redirect of Starlette's leads to plain http.
        app.router.redirect_slashes = False
        return app

    async def _answer(self, endpoint: Endpoint, request: Request) -> Response:
        visit = None
        try:
            form = await _read_form(request, self._form_s) if endpoint.method == "POST" else QueryParams()
            visit = await self._pool.run(partial(self._authenticator.visit, request))
            if endpoint.method == "POST":
                _require_own_form(request, form, visit.csrf)
            pool = self._sign_ins if endpoint.is_costly else self._pool
            response = await pool.run(partial(self._respond, endpoint, request, visit, form))
        except Exception as error:  # noqa: BLE001  whatever a page raises, its reader gets a page without internals
            response = self._error_response(request, error, visit)
        if visit and visit.token and token_of(request) is None and "set-cookie" not in response.headers:
            set_token(request, response, visit.token)
        return response

    def _respond(self, endpoint: Endpoint, request: Request, visit: Visit, form: QueryParams) -> Response:
        match endpoint.function(request, visit, form):
            case Response() as response:
                return response
            case Redirect(path, query):
                return RedirectResponse(address(root_of(request.scope), path, query), 303)
            case View() as view:
                return self._html(view, visit, request)
            case StoredFile() as stored:
                return self._stream_file(stored)

    def _page(self, page: PageRoute, request: Request, visit: Visit, form: QueryParams) -> View | Redirect | StoredFile:
        """Runs the page's function; redirects a browser without a viewer to the sign-in."""
        if visit.viewer is None:
            return Redirect("/sign-in", {"next": _here(request)} if page.method == "GET" else {})
        if not has_right(visit.viewer, page.right):
            raise Forbidden
        texts = (*request.path_params.values(), *request.query_params.values(), *form.values())
        if any("\x00" in text for text in texts):
            # No person types a NUL, and PostgreSQL accepts none in a statement.
            raise HTTPException(400)
        is_form = page.method == "POST"
        fields, root = form if is_form else None, root_of(request.scope)
        console_request = ConsoleRequest(
            visit.viewer, self._site, request.path_params, request.query_params, fields, root
        )
        with with_action_prefix(AUDIT_PREFIX):
            return page.function(console_request)

    def _html(self, view: View, visit: Visit, request: Request) -> Response:
        viewer = visit.viewer
        links = ((page.path, page.nav) for page in self._pages if viewer is not None and has_right(viewer, page.right))
        nav = [(path, word) for path, word in links if word is not None]
        text = render(view, visit, root=root_of(request.scope), here=_here(request), nav=nav, zone=self._zone)
        return HTMLResponse(text, view.status)

    def _stream_file(self, stored: StoredFile) -> Response:
        """Sends a file of a message with headers that keep the browser from running anything in it."""
        disposition = "attachment" if stored.kind is None else "inline"
        headers = {
            "content-security-policy": "default-src 'none'; sandbox",
            "content-disposition": f"{disposition}; filename*=UTF-8''{quote(stored.name, safe='')}",
            **({} if stored.size is None else {"content-length": str(stored.size)}),
        }
        kind = stored.kind or "application/octet-stream"
        return StreamingResponse(self._pieces(stored), headers=headers, media_type=kind)

    async def _pieces(self, stored: StoredFile) -> AsyncIterator[bytes]:
        """Yields each piece when the one before has been sent; they are read in the threads of pages."""
        try:
            while (piece := await self._pool.run(partial(next, stored.pieces, None))) is not None:
                if piece:
                    yield piece
        except (Busy, TimeoutError, SQLAlchemyError) as error:
            # The headers are sent already. The connection ends before `content-length` is reached.
            log.warning("console_file", error=type(error).__name__)
            if stored.broken_end:
                yield stored.broken_end

    def _error_response(self, request: Request, error: Exception, visit: Visit | None) -> Response:
        match error:
            case HTTPException():
                status = error.status_code
            case NotFound():
                status = 404
            case Forbidden():
                status = 403
            case CheckFailed():
                status = 400
            case Busy() | TimeoutError() | SQLAlchemyError():
                status = 503
                log.warning("console_page", error=type(error).__name__)
            case _:
                status = 500
                log.error("console_page", error=traceback_summary(error))
        return self._error_page(request, status, visit)

    async def _of_starlette(self, request: Request, error: Exception) -> Response:
        """Returns the page for an unknown path or method."""
        return self._error_response(request, error, None)

    def _error_page(self, request: Request, status: int, visit: Visit | None) -> Response:
        """Returns the page of an error. It reads no database, which may be the cause of the error."""
        visit = visit or Visit(None, *choices(request))
        key = f"error.{status}" if f"error.{status}.title" in WORDS else "error.400"
        title, text = term(visit.lang, f"{key}.title"), term(visit.lang, f"{key}.text")
        return self._html(View("error.html", title, {"text": text}, status), visit, request)


async def _static(request: Request) -> Response:
    """Returns a static file. Its URL has its version, so a browser may cache it."""
    asset = assets().get(request.path_params["name"])
    if asset is None:
        raise HTTPException(404)
    cache_control = "public, max-age=31536000, immutable"
    return Response(asset.body, media_type=asset.content_type, headers={"cache-control": cache_control})


def _here(request: Request) -> str:
    """Returns path and query of a request, without the path under which the console is mounted."""
    path = request.scope["path"].removeprefix(root_of(request.scope)) or "/"
    return address("", path, values_of(request.query_params))


async def _read_form(request: Request, read_s: float) -> QueryParams:
    """Returns the fields of a form; HTTPException if it is too long, too slow, cut short or not a form."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise HTTPException(415)
    body = b""
    try:
        async with asyncio.timeout(read_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > FORM_BYTES:
                    raise HTTPException(413)
    except TimeoutError:
        raise HTTPException(408) from None
    except ClientDisconnect:
        raise HTTPException(400) from None
    if body.count(b"&") >= FIELDS:
        raise HTTPException(413)
    return QueryParams(body)


def _require_own_form(request: Request, form: QueryParams, csrf: str) -> None:
    """Raises Forbidden unless the form was sent by one of our pages, in this session."""
    site = request.headers.get("sec-fetch-site")
    # Browsers without that header send an Origin with every POST. From our pages it can be `null`, because of our
    # referrer policy, but only in browsers that send the other header.
    own = f"{request.url.scheme}://{request.headers.get('host', '')}"
    is_own = site == "same-origin" if site is not None else request.headers.get("origin") == own
    if not is_own or not csrf or not compare_digest(form.get("csrf", "").encode(), csrf.encode()):
        raise Forbidden
