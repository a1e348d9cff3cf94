"""What becomes of a whole vendor call: the vendor's own answer, or what a fault rule puts in its place.

Does not know sockets.
"""

from worker_simulator.answers import MORE_INFO, REASONS, HttpAnswer, coded
from worker_simulator.request import HttpRequest
from worker_simulator.wire import routes
from worker_simulator.wire.call_log import LoggedCall
from worker_simulator.wire.faults import FakedAnswer, FaultAction
from worker_simulator.wire.multipart import media_part
from worker_simulator.world import World
from worker_simulator.youdu.calls import refused as youdu
from worker_simulator.youdu.calls.handlers import ROUTES as YOUDU_ROUTES


def answered(world: World, call: LoggedCall, action: FaultAction | None) -> HttpAnswer | None:
    """Let the call take effect unless the rule says otherwise; returns the answer to give, None for none."""
    answer = routes.answer(world, call.request) if action is None or action.applies else None
    if action is not None:
        answer = _instead(world, call.request, action) or answer
    _forget_upload(call)
    return answer


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
        routes.note_refused(world, request)
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
