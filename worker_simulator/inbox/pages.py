"""The URLs of the inbox: the page, its parts, files, events, and its actions.

Every error becomes an answer: a page must not stop the simulator.
"""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from typing import Any
from urllib.parse import quote, unquote

from worker.drawing import STYLESHEET, environment
from worker.drawing.files import kind_of, plain_name
from worker_simulator.answers import HttpAnswer, json_answer
from worker_simulator.inbox import guard
from worker_simulator.inbox.actions import ActionResult, Form, carry_out
from worker_simulator.inbox.conversations import Conversations, logs
from worker_simulator.inbox.message_views import PageContext
from worker_simulator.inbox.panels import panel_part
from worker_simulator.inbox.parts import list_part, talk_part, talk_version
from worker_simulator.inbox.query import PANELS, PageQuery, Part, cookies, parse_query
from worker_simulator.inbox.stream import ChangeFeed
from worker_simulator.inbox.words import says
from worker_simulator.request import HttpRequest
from worker_simulator.vendor_state import StateHolder, VendorState

ROOT = "/_inbox/"
ENVIRONMENT = environment("worker_simulator.inbox", "assets/templates")
HTML = {"Content-Type": "text/html; charset=utf-8"}
MAX_NOTICE_CHARS = 300
"""The longest error text. It has to fit into a cookie."""


def _static(name: str) -> bytes:
    return (files("worker_simulator.inbox") / "assets" / "static" / name).read_bytes()


STATIC: Mapping[str, tuple[str, bytes]] = {
    "style.css": ("text/css; charset=utf-8", STYLESHEET.encode() + b"\n" + _static("inbox.css")),
    "inbox.js": ("text/javascript; charset=utf-8", _static("inbox.js")),
    "icon.svg": ("image/svg+xml", _static("icon.svg")),
}


class PageError(Exception):
    """An error answer: a status, the key of its sentence, and the values in it."""

    def __init__(self, status: int, sentence: str, **values: object) -> None:
        super().__init__(status)
        self.status, self.sentence, self.values = status, sentence, values


