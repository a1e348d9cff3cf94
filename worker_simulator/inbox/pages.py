"""The page's addresses: the whole page, its parts, files, events, and what its forms post to.

Does not know sockets. Whatever goes wrong inside is an answer that says so: a page must not end the simulator.
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
from worker_simulator.answers import HttpAnswer, as_json
from worker_simulator.inbox import guard
from worker_simulator.inbox.acts import ActOutcome, Form, carry_out
from worker_simulator.inbox.conversations import Conversations, logs
from worker_simulator.inbox.look import PANELS, PageQuery, Part, cookies, look_of
from worker_simulator.inbox.panels import panel_part
from worker_simulator.inbox.parts import list_part, talk_part, talk_version
from worker_simulator.inbox.shown import PageReader
from worker_simulator.inbox.stream import Pulse
from worker_simulator.inbox.words import says
from worker_simulator.request import HttpRequest
from worker_simulator.world import Controlled, World

ROOT = "/_inbox/"
ENVIRONMENT = environment("worker_simulator.inbox", "assets/templates")
HTML = {"Content-Type": "text/html; charset=utf-8"}
LONGEST_TOLD = 300
"""Characters of a refusal that are told; a cookie holds them."""


def _static(name: str) -> bytes:
    return (files("worker_simulator.inbox") / "assets" / "static" / name).read_bytes()


STATIC: Mapping[str, tuple[str, bytes]] = {
    "style.css": ("text/css; charset=utf-8", STYLESHEET.encode() + b"\n" + _static("inbox.css")),
    "inbox.js": ("text/javascript; charset=utf-8", _static("inbox.js")),
    "icon.svg": ("image/svg+xml", _static("icon.svg")),
}


class Missing(Exception):
    """There is no such page, or it does not take this: a status, with what its sentence needs."""

    def __init__(self, status: int, sentence: str, **values: object) -> None:
        super().__init__(status)
        self.status, self.sentence, self.values = status, sentence, values


class Pages:
    """All pages of one simulator."""

    def __init__(self, simulator: Controlled, *, scheme: str, loopback: bool) -> None:
        self._simulator, self._scheme, self._loopback = simulator, scheme, loopback
        self._conversations = Conversations(simulator.world)
        self._pulse = Pulse(self._stamp)

    async def answer(self, request: HttpRequest) -> HttpAnswer:
        """Answer one request, with the headers that every answer has."""
        try:
            answer = await self._answer(request)
        except Missing as missing:
            answer = _failed(request, missing)
        except Exception:  # noqa: BLE001  # the outer loop: a page that fails must not take the simulator with it
            traceback.print_exc()
            answer = _failed(request, Missing(500, "error_500"))
        answer.headers = {**answer.headers, **guard.HEADERS}
        return answer

    async def _answer(self, request: HttpRequest) -> HttpAnswer:
        if not guard.is_known_host(request, loopback=self._loopback):
            raise Missing(403, "error_403_host", host=request.headers.get("host", ""))
        name = request.path.removeprefix(ROOT)
        if request.path != "/" and name.startswith("act/"):
            return self._act(request, name.removeprefix("act/"))
        if request.method != "GET":
            raise Missing(405, "error_405", allow="GET")
        return await self._look(request, "page" if request.path == "/" else name)

    async def _look(self, request: HttpRequest, name: str) -> HttpAnswer:
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
        folder, _, rest = name.partition("/")
        key, _, filename = rest.partition("/")
        found = file_answer(self._simulator.world, key, filename) if folder == "media" and "/" not in filename else None
        if found is None:
            raise Missing(404, "error_404")
        return found

    # -- looking -------------------------------------------------------------------------------------------------------

    async def _page(self, request: HttpRequest) -> HttpAnswer:
        look, moved = look_of(request), self._pulse.now()
        reader = await self._reader(look)
        parts = {part: await self._values(reader, part) for part in ("list", "talk", "panel")}
        told = unquote(cookies(request).get("told", ""))
        values = {"parts": parts, "told": told, "panels": PANELS, "moved": moved}
        text = _render("page.html", reader, base=self._base(request), **values)
        answer = HttpAnswer(text.encode("utf-8", "replace"), headers=dict(HTML))
        if request.query.get("lang") == look.lang:
            answer.headers["Set-Cookie"] = f"lang={look.lang}; Path=/; Max-Age=31536000; SameSite=Strict; HttpOnly"
        elif told:
            answer.headers["Set-Cookie"] = "told=; Path=/; Max-Age=0; SameSite=Strict; HttpOnly"
        return answer

    async def _part(self, request: HttpRequest, name: Part) -> HttpAnswer:
        """One part of the page; 304 where the page has it already."""
        look = look_of(request)
        reader = await self._reader(look)
        tag = f'"{hashlib.sha256(self._version(reader, name).encode()).hexdigest()[:24]}"'
        if request.headers.get("if-none-match") == tag:
            return HttpAnswer(b"", status=304, headers={"ETag": tag})
        if name == "panel" and not look.panel:
            raise Missing(404, "error_404")
        text = _render(f"{name}.html", reader, base=self._base(request), values=await self._values(reader, name))
        return HttpAnswer(text.encode("utf-8", "replace"), headers={**HTML, "ETag": tag})

    def _base(self, request: HttpRequest) -> str:
        """The address that the browser asked for, which clients can be pointed at."""
        return f"{self._scheme}://{request.headers['host']}"

    async def _reader(self, look: PageQuery) -> PageReader:
        world = self._simulator.world
        await self._conversations.catch_up(world)
        return PageReader(world, look, says(look.lang))

    async def _values(self, reader: PageReader, part: str) -> dict[str, Any]:
        match part:
            case "list":
                return await list_part(reader, self._conversations)
            case "talk":
                return await talk_part(reader, self._conversations)
        return panel_part(reader, self._conversations)

    def _version(self, reader: PageReader, part: Part) -> str:
        """What differs when a part has to be made anew."""
        look = reader.look
        asked = f"{look.url()} {look.lang}"
        conversation = self._conversations.find(look.at) if look.at else None
        if part == "talk" and conversation is not None:
            return f"{asked} {talk_version(reader, conversation)}"
        if part == "talk" and not look.q:
            return f"{asked} {conversation is None}"
        return f"{asked} {self._stamp()} {reader.world.clock.now() if look.panel == 'clock' else ''}"

    def _stamp(self) -> tuple[object, ...]:
        """What differs when anything moved; costs the same however much there is."""
        world = self._simulator.world
        lengths = tuple(len(log) for log in logs(world))
        calls = world.calls.last_seq, world.calls.carried_out
        return id(world), calls, lengths, world.rulings.noted, world.callbacks.moves, world.controlled

    def _events(self, request: HttpRequest) -> HttpAnswer:
        if self._pulse.is_full:
            raise Missing(503, "error_503")
        last = request.headers.get("last-event-id") or request.query.get("after", "")
        number = int(last) if last.isascii() and last.isdecimal() and len(last) < 16 else None
        headers = {"Content-Type": "text/event-stream; charset=utf-8"}
        return HttpAnswer(b"", headers=headers, stream=self._pulse.events(number))

    # -- acting --------------------------------------------------------------------------------------------------------

    def _act(self, request: HttpRequest, name: str) -> HttpAnswer:
        """Carry an act out; scripts get JSON, forms the page they came from with what became of it."""
        if request.method != "POST":
            raise Missing(405, "error_405", allow="POST")
        if not guard.is_own(request):
            raise Missing(403, "error_403_origin")
        try:
            form = Form.of(request)
        except ValueError as error:
            raise Missing(400, "refused_by", why=str(error)) from None
        outcome = carry_out(self._simulator, self._conversations, name, form)
        if outcome is None:
            raise Missing(404, "error_404")
        told = _told(look_of(request), name, outcome)
        if "application/json" in request.headers.get("accept", ""):
            return as_json({"ok": outcome.ok, "told": told})
        cookie = f"told={quote(told, safe='')}; Path=/; Max-Age=60; SameSite=Strict; HttpOnly"
        return HttpAnswer(b"", status=303, headers={"Location": _back(form), "Set-Cookie": cookie})


def _told(look: PageQuery, name: str, outcome: ActOutcome) -> str:
    say = says(look.lang)
    return say(f"done_{name}") if outcome.ok else say("refused_by", why=outcome.why)[:LONGEST_TOLD]


def _back(form: Form) -> str:
    """The page a form stands on: an address of the page itself, never another."""
    back = form.get("back")
    return back if back == "/" or (back.startswith("/?") and back.isascii() and back.isprintable()) else "/"


def _render(template: str, reader: PageReader, **values: Any) -> str:
    look = reader.look
    return ENVIRONMENT.get_template(template).render(look=look, say=reader.say, lang=look.lang, **values)


def _failed(request: HttpRequest, missing: Missing) -> HttpAnswer:
    look = replace(look_of(request), q="", at=None)
    say = says(look.lang)
    told = say(missing.sentence, **missing.values)
    text = ENVIRONMENT.get_template("failed.html").render(status=missing.status, told=told, say=say, lang=look.lang)
    headers = dict(HTML) | ({"Allow": str(missing.values["allow"])} if missing.status == 405 else {})
    return HttpAnswer(text.encode("utf-8", "replace"), status=missing.status, headers=headers)


def file_answer(world: World, key: str, name: str) -> HttpAnswer | None:
    """A file by the key and the name of its address; None where its bytes are not there."""
    content = _bytes(world, unquote(key))
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


def _bytes(world: World, key: str) -> bytes | None:
    kept = world.files.find(key)
    if kept is not None:
        return kept.content
    youdu = world.youdu.media.known(key)
    return youdu.content if youdu else None
