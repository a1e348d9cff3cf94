"""The envelope of every Youdu call. It is checked in a fixed order, and the first error is answered.

JSON, buin, appId, token, encrypt, the JSON inside, and last whether this kind of app may make the call. Any
initialisation vector, leading bytes and further keys are accepted.
"""

import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.crypto.envelope import RANDOM_BYTES, EnvelopeError
from worker.crypto.youdu import YouduEnvelope
from worker_simulator.answers import HttpAnswer
from worker_simulator.request import HttpRequest, Json
from worker_simulator.settings.youdu import YouduApp, YouduSettings
from worker_simulator.vendor_state import VendorState
from worker_simulator.wire.reader import form_fields
from worker_simulator.youdu.answer import YouduRefused, reply

Names = tuple[str, str]
STANDARD: Names = ("appId", "encrypt")
LEGACY: Names = ("app_id", "msg_encrypt")


@dataclass(frozen=True, slots=True)
class Call:
    """A call whose envelope was opened."""

    app: YouduApp
    envelope: YouduEnvelope
    content: bytes

    def json(self) -> Json:
        """Returns the content as an object. Refuses anything else with 100004."""
        try:
            value = json.loads(self.content)
            json.dumps(value, ensure_ascii=False).encode()  # half a character cannot be encoded
        except (ValueError, RecursionError):
            raise YouduRefused(100004) from None
        if not isinstance(value, dict):
            raise YouduRefused(100004)
        return value

    def require(self, allowed: bool) -> None:
        """Refuses the call with 100005 unless this kind of app is allowed to make it."""
        if not allowed:
            raise YouduRefused(100005)


def open_call(state: VendorState, request: HttpRequest, *, with_token: bool = True, names: Names = STANDARD) -> Call:
    """Opens one of the two JSON envelopes. The legacy one has no buin and needs no token."""
    body = _object(request)
    settings = state.settings.youdu
    if names == STANDARD:
        _check_buin(body, settings, lambda value: isinstance(value, int) and not isinstance(value, bool))
    app = _app(body.get(names[0]), settings)
    if with_token and (names == STANDARD or settings.legacy_token == "required"):
        state.youdu.tokens.check(request.query.get("accessToken"), app)
    return _call(app, body.get(names[1]))


def open_upload(state: VendorState, request: HttpRequest) -> Call:
    """Opens the envelope of an upload: form fields, and buin as decimal text."""
    form = form_fields(request.headers.get("content-type", ""), request.body)
    fields = {name: value.decode("utf-8", "replace") for name, value in form.items()}
    settings = state.settings.youdu
    _check_buin(fields, settings, lambda value: bool(re.fullmatch(r"[0-9]{1,18}", str(value))))
    app = _app(fields.get("appId"), settings)
    state.youdu.tokens.check(request.query.get("accessToken"), app)
    return _call(app, fields.get("encrypt"))


def encrypt(call: Call, settings: YouduSettings, value: Any) -> str:
    """Returns a value encrypted with the app's key."""
    appid = call.app.appid if settings.answers_as == "app" else settings.answers_as
    envelope = YouduEnvelope(call.app.aes_key, appid)
    return envelope.seal(json.dumps(value, ensure_ascii=False).encode(), secrets.token_bytes(RANDOM_BYTES))


def encrypted_reply(call: Call, settings: YouduSettings, value: Any) -> HttpAnswer:
    """Returns a success with encrypted data."""
    return reply(0, encrypt=encrypt(call, settings, value))


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
    app = next((candidate for candidate in settings.apps if candidate.appid == appid), None)
    if app is None:
        raise YouduRefused(100005)
    return app


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
