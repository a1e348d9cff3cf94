"""The calls of the server: each is opened from its envelope and carried out.

Does not know HTTP.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from worker_simulator.answers import HttpAnswer
from worker_simulator.request import HttpRequest, Json
from worker_simulator.settings.youdu import YouduSettings
from worker_simulator.youdu import media
from worker_simulator.youdu.envelope import LEGACY, Call, YouduRefused, answered, opened, said
from worker_simulator.youdu.people import ReachedAccounts, is_known, reach
from worker_simulator.youdu.rules import MSGTYPES, POP_WINDOW, YouduFindings, fields, shown

if TYPE_CHECKING:
    from worker_simulator.world import World

Handler = Callable[["World", HttpRequest], HttpAnswer]
ROLE_OF = {"sysMsg": "sysmsg", "sms": "sms", "mail": "mail"}


def gettoken(world: "World", request: HttpRequest) -> HttpAnswer:
    """Answer gettoken (c01_00002): the time in seconds, encrypted; a new token each time."""
    call, settings = opened(world, request, with_token=False), world.settings.youdu
    if settings.timestamp_window_s:
        _check_time(call.plain, world.clock.now(), settings)
    value = world.youdu.tokens.issue(call.app, settings)
    return answered(call, settings, {"accessToken": value, "expireIn": int(settings.token_lifetime_s)})


def send(world: "World", request: HttpRequest) -> HttpAnswer:
    """msg/send (c01_00003): the answer has no id and no list; only errmsg names unknown accounts, by the settings."""
    call, settings = opened(world, request), world.settings.youdu
    body = call.json()
    msgtype = body.get("msgType")
    if msgtype not in MSGTYPES:
        raise YouduRefused(settings.body_code)
    call.may(_may_send(call, str(msgtype), settings))
    found = YouduFindings(settings)
    content = shown(str(msgtype), body, found)
    reached = reach(body, settings, to_all=msgtype == "sysMsg", emails=msgtype == "mail")
    _note_unknown(world, request, reached)
    for _, media_id in found.media:
        world.youdu.media.find(call.app, media_id, settings)
    _refuse_all(reached, settings)
    world.youdu.deliver(call.app.appid, str(msgtype), content, found.altered, list(reached.people), request.seq)
    return _answer(reached, settings)


def pop_window(world: "World", request: HttpRequest) -> HttpAnswer:
    """Answer popwindow (c01_00006), in the old envelope."""
    call, settings = opened(world, request, names=LEGACY), world.settings.youdu
    body = call.json()
    call.may(call.app.role == "message")
    window = fields("popWindow", body.get("popWindow"), POP_WINDOW, YouduFindings(settings))
    if not (window.get("url") or window.get("tip")):
        raise YouduRefused(settings.body_code)
    if window.get("url"):
        window.pop("tip", None)
    reached = reach(body, settings)
    _note_unknown(world, request, reached)
    _refuse_all(reached, settings)
    world.youdu.pop_up(call.app.appid, window, list(reached.people), request.seq)
    return _answer(reached, settings)


def set_badge(world: "World", request: HttpRequest) -> HttpAnswer:
    """set.ent.notice (c01_00005), in the old envelope: the count at one account."""
    call, settings = opened(world, request, names=LEGACY), world.settings.youdu
    body = call.json()
    call.may(call.app.role == "message")
    account, count = _badge(body, settings)
    if not is_known(account, settings):
        raise YouduRefused(200007, _named([account], settings))
    world.youdu.set_badge(call.app.appid, account.lower(), count, body.get("tip"), request.seq)
    return said(0)


def _check_time(plain: bytes, now: float, settings: YouduSettings) -> None:
    if not plain.isdigit() or abs(int(plain) - now) > settings.timestamp_window_s:
        raise YouduRefused(100003)


def _may_send(call: Call, msgtype: str, settings: YouduSettings) -> bool:
    role = ROLE_OF.get(msgtype, "message")
    return call.app.role == role or (role == "sms" and call.app.role == "message" and settings.sms_by_message_app)


def _note_unknown(world: "World", request: HttpRequest, reached: ReachedAccounts) -> None:
    if reached.unknown:
        world.rulings.note(request.seq, "unknown", toUser="|".join(reached.unknown))


def _refuse_all(reached: ReachedAccounts, settings: YouduSettings) -> None:
    if reached.unknown and settings.invalid_users == "strict":
        raise YouduRefused(200007, _named(reached.unknown, settings))


def _answer(reached: ReachedAccounts, settings: YouduSettings) -> HttpAnswer:
    """The answer of a server that delivers to known accounts and may name the unknown ones."""
    match settings.invalid_users if reached.unknown else "silent":
        case "partial":
            return said(0, _named(reached.unknown, settings))
        case "partial-error":
            return said(200007, _named(reached.unknown, settings))
    return said(0)


def _named(accounts: list[str], settings: YouduSettings) -> str:
    return settings.invalid_text.replace("{users}", settings.invalid_separator.join(accounts))


def _badge(body: Json, settings: YouduSettings) -> tuple[str, int]:
    account, count = body.get("account"), body.get("count")
    if not isinstance(account, str) or not account or isinstance(count, bool) or not isinstance(count, int):
        raise YouduRefused(settings.body_code)
    return account, count


def _guarded(handler: Handler) -> Handler:
    """A handler whose YouduRefused becomes this server's answer."""

    def answer(world: "World", request: HttpRequest) -> HttpAnswer:
        try:
            return handler(world, request)
        except YouduRefused as refusal:
            return said(refusal.code, refusal.errmsg)

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
