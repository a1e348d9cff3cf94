"""The control API under `/_control/`: look at what happened, break calls, move the clock.

Does not know sockets. Control is never broken, delayed or logged.
"""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from worker_simulator.answers import HttpAnswer, Refused, as_json
from worker_simulator.request import HttpRequest
from worker_simulator.settings import SimulatorSettings
from worker_simulator.wecom_app.calls.events import ACTS as APP_ACTS, Press, press
from worker_simulator.wecom_external.acts import ACTS as EXTERNAL_ACTS
from worker_simulator.wecom_suite.handlers import ACTS as SUITE_ACTS
from worker_simulator.wecom_webhook.events import ACTS as WEBHOOK_ACTS
from worker_simulator.wire.faults import FaultRule
from worker_simulator.world import Controlled, World
from worker_simulator.youdu.events import ACTS as YOUDU_ACTS

PREFIX = "/_control/"
RULES = TypeAdapter(list[FaultRule])


class ClockChange(BaseModel):
    """A move of the clock."""

    model_config = ConfigDict(extra="forbid")

    advance_s: float = 0.0
    set: float | None = None
    frozen: bool | None = None


class TokenChange(BaseModel):
    """Tokens to expire or revoke: one, or `all`."""

    model_config = ConfigDict(extra="forbid")

    expire: str | None = None
    revoke: str | None = None


class Expiry(BaseModel):
    """Ids that end at once: one, or `all`."""

    model_config = ConfigDict(extra="forbid")

    media_id: str | None = None
    response_code: str | None = None
    msgid: str | None = None


class ChatDissolved(BaseModel):
    """A group chat that its owner dissolves."""

    model_config = ConfigDict(extra="forbid")

    dissolve: str


class AppNamed(BaseModel):
    """An app of the settings."""

    model_config = ConfigDict(extra="forbid")

    corpid: str
    agentid: int


def answer(simulator: Controlled, request: HttpRequest) -> HttpAnswer:
    """Carry out a control call; 400 says what is wrong with it, 404 that there is no such call."""
    act = ACTS.get((request.method, request.path.removeprefix(PREFIX)))
    if act is None:
        return as_json({"error": f"no {request.method} {request.path}; there are {_known()}"}, status=404)
    simulator.world.controlled += request.method != "GET"
    try:
        return as_json(act(simulator, request))
    except (ValidationError, ValueError, Refused) as error:
        return as_json({"error": str(error)}, status=400)


def _known() -> str:
    return ", ".join(f"{method} {PREFIX}{name}" for method, name in ACTS)


def _body(request: HttpRequest) -> Any:
    return request.json() if request.body else {}


def _calls(simulator: Controlled, request: HttpRequest) -> Any:
    query = request.query
    return {"calls": simulator.world.calls.shown(query.get("path"), int(query.get("since", "0")))}


def _counts(simulator: Controlled, request: HttpRequest) -> Any:
    return {"counts": simulator.world.calls.counts()}


def _inbox(simulator: Controlled, request: HttpRequest) -> Any:
    user, inbox = request.query.get("user"), simulator.world.inbox
    return {"people": inbox.everybody()} if user is None else {"user": user, "messages": inbox.of(user)}


def _clear_inbox(simulator: Controlled, request: HttpRequest) -> Any:
    simulator.world.inbox.clear()
    return {}


def _violations(simulator: Controlled, request: HttpRequest) -> Any:
    duplicates = simulator.world.inbox.duplicates(request.query.get("marker"))
    return {**simulator.world.limits.shown(), "duplicates": duplicates}


def _faults(simulator: Controlled, request: HttpRequest) -> Any:
    return {"rules": simulator.world.faults.shown()}


def _add_faults(simulator: Controlled, request: HttpRequest) -> Any:
    body = _body(request)
    simulator.world.faults.add(RULES.validate_python(body if isinstance(body, list) else [body]))
    return _faults(simulator, request)


def _clear_faults(simulator: Controlled, request: HttpRequest) -> Any:
    simulator.world.faults.clear()
    return _faults(simulator, request)


def _clock(simulator: Controlled, request: HttpRequest) -> Any:
    clock = simulator.world.clock
    return {"now": clock.now(), "frozen": clock.frozen}


