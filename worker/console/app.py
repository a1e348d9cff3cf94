"""The application: routes, forms, threads, and what becomes of an error. Mountable under any path of another one.

Each request passes the guard, then is known by its session or not, then runs its page's function in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route as ByPath
from starlette.types import ASGIApp

from worker.config.application import places_of
from worker.console.form import read_form, require_own
from worker.console.guard import Guard, Networks
from worker.console.page import Ask, Forbidden, Moved, NotFound, PageRoute, View
from worker.console.pages import PAGES
from worker.console.rendering import Frame, address, assets, render
from worker.console.site import Site
from worker.console.viewer import has_right
from worker.console.visit import Visit, choices
from worker.console.words import WORDS, say
from worker.domain.errors import CheckFailed

T = TypeVar("T")

log = structlog.get_logger()

THREADS = 8
"""Pages that are made at once; each holds a connection to the database for as long."""
WAITING = 64
"""Requests that may wait for one of them; more are turned away."""
PAGE_S = 20.0
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Door(Protocol):
    """Tells the viewer of a request."""

    def visit(self, request: Request) -> Visit:
        """The viewer and the browser; runs in a thread."""
        ...


class Busy(Exception):
    """Too many requests wait for a thread."""


class Console:
    """Answers the requests to pages."""

    def __init__(self, site: Site, door: Door, pages: Iterable[PageRoute] = PAGES):
        self._site, self._door, self._pages = site, door, tuple(pages)
        self._threads = ThreadPoolExecutor(THREADS, "console")
        self._asked = 0

    @property
    def app(self) -> Starlette:
        """The ASGI application, without its guard."""
        pages = [ByPath(page.path, partial(self._answer, page), methods=[page.method]) for page in self._pages]
        return Starlette(
            routes=[ByPath("/static/{name}", _static, methods=["GET"]), *pages],
            exception_handlers={HTTPException: self._of_starlette},
        )

    async def _answer(self, page: PageRoute, request: Request) -> Response:
        visit = None
        try:
            form = await read_form(request) if page.method == "POST" else None
            visit = await self._in_thread(partial(self._door.visit, request))
            if form is not None:
                require_own(request, form, visit.csrf)
            if visit.viewer is None:
                return RedirectResponse(address(_root(request), "/sign-in", {"next": _here(request)}), 303)
            ask = Ask(visit.viewer, self._site, request.path_params, request.query_params, form)
            return await self._in_thread(partial(self._made, page, ask, visit, request))
        except Exception as error:  # noqa: BLE001  whatever a page raises, its reader gets a page without internals
            return self._failed(request, error, visit)

    def _made(self, page: PageRoute, ask: Ask, visit: Visit, request: Request) -> Response:
        if not has_right(ask.viewer, page.right):
            raise Forbidden
        match page.function(ask):
            case Moved(path, query):
                return RedirectResponse(address(_root(request), path, query), 303)
            case View() as made:
                return self._shown(made, visit, request)

    def _shown(self, page: View, visit: Visit, request: Request) -> Response:
        viewer = visit.viewer
        links = ((one.path, one.nav) for one in self._pages if viewer is not None and has_right(viewer, one.right))
        nav = tuple((path, word) for path, word in links if word is not None)
        return HTMLResponse(render(page, Frame(visit, _root(request), _here(request), nav)), page.status)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """What the work returns; Busy when too many wait, TimeoutError when it takes too long, though it goes on."""
        if self._asked >= THREADS + WAITING:
            raise Busy
        self._asked += 1
        running = asyncio.get_running_loop().run_in_executor(self._threads, work)
        running.add_done_callback(self._one_less)
        return await asyncio.wait_for(asyncio.shield(running), PAGE_S)

    def _one_less(self, done: asyncio.Future[T]) -> None:
        self._asked -= 1
        # Looked at, lest the loop complain of an error that came too late to be answered.
        done.exception()

    def _failed(self, request: Request, error: Exception, visit: Visit | None) -> Response:
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
                log.error("console_page", error=places_of(error))
        return self._error_page(request, status, visit)

    async def _of_starlette(self, request: Request, error: Exception) -> Response:
        """The page of a path or a method that there is not."""
        return self._failed(request, error, None)

    def _error_page(self, request: Request, status: int, visit: Visit | None) -> Response:
        """An error as a page; it asks no database, which may be what is away."""
        visit = visit or Visit(None, "", *choices(request))
        told = f"error.{status}" if f"error.{status}.title" in WORDS else "error.400"
        title, text = say(visit.lang, f"{told}.title"), say(visit.lang, f"{told}.text")
        return self._shown(View("error.html", title, {"text": text}, status), visit, request)


def console_app(site: Site, door: Door, *, hosts: Collection[str] = LOOPBACK, proxies: Networks = ()) -> ASGIApp:
    """The console as an ASGI application."""
    return Guard(Console(site, door).app, hosts=hosts, proxies=proxies)


async def _static(request: Request) -> Response:
    """A file that pages load; its address has its version, so a browser may keep it."""
    found = assets().get(request.path_params["name"])
    if found is None:
        raise HTTPException(404)
    kept = "public, max-age=31536000, immutable"
    return Response(found.body, media_type=found.content_type, headers={"cache-control": kept})


def _root(request: Request) -> str:
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/")


def _here(request: Request) -> str:
    """The path and query of a request, without the path under which the console is mounted."""
    path = request.scope["path"].removeprefix(_root(request)) or "/"
    return address("", path, dict(request.query_params))
