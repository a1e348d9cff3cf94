"""The API calls of the Youdu server."""

from collections.abc import Callable

from worker_simulator.answers import HttpAnswer
from worker_simulator.request import HttpRequest, Json
from worker_simulator.settings.youdu import YouduSettings
from worker_simulator.vendor_state import VendorState
from worker_simulator.youdu import media
from worker_simulator.youdu.answer import YouduRefused, reply
from worker_simulator.youdu.envelope import LEGACY, Call, encrypted_reply, open_call
from worker_simulator.youdu.people import exists, reach
from worker_simulator.youdu.rules import MSGTYPES, POP_WINDOW, YouduFindings, check_content, fields

Handler = Callable[[VendorState, HttpRequest], HttpAnswer]
ROLE_OF = {"sysMsg": "sysmsg", "sms": "sms", "mail": "mail"}


def gettoken(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers gettoken (c01_00002): the content is the encrypted time in seconds. Each call gets a new token."""
    call, settings = open_call(state, request, with_token=False), state.settings.youdu
    if settings.timestamp_window_s:
        _check_time(call.content, state.clock.now(), settings)
    value = state.youdu.tokens.issue(call.app, settings)
    return encrypted_reply(call, settings, {"accessToken": value, "expireIn": int(settings.token_lifetime_s)})


def send(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers msg/send (c01_00003).

    The answer has no id and no list. Depending on the settings, errmsg names unknown accounts.
    """
    call, settings = open_call(state, request), state.settings.youdu
    body = call.json()
    msgtype = body.get("msgType")
    if msgtype not in MSGTYPES:
        raise YouduRefused(settings.body_code)
    call.require(_may_send(call, str(msgtype), settings))
    findings = YouduFindings(settings)
    content = check_content(str(msgtype), body, findings)
    people, unknown = reach(body, settings, to_all=msgtype == "sysMsg", emails=msgtype == "mail")
    _record_unknown(state, request, unknown)
    for _, media_id in findings.media:
        state.youdu.media.find(call.app, media_id, settings)
    _refuse_unknown(unknown, settings)
    state.youdu.deliver(call.app.appid, str(msgtype), content, findings.altered, people, request.seq)
    return _answer(unknown, settings)


def pop_window(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers popwindow (c01_00006), in the legacy envelope."""
    call, settings = open_call(state, request, names=LEGACY), state.settings.youdu
    body = call.json()
    call.require(call.app.role == "message")
    window = fields("popWindow", body.get("popWindow"), POP_WINDOW, YouduFindings(settings))
    if not (window.get("url") or window.get("tip")):
        raise YouduRefused(settings.body_code)
    if window.get("url"):
        window.pop("tip", None)
    people, unknown = reach(body, settings)
    _record_unknown(state, request, unknown)
    _refuse_unknown(unknown, settings)
    state.youdu.pop_up(call.app.appid, window, people, request.seq)
    return _answer(unknown, settings)


def set_badge(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers set.ent.notice (c01_00005), in the legacy envelope: sets the badge count of one account."""
    call, settings = open_call(state, request, names=LEGACY), state.settings.youdu
    body = call.json()
    call.require(call.app.role == "message")
    account, count = _badge(body, settings)
    if not exists(account, settings):
        raise YouduRefused(200007, _unknown_text([account], settings))
    state.youdu.set_badge(call.app.appid, account.lower(), count, body.get("tip"), request.seq)
    return reply(0)


def _check_time(text: bytes, now: float, settings: YouduSettings) -> None:
    if not text.isdigit() or abs(int(text) - now) > settings.timestamp_window_s:
        raise YouduRefused(100003)


def _may_send(call: Call, msgtype: str, settings: YouduSettings) -> bool:
    role = ROLE_OF.get(msgtype, "message")
    return call.app.role == role or (role == "sms" and call.app.role == "message" and settings.sms_by_message_app)


def _record_unknown(state: VendorState, request: HttpRequest, unknown: list[str]) -> None:
    if unknown:
        state.rulings.record(request.seq, "unknown", toUser="|".join(unknown))


def _refuse_unknown(unknown: list[str], settings: YouduSettings) -> None:
    if unknown and settings.invalid_users == "strict":
        raise YouduRefused(200007, _unknown_text(unknown, settings))


def _answer(unknown: list[str], settings: YouduSettings) -> HttpAnswer:
    """Returns the answer of a server that delivers to known accounts and may name the unknown ones."""
    match settings.invalid_users if unknown else "silent":
        case "partial":
            return reply(0, _unknown_text(unknown, settings))
        case "partial-error":
            return reply(200007, _unknown_text(unknown, settings))
    return reply(0)


def _unknown_text(accounts: list[str], settings: YouduSettings) -> str:
    return settings.invalid_text.replace("{users}", settings.invalid_separator.join(accounts))


def _badge(body: Json, settings: YouduSettings) -> tuple[str, int]:
    account, count = body.get("account"), body.get("count")
    if not isinstance(account, str) or not account or isinstance(count, bool) or not isinstance(count, int):
        raise YouduRefused(settings.body_code)
    return account, count


def _guarded(handler: Handler) -> Handler:
    """Returns the handler with YouduRefused turned into an answer."""

    def answer(state: VendorState, request: HttpRequest) -> HttpAnswer:
        try:
            return handler(state, request)
        except YouduRefused as refusal:
            return reply(refusal.code, refusal.errmsg)

    return answer


ROUTES: dict[str, Handler] = {
    path: _guarded(handler)
    for path, handler in {
        "/cgi/gettoken": gettoken,
        "/cgi/msg/send": send,
        "/cgi/media/upload": media.upload,
        "/cgi/media/search": media.search,
        "/cgi/media/get": media.get,
        "/cgi/popwindow": pop_window,
        "/cgi/set.ent.notice": set_badge,
    }.items()
}
