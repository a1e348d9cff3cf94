"""Turns the forms of the page into control calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl

from worker_simulator import control
from worker_simulator.inbox.conversations import Conversations, place_of
from worker_simulator.inbox.query import ConversationKey
from worker_simulator.request import HttpRequest, Json
from worker_simulator.settings import AppSettings, SettingsGroup, WebhookKey
from worker_simulator.vendor_state import StateHolder, VendorState
from worker_simulator.wecom_app.state.inbox import InboxMessage

CHOICE = "choice:"
Method = Literal["POST", "DELETE"]


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a submitted form. Each is there once, except the choices of a card."""

    pairs: list[tuple[str, str]]

    @classmethod
    def of(cls, request: HttpRequest) -> Form:
        """Returns the fields of a form. Raises ValueError if it is not a form."""
        if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            raise ValueError("a page sends its forms as application/x-www-form-urlencoded")
        text = request.body.decode("utf-8", "replace")
        return cls(parse_qsl(text, keep_blank_values=True, max_num_fields=500))

    def get(self, name: str) -> str:
        """Returns the last value of a field, or an empty text."""
        return next((value for key, value in reversed(self.pairs) if key == name), "")

    def choices(self) -> dict[str, list[str]]:
        """Returns the chosen options by question."""
        choices: dict[str, list[str]] = {}
        for name, value in self.pairs:
            if name.startswith(CHOICE) and value:
                choices.setdefault(name.removeprefix(CHOICE), []).append(value)
        return choices


@dataclass(frozen=True, slots=True)
class ControlCall:
    """A control call: its name, its body and its method."""

    name: str
    body: Any = None
    method: Method = "POST"


@dataclass(frozen=True, slots=True)
class ActionResult:
    """Whether an action succeeded."""

    ok: bool
    error: str = ""
    """The error of the control call, if it failed."""


def carry_out(simulator: StateHolder, conversations: Conversations, name: str, form: Form) -> ActionResult | None:
    """Runs the action of a form as a control call. Returns None if there is no such action."""
    action = ACTIONS.get(name)
    if action is None:
        return None
    try:
        call = action(FormAction(simulator.state, conversations, form))
    except ValueError as error:
        return ActionResult(False, str(error))
    body = b"" if call.body is None else json.dumps(call.body).encode()
    answer = control.answer(simulator, HttpRequest(call.method, f"{control.PREFIX}{call.name}", {}, body=body))
    return ActionResult(answer.status == 200, "" if answer.status == 200 else str(json.loads(answer.body)["error"]))


@dataclass(frozen=True, slots=True)
class FormAction:
    """A submitted form, and the state that it is carried out on."""

    state: VendorState
    conversations: Conversations
    form: Form

    @property
    def at(self) -> ConversationKey:
        """The conversation that the form belongs to."""
        key = ConversationKey.parsed(self.form.get("at"))
        if key is None:
            raise ValueError("the form names no conversation")
        return key


# -- what people do ----------------------------------------------------------------------------------------------------


def _card(action: FormAction) -> ControlCall:
    names = ("person", "msgid", "key")
    return ControlCall("press", {name: action.form.get(name) for name in names} | {"selected": action.form.choices()})


def _click(action: FormAction) -> ControlCall:
    about = {name: action.form.get(name) for name in ("key", "chat", "person")}
    return ControlCall("webhook", {"act": "click", "name": action.form.get("click"), **about})


def _campaign(action: FormAction) -> ControlCall:
    about = {name: action.form.get(name) for name in ("msgid", "member")}
    return ControlCall("groupmsg_ignore" if action.form.get("ignore") else "groupmsg_confirm", about)


def _write(action: FormAction) -> ControlCall:
    text = action.form.get("text").strip()
    if not text:
        raise ValueError("text: there is nothing to send")
    return _member_action(action, "message", text=text)


def _open(action: FormAction) -> ControlCall:
    return _member_action(action, {"app": "enter_agent", "webhook": "enter_chat"}.get(action.at.kind, "open"))


def _join(action: FormAction) -> ControlCall:
    return _member_action(action, "add")


def _leave(action: FormAction) -> ControlCall:
    return _member_action(action, "delete")


def _member_action(action: FormAction, act: str, **fields: str) -> ControlCall:
    """Returns the control call for what a member does in an app, a chat or a Youdu app."""
    at, person = action.at, action.form.get("person")
    match at.kind:
        case "app":
            corpid, agentid = _app(at)
            return ControlCall("app", {"act": act, "corpid": corpid, "agentid": agentid, "person": at.who, **fields})
        case "webhook":
            return ControlCall(
                "webhook", {"act": act, "key": action.form.get("key"), "chat": at.who, "person": person, **fields}
            )
        case "youdu":
            return ControlCall("youdu_app", {"act": act, "appid": at.place, "person": at.who, **fields})
    raise ValueError("a conversation of this kind has no callbacks")


def _app(at: ConversationKey) -> tuple[str, int]:
    corpid, _, agentid = at.place.rpartition("/")
    if not agentid.isdecimal():
        raise ValueError("the app has no agentid: name it in the settings, with a callback_url")
    return corpid, int(agentid)


# -- the vendor --------------------------------------------------------------------------------------------------------