def _move_clock(simulator: Controlled, request: HttpRequest) -> Any:
    change, clock = ClockChange.model_validate(_body(request)), simulator.world.clock
    clock.advance(change.advance_s)
    if change.set is not None or change.frozen is not None:
        now = change.set if change.set is not None else clock.now()
        clock.set(now, frozen=bool(change.frozen))
    return _clock(simulator, request)


def _tokens(simulator: Controlled, request: HttpRequest) -> Any:
    change, apps = TokenChange.model_validate(_body(request)), simulator.world.apps
    return {
        "expired": apps.expire(change.expire) if change.expire else 0,
        "revoked": apps.revoke(change.revoke) if change.revoke else 0,
    }


def _expire(simulator: Controlled, request: HttpRequest) -> Any:
    """End ids as if their time were over; the clock and the tokens stay as they are."""
    ended, world = Expiry.model_validate(_body(request)), simulator.world
    return {
        "media_ids": world.expire_media(ended.media_id) if ended.media_id else 0,
        "response_codes": world.sent.expire_codes(ended.response_code) if ended.response_code else 0,
        "msgids": world.sent.expire_msgids(ended.msgid) if ended.msgid else 0,
    }


def _chats(simulator: Controlled, request: HttpRequest) -> Any:
    return {"chats": simulator.world.chats.shown()}


def _dissolve(simulator: Controlled, request: HttpRequest) -> Any:
    chatid = ChatDissolved.model_validate(_body(request)).dissolve
    return {"dissolved": simulator.world.chats.dissolve(chatid)}


def _settings(simulator: Controlled, request: HttpRequest) -> Any:
    return simulator.world.settings.model_dump()


def _merge_settings(simulator: Controlled, request: HttpRequest) -> Any:
    changes = _body(request)
    if not isinstance(changes, dict):
        raise ValueError("settings are an object, nested as GET shows them")  # noqa: TRY004  # a 400, not a bug
    simulator.world.settings.merge(changes)
    return _settings(simulator, request)


def _press(simulator: Controlled, request: HttpRequest) -> Any:
    """Press a button of a card; the event is sent in the background, and `callbacks` shows what became of it."""
    given, world = Press.model_validate(_body(request)), simulator.world
    pressed = press(world, given)
    about = {
        "person": given.person,
        "key": given.key,
        "response_code": pressed.response_code,
        "agentid": pressed.message.agentid,
        "seq": pressed.message.seq,
    }
    return world.callbacks.send(world.apps.settings_of(pressed.message.app), pressed.xml, about).shown()


def _verify(simulator: Controlled, request: HttpRequest) -> Any:
    change, world = AppNamed.model_validate(_body(request)), simulator.world
    return world.callbacks.verify(world.apps.configured(change.corpid, change.agentid)).shown()


def _callbacks(simulator: Controlled, request: HttpRequest) -> Any:
    return {"callbacks": simulator.world.callbacks.shown()}


def _reset(simulator: Controlled, request: HttpRequest) -> Any:
    given = _body(request).get("settings")
    settings = simulator.world.settings if given is None else SimulatorSettings.model_validate(given)
    simulator.world = World(settings)
    return _settings(simulator, request)


ACTS: dict[tuple[str, str], Callable[[Controlled, HttpRequest], Any]] = {
    ("GET", "calls"): _calls,
    ("GET", "counts"): _counts,
    ("GET", "inbox"): _inbox,
    ("DELETE", "inbox"): _clear_inbox,
    ("GET", "violations"): _violations,
    ("GET", "faults"): _faults,
    ("POST", "faults"): _add_faults,
    ("DELETE", "faults"): _clear_faults,
    ("GET", "clock"): _clock,
    ("POST", "clock"): _move_clock,
    ("POST", "tokens"): _tokens,
    ("POST", "expire"): _expire,
    ("GET", "chats"): _chats,
    ("POST", "chats"): _dissolve,
    ("GET", "settings"): _settings,
    ("POST", "settings"): _merge_settings,
    ("POST", "press"): _press,
    ("POST", "verify"): _verify,
    ("GET", "callbacks"): _callbacks,
    ("POST", "reset"): _reset,
    **APP_ACTS,
    **WEBHOOK_ACTS,
    **EXTERNAL_ACTS,
    **SUITE_ACTS,
    **YOUDU_ACTS,
}
