"""The control API under `/_control/`: reads calls and messages, adds faults, moves the clock, changes settings.

Control calls are never delayed, broken by a fault, or logged.
"""

import re
from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter, ValidationError

from worker_simulator.answers import HttpAnswer, Refused, json_answer
from worker_simulator.request import ControlBody, HttpRequest
from worker_simulator.settings import SimulatorSettings
from worker_simulator.vendor_state import StateHolder, VendorState
from worker_simulator.wecom_app.calls.events import CONTROL_ROUTES as APP_ROUTES, Press, press
from worker_simulator.wecom_external.control import CONTROL_ROUTES as EXTERNAL_ROUTES
from worker_simulator.wecom_suite.handlers import CONTROL_ROUTES as SUITE_ROUTES
from worker_simulator.wecom_webhook.events import CONTROL_ROUTES as WEBHOOK_ROUTES
from worker_simulator.wire.faults import FaultRule
from worker_simulator.youdu.events import CONTROL_ROUTES as YOUDU_ROUTES

PREFIX = "/_control/"
RULES = TypeAdapter(list[FaultRule])


class ClockChange(ControlBody):
    """How to move the clock."""

    advance_s: float = 0.0
    set: float | None = None
    frozen: bool | None = None


class TokenChange(ControlBody):
    """The access token to expire, and the one to revoke: a token, or `all`."""

    expire: str | None = None
    revoke: str | None = None


class ExpiredIds(ControlBody):
    """The ids to expire now: one id each, or `all`."""

    media_id: str | None = None
    response_code: str | None = None
    msgid: str | None = None


class DissolvedChat(ControlBody):
    """The group chat that its owner dissolves."""

    dissolve: str


class Reset(ControlBody):
    """A new, empty state. `settings` replace the current ones, which stay if it is None."""

    settings: SimulatorSettings | None = None


class AppId(ControlBody):
    """An app of the settings."""

    corpid: str
    agentid: int


def answer(simulator: StateHolder, request: HttpRequest) -> HttpAnswer:
    """Answers a control call. Returns 400 with the problem of a wrong call, and 404 for an unknown one."""
    handler = CONTROL_ROUTES.get((request.method, request.path.removeprefix(PREFIX)))
    if handler is None:
        return json_answer({"error": f"no {request.method} {request.path}; there are {_paths()}"}, status=404)
    simulator.state.control_calls += request.method != "GET"
    try:
        return json_answer(handler(simulator, request))
    except (ValidationError, ValueError, RecursionError, re.error, Refused) as error:
        return json_answer({"error": str(error)}, status=400)


def _paths() -> str:
    return ", ".join(f"{method} {PREFIX}{name}" for method, name in CONTROL_ROUTES)


def _body(request: HttpRequest) -> Any:
    return request.json() if request.body else {}


def _calls(simulator: StateHolder, request: HttpRequest) -> Any:
    query = request.query
    return {"calls": simulator.state.calls.to_json(query.get("path"), int(query.get("since", "0")))}


def _counts(simulator: StateHolder, request: HttpRequest) -> Any:
    return {"counts": simulator.state.calls.counts()}


def _inbox(simulator: StateHolder, request: HttpRequest) -> Any:
    user, inbox = request.query.get("user"), simulator.state.inbox
    return {"people": inbox.everyone()} if user is None else {"user": user, "messages": inbox.messages_of(user)}


def _clear_inbox(simulator: StateHolder, request: HttpRequest) -> Any:
    simulator.state.inbox.clear()
    return {}


def _violations(simulator: StateHolder, request: HttpRequest) -> Any:
    duplicates = simulator.state.inbox.duplicates(request.query.get("marker"))
    return {**simulator.state.limits.to_json(), "duplicates": duplicates}


def _faults(simulator: StateHolder, request: HttpRequest) -> Any:
    return {"rules": simulator.state.faults.to_json()}


def _add_faults(simulator: StateHolder, request: HttpRequest) -> Any:
    body = _body(request)
    simulator.state.faults.add(RULES.validate_python(body if isinstance(body, list) else [body]))
    return _faults(simulator, request)