PRESETS: Mapping[str, Json] = {
    "busy": {"answer": {"errcode": -1}},
    "freq": {"answer": {"errcode": 45009}},
    "token": {"answer": {"errcode": 42001}},
    "502": {"status": 502},
    "hang": {"hang": 30},
    "delay": {"delay": 5},
    "cut": {"cut_response_after": 10},
    "reset": {"reset_request_after": 100},
    "drip": {"drip": {"bytes": 1, "every_s": 0.5}},
}
"""Fault actions by their name in the form."""


def _faults(action: FormAction) -> ControlCall:
    rule = action.form.get("rule").strip()
    if rule:
        return ControlCall("faults", _parsed(rule, "rule"))
    fault = PRESETS.get(action.form.get("preset"))
    if fault is None:
        raise ValueError(f"preset: one of {', '.join(PRESETS)}")
    path, nth, times = action.form.get("path"), action.form.get("nth"), action.form.get("times")
    match = ({"path": path} if path else {}) | ({"nth": _integer(nth, "nth")} if nth else {})
    return ControlCall(
        "faults", {"match": match, "action": fault, **({"times": _integer(times, "times")} if times else {})}
    )


def _clear_faults(action: FormAction) -> ControlCall:
    return ControlCall("faults", method="DELETE")


def _tokens(action: FormAction) -> ControlCall:
    return ControlCall("tokens", {"revoke" if action.form.get("end") == "revoke" else "expire": "all"})


def _clock(action: FormAction) -> ControlCall:
    match action.form.get("do"):
        case "freeze":
            return ControlCall("clock", {"frozen": True})
        case "run":
            return ControlCall("clock", {"frozen": False})
        case _:
            return ControlCall("clock", {"advance_s": _number(action.form.get("advance_s"), "advance_s")})


def _limits(action: FormAction) -> ControlCall:
    """Changes the limits whose values differ from the current ones."""
    current = action.state.settings.limits.model_dump()
    submitted = {name: action.form.get(name) for name in current if any(name == key for key, _ in action.form.pairs)}
    return ControlCall(
        "settings", {"limits": {name: value for name, value in submitted.items() if str(current[name]) != value}}
    )


def _settings(action: FormAction) -> ControlCall:
    return ControlCall("settings", _parsed(action.form.get("settings"), "settings"))


def _clear(action: FormAction) -> ControlCall:
    return ControlCall("inbox", method="DELETE")


def _parsed(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"{name}: not JSON") from None


def _integer(text: str, name: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ValueError(f"{name}: a whole number from 1 on")
    return int(text)


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name}: a number of seconds") from None


# -- where callbacks go ------------------------------------------------------------------------------------------------


def _verify(action: FormAction) -> ControlCall:
    if action.at.kind == "webhook":
        return ControlCall("webhook", {"act": "verify", "key": action.form.get("key")})
    corpid, agentid = _app(action.at)
    return ControlCall("verify", {"corpid": corpid, "agentid": agentid})


def _callback(action: FormAction) -> ControlCall:
    """Sets the callback URL and keys of the conversation's app."""
    names = ("callback_url", "callback_token", "callback_aes_key")
    address: Json = {name: action.form.get(name).strip() for name in names}
    address["callback_url"] = address["callback_url"] or None
    match action.at.kind:
        case "app":
            return ControlCall("settings", {"apps": _with(action.state.settings.apps, _known_app(action), address)})
        case "webhook":
            return ControlCall(
                "settings", {"webhook": {"keys": _with(action.state.settings.webhook.keys, _key(action), address)}}
            )
        case "youdu":
            del address["callback_aes_key"]
            apps = [app.model_dump() for app in action.state.settings.youdu.apps]
            return ControlCall(
                "settings", {"youdu": {"apps": [a | address if a["appid"] == action.at.place else a for a in apps]}}
            )
    raise ValueError("a conversation of this kind has no callbacks")


def _with(entries: Sequence[SettingsGroup], entry: SettingsGroup, changes: Json) -> list[Json]:
    """Returns the list with one entry changed. An entry that is not in the list is appended."""
    kept = [other.model_dump() for other in entries if other is not entry]
    return [*kept, entry.model_dump() | changes]


def _known_app(action: FormAction) -> AppSettings:
    """Returns the app of the settings, or the unknown one that sent to this conversation."""
    corpid, agentid = _app(action.at)
    app = action.state.apps.find(corpid, agentid)
    if app is not None:
        return app
    conversation = action.conversations.find(action.at)
    for entry in reversed(conversation.entries if conversation else ()):
        if isinstance(entry.item, InboxMessage) and place_of(entry.item) == action.at.place:
            return AppSettings(corpid=corpid, agentid=agentid, secret=entry.item.app.settings.secret)
    raise ValueError(f"app {agentid} of {corpid} has sent nothing yet")


def _key(action: FormAction) -> WebhookKey:
    key = action.form.get("key")
    webhook = next((entry for entry in action.state.settings.webhook.keys if entry.key == key), None)
    return webhook or WebhookKey(key=key, profile=action.state.settings.webhook.profile)


ACTIONS: Mapping[str, Callable[[FormAction], ControlCall]] = {
    "card": _card,
    "click": _click,
    "campaign": _campaign,
    "write": _write,
    "open": _open,
    "join": _join,
    "leave": _leave,
    "faults": _faults,
    "clear_faults": _clear_faults,
    "tokens": _tokens,
    "clock": _clock,
    "limits": _limits,
    "settings": _settings,
    "clear": _clear,
    "verify": _verify,
    "callback": _callback,
}
"""By the last part of the form's URL."""
