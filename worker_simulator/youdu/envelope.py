"""The envelope of every call, checked in a fixed order; the first thing that is wrong is answered.

JSON, buin, appId, token, encrypt, the JSON inside, and last whether this kind of app may make the call. Does not know
what calls do. Any initialisation vector, any leading bytes and any further keys are taken.
"""

import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.crypto.envelope import RANDOM_BYTES, EnvelopeError
from worker.crypto.youdu import YouduEnvelope
from worker_simulator.answers import HttpAnswer
from worker_simulator.request import HttpRequest, Json
from worker_simulator.settings.youdu import YouduApp, YouduSettings
from worker_simulator.wire.reader import form_fields

if TYPE_CHECKING:
    from worker_simulator.world import World

REASONS = {
    -1: "undefined error",
    3: "no right to the interface",
    100000: "access token empty",
    100001: "access token not exist",
    100002: "access token expired",
    100003: "bad request",
    100004: "bad message format",
    100005: "invalid appId",
    100006: "decrypt failed",
    100008: "buin missing",
    100009: "invalid buin",
    100010: "appId missing",
    100011: "encrypt missing",
    100012: "buin must be int",
    100013: "appId must be string",
    100014: "encrypt must be string",
    200001: "toUser too long",
    200007: "invalid toUser",
    200008: "bad upload form",
    200009: "invalid file type",
    200010: "resource file not exist",
}
"""`invalid buin` and `invalid appId` stand in the documentation; the others are ours."""


class YouduRefused(Exception):
    """The server refuses a call."""

    def __init__(self, code: int, errmsg: str = "") -> None:
        super().__init__(code, errmsg)
        self.code = code
        self.errmsg = errmsg or REASONS.get(code, "error")


def said(code: int, errmsg: str = "ok", encrypt: str | None = None) -> HttpAnswer:
    """An answer, with something encrypted where there is business data."""
    body = {"errcode": code, "errmsg": errmsg} | ({} if encrypt is None else {"encrypt": encrypt})
    return HttpAnswer(json.dumps(body, ensure_ascii=False).encode(), errcode=code)


def reason(code: int) -> str:
    """The text of a code."""
    return "ok" if code == 0 else REASONS.get(code, "error")


Names = tuple[str, str]
STANDARD: Names = ("appId", "encrypt")
LEGACY: Names = ("app_id", "msg_encrypt")


@dataclass(frozen=True, slots=True)
class Call:
    """One call that got through its envelope."""

    app: YouduApp
    envelope: YouduEnvelope
    plain: bytes

    def json(self) -> Json:
        """The content as an object; 100004 when it is none."""
        try:
            value = json.loads(self.plain)
            json.dumps(value, ensure_ascii=False).encode()  # half a character cannot be encoded
        except (ValueError, RecursionError):
            raise YouduRefused(100004) from None
        if not isinstance(value, dict):
            raise YouduRefused(100004)
        return value

    def may(self, allowed: bool) -> None:
        """Refuse a kind of app that may not make this call."""
        if not allowed:
            raise YouduRefused(100005)


def opened(world: "World", request: HttpRequest, *, with_token: bool = True, names: Names = STANDARD) -> Call:
    """A call in one of the two JSON envelopes; the legacy one has no buin and needs no token."""
    body = _object(request)
    settings = world.settings.youdu
    if names == STANDARD:
        _check_buin(body, settings, lambda value: isinstance(value, int) and not isinstance(value, bool))
    app = _app(body.get(names[0]), settings)
    if with_token and (names == STANDARD or settings.legacy_token == "required"):
        world.youdu.tokens.check(request.query.get("accessToken"), app)
    return _call(app, body.get(names[1]))


def opened_form(world: "World", request: HttpRequest) -> Call:
    """An upload's call in its envelope: form fields, and buin as decimal text."""
    form = form_fields(request.headers.get("content-type", ""), request.body)
    fields = {name: value.decode("utf-8", "replace") for name, value in form.items()}
    settings = world.settings.youdu
    _check_buin(fields, settings, lambda value: bool(re.fullmatch(r"[0-9]{1,18}", str(value))))
    app = _app(fields.get("appId"), settings)
    world.youdu.tokens.check(request.query.get("accessToken"), app)
    return _call(app, fields.get("encrypt"))


def sealed(call: Call, settings: YouduSettings, value: Any) -> str:
    """A value encrypted with the app's key."""
    appid = call.app.appid if settings.answers_as == "app" else settings.answers_as
    envelope = YouduEnvelope(call.app.aes_key, appid)
    return envelope.seal(json.dumps(value, ensure_ascii=False).encode(), secrets.token_bytes(RANDOM_BYTES))


def answered(call: Call, settings: YouduSettings, value: Any) -> HttpAnswer:
    """A success that holds something."""
    return said(0, encrypt=sealed(call, settings, value))


def _object(request: HttpRequest) -> Json:
    try:
        body = request.json()
    except (ValueError, RecursionError):
        raise YouduRefused(100004) from None
    if not isinstance(body, dict):
        raise YouduRefused(100004)
    return body


def _check_buin(body: Mapping[str, Any], settings: YouduSettings, is_number: Callable[[Any], bool]) -> None:
    if "buin" not in body:
        raise YouduRefused(100008)
    if not is_number(body["buin"]):
        raise YouduRefused(100012)
    if int(body["buin"]) != settings.buin:
        raise YouduRefused(100009)


def _app(appid: Any, settings: YouduSettings) -> YouduApp:
    if appid is None or appid == "":
        raise YouduRefused(100010)
    if not isinstance(appid, str):
        raise YouduRefused(100013)
    found = next((app for app in settings.apps if app.appid == appid), None)
    if found is None:
        raise YouduRefused(100005)
    return found


def _call(app: YouduApp, encrypt: Any) -> Call:
    if encrypt is None or encrypt == "":
        raise YouduRefused(100011)
    if not isinstance(encrypt, str):
        raise YouduRefused(100014)
    envelope = YouduEnvelope(app.aes_key, app.appid)
    try:
        return Call(app, envelope, envelope.open(encrypt))
    except EnvelopeError:
        raise YouduRefused(100006) from None
