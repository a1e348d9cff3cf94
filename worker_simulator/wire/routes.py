"""The vendor's paths in one table, and the way from a request to its answer.

Does not know how bytes travel and what a handler does.
"""

from collections.abc import Callable

from worker_simulator.answers import HttpAnswer, Refused, refusal
from worker_simulator.request import HttpRequest
from worker_simulator.wecom_app.calls import handlers, messages
from worker_simulator.wecom_external.calls.handlers import ROUTES as EXTERNAL_ROUTES
from worker_simulator.wecom_suite.calls.handlers import ROUTES as SUITE_ROUTES
from worker_simulator.wecom_webhook.calls.handlers import ROUTES as WEBHOOK_ROUTES
from worker_simulator.world import World
from worker_simulator.youdu.calls.handlers import ROUTES as YOUDU_ROUTES

Handler = Callable[[World, HttpRequest], HttpAnswer]

ROUTES: dict[str, Handler] = {
    "/cgi-bin/gettoken": handlers.gettoken,
    "/cgi-bin/agent/get": handlers.get_agent,
    "/cgi-bin/message/send": messages.send,
    "/cgi-bin/message/recall": handlers.recall,
    "/cgi-bin/message/update_template_card": handlers.update_template_card,
    "/cgi-bin/media/upload": handlers.upload,
    "/cgi-bin/media/uploadimg": handlers.uploadimg,
    "/cgi-bin/appchat/create": handlers.create_chat,
    "/cgi-bin/appchat/update": handlers.update_chat,
    "/cgi-bin/appchat/get": handlers.get_chat,
    "/cgi-bin/appchat/send": handlers.send_to_chat,
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