class Pages:
    """All pages of one simulator."""

    def __init__(self, simulator: StateHolder, *, scheme: str, loopback: bool) -> None:
        self._simulator, self._scheme, self._loopback = simulator, scheme, loopback
        self._conversations = Conversations(simulator.state)
        self._change_feed = ChangeFeed(self._change_stamp)

    async def answer(self, request: HttpRequest) -> HttpAnswer:
        """Answers a request, and adds the security headers."""
        try:
            answer = await self._answer(request)
        except PageError as error:
            answer = _error_page(request, error)
        except Exception:  # noqa: BLE001  # the outer loop: a page that fails must not take the simulator with it
            traceback.print_exc()
            answer = _error_page(request, PageError(500, "error_500"))
        answer.headers = {**answer.headers, **guard.HEADERS}
        return answer

    async def _answer(self, request: HttpRequest) -> HttpAnswer:
        if not guard.is_known_host(request, loopback=self._loopback):
            raise PageError(403, "error_403_host", host=request.headers.get("host", ""))
        name = request.path.removeprefix(ROOT)
        if request.path != "/" and name.startswith("act/"):
            return self._run_action(request, name.removeprefix("act/"))
        if request.method != "GET":
            raise PageError(405, "error_405", allow="GET")
        return await self._get(request, "page" if request.path == "/" else name)

    async def _get(self, request: HttpRequest, name: str) -> HttpAnswer:
        match name:
            case "page":
                return await self._page(request)
            case "list" | "talk" | "panel":
                return await self._part(request, name)
            case "events":
                return self._events(request)
        if name in STATIC:
            kind, content = STATIC[name]
            return HttpAnswer(content, headers={"Content-Type": kind})
        folder, _, tail = name.partition("/")
        key, _, filename = tail.partition("/")
        file = file_answer(self._simulator.state, key, filename) if folder == "media" and "/" not in filename else None
        if file is None:
            raise PageError(404, "error_404")
        return file

    # -- looking -------------------------------------------------------------------------------------------------------

    async def _page(self, request: HttpRequest) -> HttpAnswer:
        query, latest_change = parse_query(request), self._change_feed.latest()
        context = await self._context(query)
        parts = {part: await self._values(context, part) for part in ("list", "talk", "panel")}
        notice = unquote(cookies(request).get("notice", ""))
        values = {"parts": parts, "notice": notice, "panels": PANELS, "change": latest_change}
        text = _render("page.html", context, base=self._base(request), **values)
        answer = HttpAnswer(text.encode("utf-8", "replace"), headers=dict(HTML))
        if request.query.get("lang") == query.lang:
            answer.headers["Set-Cookie"] = f"lang={query.lang}; Path=/; Max-Age=31536000; SameSite=Strict; HttpOnly"
        elif notice:
            answer.headers["Set-Cookie"] = "notice=; Path=/; Max-Age=0; SameSite=Strict; HttpOnly"
        return answer

    async def _part(self, request: HttpRequest, name: Part) -> HttpAnswer:
        """Returns one part of the page, or 304 if the browser has it already."""
        query = parse_query(request)
        context = await self._context(query)
        tag = f'"{hashlib.sha256(self._version(context, name).encode()).hexdigest()[:24]}"'
        if request.headers.get("if-none-match") == tag:
            return HttpAnswer(b"", status=304, headers={"ETag": tag})
        if name == "panel" and not query.panel:
            raise PageError(404, "error_404")
        text = _render(f"{name}.html", context, base=self._base(request), values=await self._values(context, name))
        return HttpAnswer(text.encode("utf-8", "replace"), headers={**HTML, "ETag": tag})

    def _base(self, request: HttpRequest) -> str:
        """Returns the URL that the browser requested. Clients can use it as base_url."""
        return f"{self._scheme}://{request.headers['host']}"

    async def _context(self, query: PageQuery) -> PageContext:
        state = self._simulator.state
        await self._conversations.catch_up(state)
        return PageContext(state, query, says(query.lang))

    async def _values(self, context: PageContext, part: str) -> dict[str, Any]:
        match part:
            case "list":
                return await list_part(context, self._conversations)
            case "talk":
                return await talk_part(context, self._conversations)
        return panel_part(context, self._conversations)

    def _version(self, context: PageContext, part: Part) -> str:
        """Returns a text that changes when a part has to be rendered again."""
        query = context.query
        address = f"{query.url()} {query.lang}"
        conversation = self._conversations.find(query.at) if query.at else None
        if part == "talk" and conversation is not None:
            return f"{address} {talk_version(context, conversation)}"
        if part == "talk" and not query.q:
            return f"{address} {conversation is None}"
        return f"{address} {self._change_stamp()} {context.state.clock.now() if query.panel == 'clock' else ''}"

    def _change_stamp(self) -> tuple[object, ...]:
        """Returns values that differ after any change. The cost does not grow with the amount of data."""
        state = self._simulator.state
        lengths = tuple(len(log) for log in logs(state))
        calls = state.calls.last_seq, state.calls.carried_out
        return id(state), calls, lengths, state.rulings.recorded, state.callbacks.changes, state.control_calls

    def _events(self, request: HttpRequest) -> HttpAnswer:
        if self._change_feed.is_full:
            raise PageError(503, "error_503")
        last = request.headers.get("last-event-id") or request.query.get("after", "")
        number = int(last) if last.isascii() and last.isdecimal() and len(last) < 16 else None
        headers = {"Content-Type": "text/event-stream; charset=utf-8"}
        return HttpAnswer(b"", headers=headers, stream=self._change_feed.events(number))

    # -- acting --------------------------------------------------------------------------------------------------------

    def _run_action(self, request: HttpRequest, name: str) -> HttpAnswer:
        """Runs an action. Scripts get JSON; a form is redirected to its page, with the result in a cookie."""
        if request.method != "POST":
            raise PageError(405, "error_405", allow="POST")
        if not guard.is_same_origin(request):
            raise PageError(403, "error_403_origin")
        try:
            form = Form.of(request)
        except ValueError as error:
            raise PageError(400, "refused_by", why=str(error)) from None
        result = carry_out(self._simulator, self._conversations, name, form)
        if result is None:
            raise PageError(404, "error_404")
        notice = _notice(parse_query(request), name, result)
        if "application/json" in request.headers.get("accept", ""):
            return json_answer({"ok": result.ok, "notice": notice})
        cookie = f"notice={quote(notice, safe='')}; Path=/; Max-Age=60; SameSite=Strict; HttpOnly"
        return HttpAnswer(b"", status=303, headers={"Location": _back(form), "Set-Cookie": cookie})


def _notice(query: PageQuery, name: str, result: ActionResult) -> str:
    say = says(query.lang)
    return say(f"done_{name}") if result.ok else say("refused_by", why=result.error)[:MAX_NOTICE_CHARS]


def _back(form: Form) -> str:
    """Returns the page to go back to. Only an URL of this page is allowed."""
    back = form.get("back")
    return back if back == "/" or (back.startswith("/?") and back.isascii() and back.isprintable()) else "/"


def _render(template: str, context: PageContext, **values: Any) -> str:
    query = context.query
    return ENVIRONMENT.get_template(template).render(query=query, say=context.say, lang=query.lang, **values)


def _error_page(request: HttpRequest, error: PageError) -> HttpAnswer:
    query = replace(parse_query(request), q="", at=None)
    say = says(query.lang)
    notice = say(error.sentence, **error.values)
    text = ENVIRONMENT.get_template("failed.html").render(status=error.status, notice=notice, say=say, lang=query.lang)
    headers = dict(HTML) | ({"Allow": str(error.values["allow"])} if error.status == 405 else {})
    return HttpAnswer(text.encode("utf-8", "replace"), status=error.status, headers=headers)


def file_answer(state: VendorState, key: str, name: str) -> HttpAnswer | None:
    """Returns an uploaded file, or None if it is not stored any more."""
    content = _bytes(state, unquote(key))
    if content is None:
        return None
    kind = kind_of(content)
    if kind is None or kind.startswith("audio/"):
        kind = "application/octet-stream"
    headers = {"Content-Type": kind}
    if not kind.startswith("image/"):
        # A player in the page takes a video by its type, whatever is said of saving it.
        saved_as = quote(plain_name(unquote(name)), safe="")
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{saved_as}"
    return HttpAnswer(content, headers=headers)


def _bytes(state: VendorState, key: str) -> bytes | None:
    file = state.files.find(key)
    if file is not None:
        return file.content
    youdu_file = state.youdu.media.find_any(key)
    return youdu_file.content if youdu_file else None
