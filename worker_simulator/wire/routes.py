"""The table of the vendor's paths. Answers a call by its handler, or by the fault rule that matches it."""

import warnings
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import entry_points

from worker_simulator.answers import MORE_INFO, REASONS, HttpAnswer, Refused, answer_with_code, refusal
from worker_simulator.request import HttpRequest
from worker_simulator.vendor_state import VendorState
from worker_simulator.wecom_app.calls import cards, chat_messages, chats, handlers, messages
from worker_simulator.wecom_external.handlers import ROUTES as EXTERNAL_ROUTES
from worker_simulator.wecom_suite.handlers import ROUTES as SUITE_ROUTES
from worker_simulator.wecom_webhook.handlers import ROUTES as WEBHOOK_ROUTES
from worker_simulator.wire.call_log import LoggedCall
from worker_simulator.wire.faults import FakedAnswer, FaultAction
from worker_simulator.wire.reader import media_part
from worker_simulator.youdu import answer as youdu
from worker_simulator.youdu.handlers import ROUTES as YOUDU_ROUTES

Handler = Callable[[VendorState, HttpRequest], HttpAnswer]

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

GROUP = "worker_simulator.vendors"
"""The group of entry points with which a package adds the paths of another vendor: the value of each names a mapping
of paths to handlers. It changes none of the paths here."""

ON_FAULT_REFUSAL: dict[str, Callable[[VendorState, HttpRequest, int], None]] = {
    "/cgi-bin/message/send": messages.record_refused
}
"""Path -> what to do when a fault rule refuses the call in place of its handler."""

NOT_FOUND = HttpAnswer(b"404 page not found\n", status=404, headers={"Content-Type": "text/plain; charset=utf-8"})


@cache
def outside_routes() -> Mapping[str, Handler]:
    """Returns the paths that other packages add. Imports them when a path is called that is not among ours.

    What cannot be imported, and a path that an earlier one has, is left out with a warning.
    """
    found = dict[str, Handler]()
    for point in entry_points(group=GROUP):
        try:
            routes: Mapping[str, Handler] = point.load()
        except Exception as error:  # noqa: BLE001  a package of another author must stop no other vendor
            warnings.warn(f"{GROUP} {point.name}: {type(error).__name__}: {error}; it is left out", stacklevel=2)
            continue
        for path in routes.keys() & found.keys():
            warnings.warn(f"{GROUP} {point.name}: {path} is another package's already; it is left out", stacklevel=2)
        found = {**routes, **found}
    return found


def answer(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Carries out a vendor call and returns its answer."""
    handler = ROUTES.get(request.path) or outside_routes().get(request.path)
    if handler is None:
        return NOT_FOUND
    try:
        _refuse_too_many(state, request.path)
        return handler(state, request)
    except Refused as refused:
        return refusal(refused, hint=state.hint(), ip=request.ip)


def record_refused(state: VendorState, request: HttpRequest, code: int) -> None:
    """Records a call that a fault rule refused with this code, for the duplicate check."""
    record = ON_FAULT_REFUSAL.get(request.path)
    if record is not None:
        record(state, request, code)


def _refuse_too_many(state: VendorState, path: str) -> None:
    limit = state.settings.limits.concurrent_calls
    if limit and state.in_flight[path] > limit:
        raise Refused(45033)


def carry_out(state: VendorState, call: LoggedCall, action: FaultAction | None) -> HttpAnswer | None:
    """Carries out the call unless the fault rule prevents it. Returns the answer to send, or None if there is none."""
    result = answer(state, call.request) if action is None or action.applies else None
    if action is not None:
        result = _fault_answer(state, call.request, action) or result
    _forget_upload(call)
    return result


def latency(state: VendorState, path: str, action: FaultAction | None) -> float:
    """Returns the seconds to wait before the answer is sent."""
    delay = action.delay if action is not None and action.delay is not None else 0.0
    return delay + state.settings.latency_by_path.get(path, state.settings.latency_s)


def _fault_answer(state: VendorState, request: HttpRequest, action: FaultAction) -> HttpAnswer | None:
    if action.status is not None:
        return HttpAnswer(action.body.encode(), status=action.status, headers=action.headers)
    if action.answer is None:
        return None
    if not action.applies:
        record_refused(state, request, action.answer.errcode)
    return _vendor_answer(state, request, action.answer)


def _vendor_answer(state: VendorState, request: HttpRequest, answer: FakedAnswer) -> HttpAnswer:
    code, errmsg = answer.errcode, answer.errmsg
    if request.path in YOUDU_ROUTES:
        return youdu.reply(code, youdu.reason(code) if errmsg is None else errmsg)
    if errmsg is None:
        reason = REASONS.get(code, "invalid parameter")
        errmsg = f"{reason}, hint: [{state.hint()}], from ip: {request.ip}, {MORE_INFO}{code}" if code else "ok"
    return answer_with_code(code, errmsg, answer.fields())


def _forget_upload(call: LoggedCall) -> None:
    """Replaces an uploaded file in the log by its summary."""
    content_type = call.request.headers.get("content-type", "")
    if content_type.startswith("multipart/"):
        upload = media_part(content_type, call.request.body, name=None)
        call.upload = upload.summary() if upload else {"size": len(call.request.body)}
        call.request.body = b""
