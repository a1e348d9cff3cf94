"""The vendor's paths in one table, and the way from a request to its answer, or to what a fault rule puts in its place.

Does not know how bytes travel and what a handler does.
"""

from collections.abc import Callable

from worker_simulator.answers import MORE_INFO, REASONS, HttpAnswer, Refused, coded, refusal
from worker_simulator.request import HttpRequest
from worker_simulator.wecom_app.calls import cards, chat_messages, chats, handlers, messages
from worker_simulator.wecom_external.handlers import ROUTES as EXTERNAL_ROUTES
from worker_simulator.wecom_suite.handlers import ROUTES as SUITE_ROUTES
from worker_simulator.wecom_webhook.handlers import ROUTES as WEBHOOK_ROUTES
from worker_simulator.wire.call_log import LoggedCall
from worker_simulator.wire.faults import FakedAnswer, FaultAction
from worker_simulator.wire.reader import media_part
from worker_simulator.world import World
from worker_simulator.youdu import envelope as youdu
from worker_simulator.youdu.handlers import ROUTES as YOUDU_ROUTES

Handler = Callable[[World, HttpRequest], HttpAnswer]

ROUTES: dict[str, Handler] = {
    "/cgi-bin/gettoken": handlers.gettoken,
    "/cgi-bin/agent/get": handlers.get_agent,
    "/cgi-bin/message/send": messages.send,
    "/cgi-bin/message/recall": handlers.recall,
    "/cgi-bin/message/update_template_card": cards.update,
    "/cgi-bin/media/upload": handlers.upload,
    "/cgi-bin/media/uploadimg": handlers.uploadimg,
    "/cgi-bin/appchat/create": chats.create,
    "/cgi-bin/appchat/update": chats.update,
    "/cgi-bin/appchat/get": chats.get,
    "/cgi-bin/appchat/send": chat_messages.send,
    **WEBHOOK_ROUTES,
    **EXTERNAL_ROUTES,
    **SUITE_ROUTES,
    **YOUDU_ROUTES,
}

ON_REFUSED_ELSEWHERE: dict[str, Callable[[World, HttpRequest], None]] = {"/cgi-bin/message/send": messages.note_refused}
"""By path: what remembers a call that a fault rule refused instead of the handler."""

NOT_FOUND = HttpAnswer(b"404 page not found\n", status=404, headers={"Content-Type": "text/plain; charset=utf-8"})


def answer(world: World, request: HttpRequest) -> HttpAnswer:
    """Carry a vendor call out and answer it."""
    handler = ROUTES.get(request.path)
    if handler is None:
        return NOT_FOUND
    try:
        _refuse_crowd(world, request.path)
        return handler(world, request)
    except Refused as refused:
        return refusal(refused, hint=world.hint(), ip=request.ip)


def note_refused(world: World, request: HttpRequest) -> None:
    """Note in the path's state that a fault rule refused this call."""
    note = ON_REFUSED_ELSEWHERE.get(request.path)
    if note is not None:
        note(world, request)


def _refuse_crowd(world: World, path: str) -> None:
    most = world.settings.limits.concurrent_calls
    if most and world.in_flight[path] > most:
        raise Refused(45033)


def answered(world: World, call: LoggedCall, action: FaultAction | None) -> HttpAnswer | None:
    """Let the call take effect unless the rule says otherwise; returns the answer to give, None for none."""
    own = answer(world, call.request) if action is None or action.applies else None
    if action is not None:
        own = _instead(world, call.request, action) or own
    _forget_upload(call)
    return own


def latency(world: World, path: str, action: FaultAction | None) -> float:
    """How long the answer waits, in seconds."""
    delay = action.delay if action is not None and action.delay is not None else 0.0
    return delay + world.settings.latency_by_path.get(path, world.settings.latency_s)


def _instead(world: World, request: HttpRequest, action: FaultAction) -> HttpAnswer | None:
    if action.status is not None:
        return HttpAnswer(action.body.encode(), status=action.status, headers=action.headers)
    if action.answer is None:
        return None
    if not action.applies:
        note_refused(world, request)
    return _faked(world, request, action.answer)


def _faked(world: World, request: HttpRequest, answer: FakedAnswer) -> HttpAnswer:
    code, errmsg = answer.errcode, answer.errmsg
    if request.path in YOUDU_ROUTES:
        return youdu.said(code, youdu.reason(code) if errmsg is None else errmsg)
    if errmsg is None:
        reason = REASONS.get(code, "invalid parameter")
        errmsg = f"{reason}, hint: [{world.hint()}], from ip: {request.ip}, {MORE_INFO}{code}" if code else "ok"
    return coded(code, errmsg, answer.fields())


def _forget_upload(call: LoggedCall) -> None:
    """The log keeps a summary of a file, not the file."""
    content_type = call.request.headers.get("content-type", "")
    if content_type.startswith("multipart/"):
        upload = media_part(content_type, call.request.body, name=None)
        call.upload = upload.summary() if upload else {"size": len(call.request.body)}
        call.request.body = b""