def _clear_faults(simulator: StateHolder, request: HttpRequest) -> Any:
    simulator.state.faults.clear()
    return _faults(simulator, request)


def _clock(simulator: StateHolder, request: HttpRequest) -> Any:
    clock = simulator.state.clock
    return {"now": clock.now(), "frozen": clock.frozen}


def _move_clock(simulator: StateHolder, request: HttpRequest) -> Any:
    change, clock = ClockChange.read(request), simulator.state.clock
    clock.advance(change.advance_s)
    if change.set is not None or change.frozen is not None:
        now = change.set if change.set is not None else clock.now()
        clock.set(now, frozen=bool(change.frozen))
    return _clock(simulator, request)


def _change_tokens(simulator: StateHolder, request: HttpRequest) -> Any:
    change, apps = TokenChange.read(request), simulator.state.apps
    return {
        "expired": apps.expire(change.expire) if change.expire else 0,
        "revoked": apps.revoke(change.revoke) if change.revoke else 0,
    }


def _expire(simulator: StateHolder, request: HttpRequest) -> Any:
    """Expires ids as if their time had passed. The clock and the access tokens stay as they are."""
    ids, state = ExpiredIds.read(request), simulator.state
    return {
        "media_ids": state.expire_media(ids.media_id) if ids.media_id else 0,
        "response_codes": state.sent.expire_codes(ids.response_code) if ids.response_code else 0,
        "msgids": state.sent.expire_msgids(ids.msgid) if ids.msgid else 0,
    }


def _chats(simulator: StateHolder, request: HttpRequest) -> Any:
    return {"chats": simulator.state.chats.to_json()}


def _dissolve(simulator: StateHolder, request: HttpRequest) -> Any:
    chatid = DissolvedChat.read(request).dissolve
    return {"dissolved": simulator.state.chats.dissolve(chatid)}


def _settings(simulator: StateHolder, request: HttpRequest) -> Any:
    return simulator.state.settings.model_dump()


def _merge_settings(simulator: StateHolder, request: HttpRequest) -> Any:
    changes = _body(request)
    if not isinstance(changes, dict):
        raise ValueError("settings are an object, nested as GET shows them")  # noqa: TRY004  # a 400, not a bug
    simulator.state.settings.merge(changes)
    return _settings(simulator, request)


def _press(simulator: StateHolder, request: HttpRequest) -> Any:
    """Presses a button of a card. The event is sent in the background; `callbacks` shows its result."""
    action, state = Press.read(request), simulator.state
    message, xml, code = press(state, action)
    about = {
        "person": action.person,
        "key": action.key,
        "response_code": code,
        "agentid": message.agentid,
        "seq": message.seq,
    }
    return state.callbacks.send(state.apps.settings_of(message.app), xml, about).to_json()


def _verify(simulator: StateHolder, request: HttpRequest) -> Any:
    app, state = AppId.read(request), simulator.state
    return state.callbacks.verify(state.apps.configured(app.corpid, app.agentid)).to_json()


def _callbacks(simulator: StateHolder, request: HttpRequest) -> Any:
    return {"callbacks": simulator.state.callbacks.to_json()}


def _reset(simulator: StateHolder, request: HttpRequest) -> Any:
    simulator.state = VendorState(Reset.read(request).settings or simulator.state.settings)
    return _settings(simulator, request)


CONTROL_ROUTES: dict[tuple[str, str], Callable[[StateHolder, HttpRequest], Any]] = {
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
    ("POST", "tokens"): _change_tokens,
    ("POST", "expire"): _expire,
    ("GET", "chats"): _chats,
    ("POST", "chats"): _dissolve,
    ("GET", "settings"): _settings,
    ("POST", "settings"): _merge_settings,
    ("POST", "press"): _press,
    ("POST", "verify"): _verify,
    ("GET", "callbacks"): _callbacks,
    ("POST", "reset"): _reset,
    **APP_ROUTES,
    **WEBHOOK_ROUTES,
    **EXTERNAL_ROUTES,
    **SUITE_ROUTES,
    **YOUDU_ROUTES,
}
